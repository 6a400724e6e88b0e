"""Checks each row of tables T and M of docs/rationale.md; tests/loop checks table D on real disks."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from attrs import evolve
from support import (
    ALL_KINDS,
    ESP_SIZE,
    GIB,
    GUID,
    blank,
    config,
    data_content,
    decide,
    discovery,
    disk,
    ends,
    esp_content,
    foreign,
    image_disk,
    new_partitions,
    ours,
    poke,
    rows,
    sfdisk,
    sparse,
)

from zosstorage.block import gpt, layout
from zosstorage.config.schema import Config
from zosstorage.errors import ZosstorageError
from zosstorage.model import Content, Disk, Firmware, PartitionKind, Role, Verdict

SPACE = UUID(int=7)


@pytest.mark.parametrize("letter", ["D", "T", "M"])
def test_rows_are_numbered_and_have_a_reason(letter: str) -> None:
    table = rows(letter)
    assert [row[0] for row in table] == [f"{letter}{number:02}" for number in range(1, len(table) + 1)]
    assert len(table) > 15
    assert all(row[-1] for row in table)
    assert len({len(row) for row in table}) == 1


# Table T.


def pieces(of: Disk, *, marked: bool) -> list[tuple[int, bytes]]:
    """The writes of sfdisk as offset and bytes, in their order."""
    sfdisk(of, gpt.script(GUID, new_partitions(of, marked=marked), 512))
    array, end = gpt.ENTRIES_BYTES, of.size_bytes
    places = ((end - 512 - array, array), (end - 512, 512), (1024, array), (512, 512), (0, 512))
    with Path(of.path).open("rb") as image:
        return [(offset, os.pread(image.fileno(), length, offset)) for offset, length in places]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, bytes]]]:
    of = image_disk(sparse(tmp_path_factory.mktemp("rationale") / "image", GIB))
    return {"marked": pieces(of, marked=True), "cleared": pieces(of, marked=False)}


@pytest.mark.parametrize("row", rows("T"), ids=lambda row: row[0])
def test_recognises_a_table_as_its_row_says(
    row: list[str], written: dict[str, list[tuple[int, bytes]]], tmp_path: Path
) -> None:
    of = image_disk(sparse(tmp_path / "image", GIB))
    for state, number in zip(row[1:6], range(5), strict=True):
        if state != "zero":
            poke(of.path, *written["marked" if state == "protective" else state][number])
    assert seen_as(of) == row[6]


def seen_as(of: Disk) -> str:
    head, tail = ends(of)
    if not any(head) and not any(tail):
        return "blank"
    found = layout.recognise(of, head, gpt.read(head, tail, of.size_bytes, of.sector_size), ESP_SIZE)
    if isinstance(found, layout.Unrecognised):
        return "refused"
    marks = {entry.marked for entry in found.partitions}
    assert len(marks) == 1
    return f"{'torn' if found.torn else 'whole'}, {'marked' if marks.pop() else 'cleared'}"


# Table M.


class Machine:
    """Disks and verdicts as the words of a row describe them."""

    def __init__(self, words: str) -> None:
        self.disks: list[Disk] = []
        self.verdicts: list[Verdict] = []
        for number, word in enumerate(words.split(), 1):
            self.add(number, *word.split(":"))

    def add(self, number: int, kind: str, *traits: str) -> None:
        of = disk(f"vd{chr(96 + number)}", rotational="hdd" in traits)
        if "twin" in traits:
            of = evolve(of, wwn=self.disks[-1].wwn)
        tag = number - 1 if "copy" in traits else number
        self.disks.append(of)
        simple = {"blank": blank, "foreign": foreign}
        self.verdicts.append(simple[kind](of) if kind in simple else self.own(of, tag, kind, traits))

    def own(self, of: Disk, tag: int, kind: str, traits: Sequence[str]) -> Verdict:
        content = {PartitionKind.DATA: data} if (data := self.data(tag, traits)) else {}
        marked = ALL_KINDS
        if kind == "finished":
            content[PartitionKind.ESP], marked = esp_content(tag), frozenset()
        return ours(
            of,
            tag=tag,
            content=content,
            marked=marked,
            role=Role.CACHE if "cache" in traits else Role.DATA,
            firmware=Firmware.BIOS if "bios" in traits else Firmware.UEFI,
        )

    def data(self, tag: int, traits: Sequence[str]) -> Content | None:
        if traits[:1] not in (("btrfs",), ("bcachefs",)):
            return None
        fstype, name, count = traits[:3]
        replicas = 2 if "2copies" in traits else 1
        return data_content(
            str(uuid5(SPACE, name)), fstype=fstype, member=f"m{tag}", devices=int(count), replicas=replicas
        )


def settings(text: str) -> Config:
    """The configuration that sets `key.path=value` words."""
    sections: dict[str, Any] = {}
    for word in text.split():
        path, _, value = word.partition("=")
        *folders, key = path.split(".")
        here = sections
        for folder in folders:
            here = here.setdefault(folder, {})
        here[key] = int(value) if value.isdigit() else value
    return config(**sections)


def outcome(machine: Machine, asked: Config) -> tuple[str, str]:
    firmware = Firmware.BIOS if asked.partitions.firmware == "bios" else Firmware.UEFI
    try:
        plan = decide(discovery(*machine.disks, firmware=firmware), machine.verdicts, asked)
    except ZosstorageError as error:
        return f"exit {int(error.exit_code)}", ""
    order = [of.path for of in machine.disks]
    return f"{plan.action} {plan.topology}", " ".join(sorted(str(order.index(of.path) + 1) for of in plan.unused))


@pytest.mark.parametrize("row", rows("M"), ids=lambda row: row[0])
def test_decides_about_a_machine_as_its_row_says(row: list[str]) -> None:
    _, disks, asked, expected, unused, _ = row
    assert outcome(Machine(disks), settings(asked)) == (expected, unused)
