"""Comparing the table on a disk with the partitions of a plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support import ESP_SIZE, GIB, GUID, MIB, ends, image_disk, new_partitions, poke, sfdisk, sparse

from zosstorage.block import gpt, layout
from zosstorage.model import Disk, Firmware, Role
from zosstorage.observed import OwnTable
from zosstorage.planned import PlannedPartition

SIZE = 1 * GIB


def planned(of: Disk, **rest: Any) -> list[PlannedPartition]:
    return new_partitions(of, **{"firmware": Firmware.BIOS} | rest)


@pytest.fixture
def of(tmp_path: Path) -> Disk:
    return image_disk(sparse(tmp_path / "image", SIZE))


def recognise(of: Disk, partitions: Sequence[PlannedPartition]) -> OwnTable | layout.Unrecognised:
    head, tail = ends(of)
    return layout.recognise_planned(of, head, gpt.read(head, tail, of.size_bytes, of.sector_size), partitions)


def recognise_own(of: Disk, partitions: Sequence[PlannedPartition]) -> OwnTable:
    found = recognise(of, partitions)
    assert isinstance(found, OwnTable)
    return found


def write(of: Disk, partitions: Sequence[PlannedPartition]) -> Disk:
    sfdisk(of, gpt.script(GUID, partitions, 512))
    return of


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("role", [Role.DATA, Role.CACHE])
@pytest.mark.parametrize("esp_size", [ESP_SIZE, 300 * MIB])
def test_the_table_of_the_plan_is_recognised(of: Disk, firmware: Firmware, role: Role, esp_size: int) -> None:
    partitions = planned(of, firmware=firmware, role=role, esp_size=esp_size)
    found = recognise(write(of, partitions), partitions)
    assert isinstance(found, OwnTable)
    assert (found.guid, found.torn) == (GUID, False)
    assert [(part.uuid, part.kind, part.marked) for part in found.partitions] == [
        (part.uuid, part.kind, True) for part in partitions
    ]


@pytest.mark.parametrize("flags", [(), (0,), (2,), (0, 1, 2)], ids=str)
def test_flags_may_differ_from_those_of_the_plan(of: Disk, flags: tuple[int, ...]) -> None:
    """Mount clears flags during a run."""
    partitions = planned(of)
    write(of, [evolve(part, make=number in flags) for number, part in enumerate(partitions)])
    found = recognise_own(of, partitions)
    assert [number for number, part in enumerate(found.partitions) if part.marked] == list(flags)
    assert found.finished is not bool(flags)


def test_a_torn_table_of_the_plan_is_recognised_as_torn(of: Disk) -> None:
    partitions = planned(of)
    poke(write(of, partitions).path, 0, bytes(512))
    assert recognise_own(of, partitions).torn
    poke(of.path, 0, bytes(MIB))
    poke(of.path, SIZE - 512, bytes(512))
    found = recognise_own(of, partitions)
    assert (found.torn, found.guid) == (True, "")


@pytest.mark.parametrize("torn", [False, True], ids=["whole", "torn"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_another_partition_uuid_is_unrecognised(of: Disk, number: int, torn: bool) -> None:
    partitions = planned(of)
    write(of, partitions)
    if torn:
        poke(of.path, 0, bytes(512))
    partitions[number] = evolve(partitions[number], uuid="33333333-2222-4333-8444-555555555555")
    found = recognise(of, partitions)
    assert found == layout.Unrecognised("partition UUIDs that are not those of the plan")


def test_uuids_in_another_order_are_unrecognised(of: Disk) -> None:
    partitions = planned(of)
    write(of, partitions)
    swapped = [evolve(part, uuid=other.uuid) for part, other in zip(partitions, partitions[::-1], strict=True)]
    assert isinstance(recognise(of, swapped), layout.Unrecognised)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"role": Role.CACHE}, "the name 'zosdata' where our own layout has 'zoscache'"),
        ({"esp_size": 300 * MIB}, "the size"),
        ({"firmware": Firmware.UEFI}, "3 partitions where our own layout has 2"),
    ],
    ids=str,
)
def test_a_table_of_ours_of_another_plan_is_unrecognised(of: Disk, change: dict[str, Any], expected: str) -> None:
    write(of, planned(of))
    found = recognise(of, planned(of, **change))
    assert isinstance(found, layout.Unrecognised)
    assert expected in found.reason


def test_an_attribute_that_is_not_ours_is_unrecognised(of: Disk) -> None:
    partitions = planned(of)
    sfdisk(of, gpt.script(GUID, partitions, 512).replace("GUID:58", "GUID:58,59"))
    found = recognise(of, partitions)
    assert isinstance(found, layout.Unrecognised)
    assert "the attributes" in found.reason


def test_a_blank_disk_has_no_table_of_the_plan(of: Disk) -> None:
    assert recognise(of, planned(of)) == layout.Unrecognised("no partition table of ours")
