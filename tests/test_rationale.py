"""The tables of docs/rationale.md, each row held against the program; table D is, on real disks, in tests/loop."""

from pathlib import Path
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
from zosstorage.errors import ZosstorageError
from zosstorage.model import Firmware, PartitionKind, Role

SPACE = UUID(int=7)


@pytest.mark.parametrize("letter", ["D", "T", "M"])
def test_rows_are_numbered_and_each_has_its_reason(letter):
    table = rows(letter)
    assert [row[0] for row in table] == [f"{letter}{number:02}" for number in range(1, len(table) + 1)]
    assert len(table) > 15
    assert all(row[-1] for row in table)
    assert len({len(row) for row in table}) == 1


# Table T.


def pieces(of, *, marked):
    """What sfdisk writes, as offset and bytes, in the order in which it does."""
    sfdisk(of, gpt.script(GUID, new_partitions(of, marked=marked), 512))
    array, end = gpt.ENTRIES_BYTES, of.size_bytes
    places = ((end - 512 - array, array), (end - 512, 512), (1024, array), (512, 512), (0, 512))
    data = Path(of.path).read_bytes()
    return [(offset, data[offset : offset + length]) for offset, length in places]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    of = image_disk(sparse(tmp_path_factory.mktemp("rationale") / "image", GIB))
    return {"marked": pieces(of, marked=True), "cleared": pieces(of, marked=False)}


@pytest.mark.parametrize("row", rows("T"), ids=lambda row: row[0])
def test_a_table_is_seen_as_its_row_says(row, written, tmp_path):
    of = image_disk(sparse(tmp_path / "image", GIB))
    for state, number in zip(row[1:6], range(5), strict=True):
        if state != "zero":
            poke(of.path, *written["marked" if state == "protective" else state][number])
    assert seen_as(of) == row[6]


def seen_as(of):
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
    """Disks and verdicts from the words of a row."""

    def __init__(self, words):
        self.disks, self.verdicts, self.members = [], [], {}
        for number, word in enumerate(words.split(), 1):
            self.add(number, *word.split(":"))

    def add(self, number, kind, *traits):
        of = disk(f"vd{chr(96 + number)}", rotational="hdd" in traits)
        if "twin" in traits:
            of = evolve(of, wwn=self.disks[-1].wwn)
        tag = number - 1 if "copy" in traits else number
        self.disks.append(of)
        simple = {"blank": blank, "foreign": foreign}
        self.verdicts.append(simple[kind](of) if kind in simple else self.own(of, tag, kind, traits))

    def own(self, of, tag, kind, traits):
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

    def data(self, tag, traits):
        if traits[:1] not in (("btrfs",), ("bcachefs",)):
            return None
        fstype, name, count = traits[:3]
        replicas = 2 if "2copies" in traits else 1
        return data_content(
            str(uuid5(SPACE, name)), fstype=fstype, member=f"m{tag}", devices=int(count), replicas=replicas
        )


def settings(text):
    """`key.path=value` words as a configuration."""
    sections = {}
    for word in text.split():
        path, _, value = word.partition("=")
        *folders, key = path.split(".")
        here = sections
        for folder in folders:
            here = here.setdefault(folder, {})
        here[key] = int(value) if value.isdigit() else value
    return config(**sections)


def outcome(machine, asked):
    firmware = Firmware.BIOS if asked.partitions.firmware == "bios" else Firmware.UEFI
    try:
        plan = decide(discovery(*machine.disks, firmware=firmware), machine.verdicts, asked)
    except ZosstorageError as error:
        return f"exit {int(error.exit_code)}", ""
    order = [of.path for of in machine.disks]
    return f"{plan.action} {plan.topology}", " ".join(sorted(str(order.index(of.path) + 1) for of in plan.unused))


@pytest.mark.parametrize("row", rows("M"), ids=lambda row: row[0])
def test_a_machine_gets_what_its_row_says(row):
    _, disks, asked, expected, unused, _ = row
    assert outcome(Machine(disks), settings(asked)) == (expected, unused)
