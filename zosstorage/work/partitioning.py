"""Writes the partition tables of a plan, makes them known to the kernel, and clears the in-progress flags."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from zosstorage.block import claim, emptiness, gpt, sysfs, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.model import Kind, Verdict
from zosstorage.planning.refusal import refusal
from zosstorage.system import reading, run, threads
from zosstorage.system.files import open_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.model import Disk
    from zosstorage.planned import PlannedDisk


def write(disks: Sequence[PlannedDisk]) -> None:
    """Write the tables in parallel, with the in-progress flag on each partition to be made, flush and read them back.

    Raises:
        ToolError: sfdisk failed, or it succeeded and a table is not on its disk.
    """
    scripts = [gpt.script(planned.guid, planned.partitions, planned.disk.sector_size) for planned in disks]
    run.commands([gpt.write_argv(planned.disk.path) for planned in disks], stdin=scripts, writes=True)
    threads.flush([planned.disk.path for planned in disks])
    reading.apart(lambda: _read_back(disks))


def _read_back(disks: Sequence[PlannedDisk]) -> None:
    """Read tables that sfdisk wrote: sfdisk 2.38 takes a short write of the kernel for a complete one."""
    for planned in disks:
        try:
            (one,) = tables.read([planned])
            if one.table.torn:
                raise tables.changed(planned.disk, "torn copies")
        except NotEmptyError as error:
            argv = gpt.write_argv(planned.disk.path)
            hint = "look for I/O errors in the kernel's log and run again"
            raise ToolError(f"sfdisk reported success, but {error.message}", hint=hint, argv=tuple(argv)) from error


def tell_kernel(disks: Sequence[PlannedDisk]) -> None:
    """Make the partitions known to the kernel, on the disks where it does not know them yet.

    Raises:
        ToolError: partx failed.
    """
    unknown = [
        planned.disk.path
        for planned in disks
        if not tables.are_planned(sysfs.partitions(planned.disk).values(), planned)
    ]
    run.commands([gpt.update_kernel_argv(path) for path in unknown], writes=True)


def check_unchanged(disks: Sequence[PlannedDisk], total: int) -> None:
    """Check claimed disks right before the first write: each is still blank, or its table of ours is still torn.

    A table is never written over anything else, whatever the plan says: the plan may come from an edited checkpoint.
    `total` is the number of target disks, for the message.

    Raises:
        NotEmptyError: a disk has changed.
    """
    for one in tables.read([planned for planned in disks if not planned.blank]):
        if not one.table.torn:
            raise tables.changed(one.planned.disk, "a complete table, which is never overwritten")
    used = emptiness.no_longer_blank([planned.disk for planned in disks if planned.blank])
    if used:
        raise refusal([Verdict(path, Kind.FOREIGN, evidence) for path, evidence in used.items()], total)


def check_ours(disks: Sequence[PlannedDisk], total: int) -> None:
    """Check disks after a failed write: each carries the table of the plan, perhaps torn, or is still blank.

    Raises:
        NotEmptyError: a disk is another now.
        ToolError: a disk carries something else, which is left as it is.
    """
    for planned in disks:
        claim.check(planned.disk)
        try:
            tables.read([planned])
        except NotEmptyError as error:
            _check_unchanged_since(planned, total, error)


def _check_unchanged_since(planned: PlannedDisk, total: int, error: NotEmptyError) -> None:
    """Check that a disk without the table of the plan, by `error`, is as it was before sfdisk failed to write it."""
    try:
        check_unchanged([planned], total)
    except NotEmptyError:
        hint = f"look for I/O errors in the kernel's log, and see what {planned.disk.path} carries now: zosstorage plan"
        raise ToolError(f"sfdisk failed to write a table, and {error.message}", hint=hint) from error


def clear_marks(disks: Sequence[PlannedDisk]) -> None:
    """Clear all in-progress flags on some disks, in parallel, and read the tables back.

    Raises:
        NotEmptyError: a disk was replaced, carries another table, or its copies differ in more than in-progress flags.
        ToolError: a disk cannot be written, or a flag is still set.
    """
    for planned in disks:
        claim.check(planned.disk)
    jobs = [(one.planned.disk, _clearing_writes(one)) for one in tables.read(disks)]
    threads.each(_write_in_order, jobs, lambda job: job[0].path)
    cleared = tables.finished(disks)
    if left := [planned.disk.path for planned in disks if planned not in cleared]:
        raise ToolError(f"the in-progress flags of {', '.join(left)} are still set", hint="see the kernel's log")


def _clearing_writes(one: tables.DiskTable) -> list[tuple[int, bytes]]:
    """Return the writes that clear the flags of a disk, in their order: (byte offset, data)."""
    disk, copies = one.planned.disk, one.copies
    if not (copies.primary.intact and copies.backup.intact and copies.protective):
        raise tables.changed(disk, "torn copies")
    return gpt.clearing_writes(copies, disk.size_bytes, disk.sector_size)


def _write_in_order(job: tuple[Disk, list[tuple[int, bytes]]]) -> None:
    """Write to a disk; each write is on the medium before the next one starts."""
    disk, writes = job
    try:
        handle = open_device(disk.path, os.O_WRONLY | os.O_DSYNC)
        try:
            for offset, data in writes:
                if os.pwrite(handle, data, offset) != len(data):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
        finally:
            os.close(handle)
    except OSError as error:
        message = f"the in-progress flags of {disk.path} cannot be cleared: {error.strerror}"
        raise ToolError(message, hint="look for I/O errors in the kernel's log and run again") from error
