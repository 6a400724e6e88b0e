"""Writing the tables of a plan, telling the kernel, clearing marks, and the looks before and after."""

import os
from pathlib import Path

import pytest
from attrs import evolve
from fakes import FakeTools
from support import GIB, kernel_partitions, planned_images, poke, write_planned

from zosstorage.block import claim, sysfs, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.model import Disk
from zosstorage.planned import PlannedDisk
from zosstorage.system import threads
from zosstorage.work import partitioning

SIZE = 1 * GIB


@pytest.fixture
def sfdisk(fake_tools: FakeTools) -> FakeTools:
    fake_tools.real("sfdisk")
    fake_tools("partx")
    return fake_tools


@pytest.fixture
def planned(tmp_path: Path) -> tuple[PlannedDisk, ...]:
    return planned_images(tmp_path)


@pytest.fixture(autouse=True)
def swapped(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The paths of disks that are not those that were examined."""
    found: set[str] = set()

    def check(disk: Disk) -> None:
        if disk.path in found:
            raise NotEmptyError(f"{disk.path} is not the disk that was examined")

    monkeypatch.setattr(claim, "check", check)
    return found


def content(planned: tuple[PlannedDisk, ...]) -> list[bytes]:
    return [Path(one.disk.path).read_bytes() for one in planned]


# Writing.


def test_tables_are_written_with_marks(sfdisk: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    partitioning.write(planned)
    for one in tables.read(planned):
        assert (one.table.guid, one.table.torn) == (one.planned.guid, False)
        assert [part.uuid for part in one.table.partitions] == [part.uuid for part in one.planned.partitions]
        assert all(part.marked for part in one.table.partitions)
    assert tables.finished(planned) == []


def test_only_what_is_to_be_made_is_marked(sfdisk: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    one = planned[0]
    parts = (*one.partitions[:2], evolve(one.partitions[2], make=False))
    partitioning.write([evolve(one, partitions=parts)])
    (found,) = tables.read([one])
    assert [part.marked for part in found.table.partitions] == [True, True, False]


def test_each_disk_is_given_its_own_table(fake_tools: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    fake_tools("sfdisk")
    partitioning.write(planned)
    assert {call[-1] for call in fake_tools.of("sfdisk")} == {one.disk.path for one in planned}
    scripts = "".join(fake_tools.stdin("sfdisk"))
    assert all(f"label-id: {one.guid}" in scripts for one in planned)


def test_written_tables_are_flushed(
    sfdisk: FakeTools, planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(threads, "flush", flushed.extend)
    partitioning.write(planned)
    assert flushed == [one.disk.path for one in planned]


def test_sfdisk_that_fails_is_told_when_all_have_ended(fake_tools: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    fake_tools("sfdisk", status=1, stderr="cannot write")
    with pytest.raises(ToolError, match="cannot write"):
        partitioning.write(planned)
    assert len(fake_tools.of("sfdisk")) == 2


def test_no_disks_need_no_command(fake_tools: FakeTools) -> None:
    partitioning.write([])
    partitioning.clear_marks([])
    partitioning.tell_kernel([])
    partitioning.check_unchanged([], 0)
    partitioning.check_ours([], 0)
    assert fake_tools.calls == []


def test_the_kernel_is_told_of_tables_that_it_does_not_know(
    sfdisk: FakeTools, planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {planned[0].disk.path: kernel_partitions(planned[0])}
    monkeypatch.setattr(sysfs, "partitions", lambda disk, **_: known.get(disk.path, {}))
    partitioning.tell_kernel(planned)
    assert sfdisk.of("partx") == [["partx", "--update", planned[1].disk.path]]


# The last look before the first write.


def test_blank_disks_that_are_blank_still(planned: tuple[PlannedDisk, ...]) -> None:
    partitioning.check_unchanged(planned, 2)


def test_a_blank_disk_that_was_written_meanwhile(planned: tuple[PlannedDisk, ...]) -> None:
    poke(planned[1].disk.path, SIZE - 1, b"\x01")
    with pytest.raises(NotEmptyError, match=f"1 of 3 target disks may not be written.*{planned[1].disk.path}"):
        partitioning.check_unchanged(planned, 3)


def torn(planned: PlannedDisk) -> PlannedDisk:
    """The disk of a plan that is to write its torn table again."""
    return evolve(planned, blank=False, write_table=True)


def test_a_torn_table_that_is_ours_still(planned: tuple[PlannedDisk, ...]) -> None:
    one = torn(planned[0])
    write_planned(one)
    poke(one.disk.path, 0, bytes(512))
    partitioning.check_unchanged([one, planned[1]], 2)


def test_a_torn_table_that_is_gone(planned: tuple[PlannedDisk, ...]) -> None:
    """Even a blank disk is not the one that was examined."""
    with pytest.raises(NotEmptyError, match="does not carry the table of the plan"):
        partitioning.check_unchanged([torn(planned[0]), planned[1]], 2)


# After a failed write.


def test_a_failed_write_may_leave_a_table_of_the_plan_or_nothing(planned: tuple[PlannedDisk, ...]) -> None:
    write_planned(planned[0])
    poke(planned[0].disk.path, 0, bytes(512))
    partitioning.check_ours(planned, 2)


def test_a_failed_write_that_left_something_else(planned: tuple[PlannedDisk, ...]) -> None:
    poke(planned[1].disk.path, 0, b"\x01")
    with pytest.raises(NotEmptyError, match="1 of 2 target disks may not be written"):
        partitioning.check_ours(planned, 2)


def test_a_failed_write_to_a_disk_that_was_swapped(planned: tuple[PlannedDisk, ...], swapped: set[str]) -> None:
    swapped.add(planned[1].disk.path)
    with pytest.raises(NotEmptyError, match="not the disk that was examined"):
        partitioning.check_ours(planned, 2)


# Clearing marks.


def test_cleared_tables_are_finished(sfdisk: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    partitioning.write(planned)
    partitioning.clear_marks(planned[1:])
    assert tables.finished(planned) == [planned[1]]
    partitioning.clear_marks(planned)
    assert tables.finished(planned) == list(planned)


@pytest.mark.slow
def test_marks_of_a_disk_that_was_swapped_are_not_cleared(planned: tuple[PlannedDisk, ...], swapped: set[str]) -> None:
    write_planned(*planned)
    before = content(planned)
    swapped.add(planned[1].disk.path)
    with pytest.raises(NotEmptyError, match="not the disk that was examined"):
        partitioning.clear_marks(planned)
    assert content(planned) == before


@pytest.mark.slow
def test_marks_of_a_torn_table_are_not_cleared_nor_those_of_the_others(planned: tuple[PlannedDisk, ...]) -> None:
    write_planned(*planned)
    poke(planned[0].disk.path, 0, bytes(512))
    before = content(planned)
    with pytest.raises(NotEmptyError, match="torn copies"):
        partitioning.clear_marks(planned[::-1])
    assert content(planned) == before


@pytest.mark.slow
def test_marks_of_a_disk_that_cannot_be_written(
    planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is cleared all the same, and each keeps to the order of its writes."""
    write_planned(*planned)
    real = os.pwrite

    def pwrite(handle: int, data: bytes, offset: int) -> int:
        if Path(f"/proc/self/fd/{handle}").samefile(planned[0].disk.path) and offset < SIZE // 2:
            raise OSError(5, "Input/output error")
        return real(handle, data, offset)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(
            ToolError, match=f"in-progress flags of {planned[0].disk.path} cannot be cleared: Input/output error"
        ):
            partitioning.clear_marks(planned)
    assert [one.table.torn for one in tables.read(planned)] == [True, False]
    partitioning.clear_marks(planned)
    assert tables.finished(planned) == list(planned)


@pytest.mark.slow
def test_a_short_write_of_marks(planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    write_planned(*planned)
    monkeypatch.setattr(os, "pwrite", lambda _handle, data, _offset: len(data) - 1)
    with pytest.raises(ToolError, match="cannot be cleared: Input/output error"):
        partitioning.clear_marks(planned)


def test_marks_that_are_still_there_after_they_were_cleared(
    planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes that a medium confirms and loses."""
    write_planned(*planned)
    monkeypatch.setattr(os, "pwrite", lambda _handle, data, _offset: len(data))
    with pytest.raises(
        ToolError, match=f"the in-progress flags of {planned[0].disk.path}, {planned[1].disk.path} are still set"
    ):
        partitioning.clear_marks(planned)
