"""Writes tables, tells the kernel, clears in-progress flags; and the checks before and after a write."""

import os
from pathlib import Path

import pytest
from attrs import evolve
from fakes import FakeTools
from support import GIB, ends, kernel_partitions, planned_images, poke, write_planned

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
def replaced(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The paths of disks that were replaced since they were examined."""
    found: set[str] = set()

    def check(disk: Disk) -> None:
        if disk.path in found:
            raise NotEmptyError(f"{disk.path} is not the disk that was examined")

    monkeypatch.setattr(claim, "check", check)
    return found


def content(planned: tuple[PlannedDisk, ...]) -> list[tuple[bytes, bytes]]:
    return [ends(one.disk) for one in planned]


# Writing.


def test_tables_are_written_with_in_progress_flags(sfdisk: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    partitioning.write(planned)
    for one in tables.read(planned):
        assert (one.table.guid, one.table.torn) == (one.planned.guid, False)
        assert [part.uuid for part in one.table.partitions] == [part.uuid for part in one.planned.partitions]
        assert all(part.marked for part in one.table.partitions)
    assert tables.finished(planned) == []


def test_only_partitions_to_be_made_have_the_flag(sfdisk: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    one = planned[0]
    parts = (*one.partitions[:2], evolve(one.partitions[2], make=False))
    partitioning.write([evolve(one, partitions=parts)])
    (found,) = tables.read([one])
    assert [part.marked for part in found.table.partitions] == [True, True, False]


def test_each_disk_gets_its_own_table(fake_tools: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    fake_tools("sfdisk")
    with pytest.raises(ToolError, match=r"sfdisk reported success, but .* does not carry the table of the plan"):
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


def test_reports_a_failed_sfdisk_after_all_have_ended(fake_tools: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
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


def test_tells_the_kernel_only_about_unknown_tables(
    sfdisk: FakeTools, planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {planned[0].disk.path: kernel_partitions(planned[0])}
    monkeypatch.setattr(sysfs, "partitions", lambda disk, **_: known.get(disk.path, {}))
    partitioning.tell_kernel(planned)
    assert sfdisk.of("partx") == [["partx", "--update", planned[1].disk.path]]


# The check right before the first write.


def test_accepts_disks_that_are_still_blank(planned: tuple[PlannedDisk, ...]) -> None:
    partitioning.check_unchanged(planned, 2)


def test_refuses_a_blank_disk_that_was_written_to(planned: tuple[PlannedDisk, ...]) -> None:
    poke(planned[1].disk.path, SIZE - 1, b"\x01")
    with pytest.raises(NotEmptyError, match=f"1 of 3 target disks may not be written.*{planned[1].disk.path}"):
        partitioning.check_unchanged(planned, 3)


def torn(planned: PlannedDisk) -> PlannedDisk:
    """Return a disk whose torn table the plan writes again."""
    return evolve(planned, blank=False, write_table=True)


def test_accepts_a_torn_table_that_is_still_ours(planned: tuple[PlannedDisk, ...]) -> None:
    one = torn(planned[0])
    write_planned(one)
    poke(one.disk.path, 0, bytes(512))
    partitioning.check_unchanged([one, planned[1]], 2)


def test_refuses_a_torn_table_that_is_gone(planned: tuple[PlannedDisk, ...]) -> None:
    """A blank disk is refused too: it is not the disk that was examined."""
    with pytest.raises(NotEmptyError, match="does not carry the table of the plan"):
        partitioning.check_unchanged([torn(planned[0]), planned[1]], 2)


# After a failed write.


def test_a_failed_write_may_leave_a_table_of_the_plan_or_nothing(planned: tuple[PlannedDisk, ...]) -> None:
    write_planned(planned[0])
    poke(planned[0].disk.path, 0, bytes(512))
    partitioning.check_ours(planned, 2)


def test_refuses_other_content_after_a_failed_write(planned: tuple[PlannedDisk, ...]) -> None:
    poke(planned[1].disk.path, 0, b"\x01")
    with pytest.raises(ToolError, match=r"sfdisk failed to write a table, and .* does not carry the table of the plan"):
        partitioning.check_ours(planned, 2)


def test_refuses_a_replaced_disk_after_a_failed_write(planned: tuple[PlannedDisk, ...], replaced: set[str]) -> None:
    replaced.add(planned[1].disk.path)
    with pytest.raises(NotEmptyError, match="not the disk that was examined"):
        partitioning.check_ours(planned, 2)


# Clearing in-progress flags.


def test_cleared_tables_are_finished(sfdisk: FakeTools, planned: tuple[PlannedDisk, ...]) -> None:
    partitioning.write(planned)
    partitioning.clear_marks(planned[1:])
    assert tables.finished(planned) == [planned[1]]
    partitioning.clear_marks(planned)
    assert tables.finished(planned) == list(planned)


def test_does_not_clear_the_flags_of_a_replaced_disk(planned: tuple[PlannedDisk, ...], replaced: set[str]) -> None:
    write_planned(*planned)
    before = content(planned)
    replaced.add(planned[1].disk.path)
    with pytest.raises(NotEmptyError, match="not the disk that was examined"):
        partitioning.clear_marks(planned)
    assert content(planned) == before


def test_a_torn_table_keeps_the_flags_of_all_disks(planned: tuple[PlannedDisk, ...]) -> None:
    write_planned(*planned)
    poke(planned[0].disk.path, 0, bytes(512))
    before = content(planned)
    with pytest.raises(NotEmptyError, match="torn copies"):
        partitioning.clear_marks(planned[::-1])
    assert content(planned) == before


def test_reports_a_disk_whose_flags_cannot_be_cleared(
    planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other disk is cleared, and on each disk the writes keep their order."""
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


def test_reports_a_short_write(planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    write_planned(*planned)
    monkeypatch.setattr(os, "pwrite", lambda _handle, data, _offset: len(data) - 1)
    with pytest.raises(ToolError, match="cannot be cleared: Input/output error"):
        partitioning.clear_marks(planned)


def test_reports_flags_that_are_still_set(planned: tuple[PlannedDisk, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk confirms writes and loses them."""
    write_planned(*planned)
    monkeypatch.setattr(os, "pwrite", lambda _handle, data, _offset: len(data))
    with pytest.raises(
        ToolError, match=f"the in-progress flags of {planned[0].disk.path}, {planned[1].disk.path} are still set"
    ):
        partitioning.clear_marks(planned)
