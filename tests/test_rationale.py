"""The tables of docs/rationale.md, each row compared with the program; tests/loop does that for table D on disks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
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
    RATIONALE,
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
# Offset in bytes and contents of the five pieces of a table, in the order in which sfdisk writes them.
Pieces = list[tuple[int, bytes]]


def row_id(row: Sequence[str]) -> str:
    return row[0]


@pytest.mark.parametrize("letter", ["D", "T", "M"])
def test_rows_are_numbered_and_have_a_reason(letter: str) -> None:
    table = rows(letter)
    assert [row[0] for row in table] == [f"{letter}{number:02}" for number in range(1, len(table) + 1)]
    assert len(table) > 15
    assert all(row[-1] for row in table)
    assert len({len(row) for row in table}) == 1


def test_chances_to_miss_data_follow_from_the_formula() -> None:
    """(1 - f)^n for each used fraction f and each number of places n, to the digits that the table has."""
    text = RATIONALE.read_text("utf-8")
    found = re.findall(r"^\| ([\d.]+) % \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE)
    assert len(found) == 4
    for fraction, *chances in found:
        for places, chance in zip((2048, 512), chances, strict=True):
            missed = (1 - float(fraction) / 100) ** places
            assert chance == chance_text(missed)


def chance_text(chance: float) -> str:
    """A chance in the form that the table has."""
    if chance < 1e-12:
        return "never in practice"
    if chance < 1e-3:
        exponent = next(power for power in (9, 12) if chance * 10**power >= 1)
        return f"{chance * 10**exponent:.0f} in 10{str(exponent).translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return f"{100 * chance:.0f} %" if chance >= 0.01 else f"{100 * chance:.1f} %"


# Table T.


def pieces(of: Disk, *, marked: bool) -> Pieces:
    """What sfdisk writes, with or without the in-progress flag."""
    sfdisk(of, gpt.script(GUID, new_partitions(of, marked=marked), 512))
    array, end = gpt.ENTRIES_BYTES, of.size_bytes
    places = ((end - 512 - array, array), (end - 512, 512), (1024, array), (512, 512), (0, 512))
    with Path(of.path).open("rb") as file:
        return [(offset, os.pread(file.fileno(), length, offset)) for offset, length in places]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pieces]:
    """The pieces of a table with the flag and without it, by the words of table T."""
    of = image_disk(sparse(tmp_path_factory.mktemp("rationale") / "image", GIB))
    return {"marked": pieces(of, marked=True), "cleared": pieces(of, marked=False)}


@pytest.mark.parametrize("row", rows("T"), ids=row_id)
def test_torn_table_is_recognised_as_its_row_says(row: list[str], written: dict[str, Pieces], tmp_path: Path) -> None:
    of = image_disk(sparse(tmp_path / "image", GIB))
    for state, number in zip(row[1:6], range(5), strict=True):
        if state != "zero":
            poke(of.path, *written["marked" if state == "protective" else state][number])
    assert recognised_as(of) == row[6]


def recognised_as(of: Disk) -> str:
    """What the program recognises, in the words of table T."""
    head, tail = ends(of)
    if not any(head) and not any(tail):
        return "blank"
    found = layout.recognise(of, head, gpt.read(head, tail, of.size_bytes, of.sector_size), ESP_SIZE)
    if isinstance(found, layout.Unrecognised):
        return "refused"
    flags = {entry.marked for entry in found.partitions}
    assert len(flags) == 1
    return f"{'torn' if found.torn else 'whole'}, {'marked' if flags.pop() else 'cleared'}"


# Table M.


class Machine:
    """Disks and verdicts from the words of a row."""

    def __init__(self, words: str) -> None:
        self.disks: list[Disk] = []
        self.verdicts: list[Verdict] = []
        for number, word in enumerate(words.split(), 1):
            kind, *traits = word.split(":")
            self.add(number, kind, traits)

    def add(self, number: int, kind: str, traits: Sequence[str]) -> None:
        of = disk(f"vd{chr(96 + number)}", rotational="hdd" in traits)
        if "twin" in traits:
            of = evolve(of, wwn=self.disks[-1].wwn)
        tag = number - 1 if "copy" in traits else number
        self.disks.append(of)
        simple: dict[str, Callable[[Disk], Verdict]] = {"blank": blank, "foreign": foreign}
        self.verdicts.append(simple[kind](of) if kind in simple else self.own(of, tag, kind, traits))

    def own(self, of: Disk, tag: int, kind: str, traits: Sequence[str]) -> Verdict:
        """The verdict on a disk of ours."""
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
        """The content of a data partition: `btrfs:A:2` is a btrfs named A of two devices."""
        if list(traits[:1]) not in (["btrfs"], ["bcachefs"]):
            return None
        fstype, name, count = traits[:3]
        replicas = 2 if "2copies" in traits else 1
        return data_content(
            str(uuid5(SPACE, name)), fstype=fstype, member=f"m{tag}", devices=int(count), replicas=replicas
        )


def settings(text: str) -> Config:
    """A configuration from assignments `key.path=value`."""
    sections: dict[str, Any] = {}
    for word in text.split():
        path, _, value = word.partition("=")
        *folders, key = path.split(".")
        here = sections
        for folder in folders:
            here = here.setdefault(folder, {})
        here[key] = int(value) if value.isdigit() else value
    return config(**sections)


def outcome(machine: Machine, configured: Config) -> tuple[str, str]:
    """What the program decides, and the numbers of the unused disks, in the words of table M."""
    firmware = Firmware.BIOS if configured.partitions.firmware == "bios" else Firmware.UEFI
    try:
        plan = decide(discovery(*machine.disks, firmware=firmware), machine.verdicts, configured)
    except ZosstorageError as error:
        return f"exit {int(error.exit_code)}", ""
    order = [of.path for of in machine.disks]
    return f"{plan.action} {plan.topology}", " ".join(sorted(str(order.index(of.path) + 1) for of in plan.unused))


@pytest.mark.parametrize("row", rows("M"), ids=row_id)
def test_machine_is_decided_on_as_its_row_says(row: list[str]) -> None:
    _, disks, configured, expected, unused, _ = row
    assert outcome(Machine(disks), settings(configured)) == (expected, unused)
