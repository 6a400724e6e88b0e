"""Writing the partition tables of a plan, telling the kernel, clearing the flags "in progress"."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from zosstorage.block import claim, emptiness, gpt, sysfs, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.model import Kind, Verdict
from zosstorage.planning.refusal import refusal
from zosstorage.system import run, threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.model import Disk
    from zosstorage.planned import PlannedDisk


def write(disks: Sequence[PlannedDisk]) -> None:
    """Write the tables side by side, with the marks of what is to be made, and flush them.

    Raises:
        ToolError: sfdisk failed.
    """
    scripts = [gpt.script(planned.guid, planned.partitions, planned.disk.sector_size) for planned in disks]
    run.commands([gpt.write_argv(planned.disk.path) for planned in disks], stdin=scripts, writes=True)
    threads.flush([planned.disk.path for planned in disks])


def tell_kernel(disks: Sequence[PlannedDisk]) -> None:
    """Have the kernel know the partitions, where it does not know them already.

    Raises:
        ToolError: partx failed.
    """
    untold = [
        planned.disk.path
        for planned in disks
        if not tables.are_planned(sysfs.partitions(planned.disk).values(), planned)
    ]
    run.commands([gpt.update_kernel_argv(path) for path in untold], writes=True)


def check_unchanged(disks: Sequence[PlannedDisk], total: int) -> None:
    """The last look before the first write, with the disks ours alone: blank ones blank still, torn tables torn still.

    A table is written over nothing else, whatever the plan says: it may come from a checkpoint that somebody edited.
    `total` is the number of target disks, for the message.

    Raises:
        NotEmptyError: one is another now.
    """
    for one in tables.read([planned for planned in disks if not planned.blank]):
        if not one.table.torn:
            raise tables.changed(one.planned.disk, "a table that is whole, which is never written again")
    used = emptiness.no_longer_blank([planned.disk for planned in disks if planned.blank])
    if used:
        raise refusal([Verdict(path, Kind.FOREIGN, evidence) for path, evidence in used.items()], total)


def check_ours(disks: Sequence[PlannedDisk], total: int) -> None:
    """After a failed write: each disk carries our table, torn perhaps, or is as blank as it was.

    Raises:
        NotEmptyError: one does not.
    """
    for planned in disks:
        claim.check(planned.disk)
        try:
            tables.read([planned])
        except NotEmptyError:
            check_unchanged([planned], total)


def clear_marks(disks: Sequence[PlannedDisk]) -> None:
    """Clear all marks on some disks, side by side, and read the tables back.

    Raises:
        NotEmptyError: a disk is another now, carries another table, or its copies are torn otherwise than by clearing
            marks.
        ToolError: a disk cannot be written, or the marks are still there.
    """
    for planned in disks:
        claim.check(planned.disk)
    jobs = [(one.planned.disk, _clearing(one)) for one in tables.read(disks)]
    threads.each(_carry_out, jobs, lambda job: job[0].path)
    cleared = tables.finished(disks)
    if left := [planned.disk.path for planned in disks if planned not in cleared]:
        raise ToolError(f"the marks of {', '.join(left)} are still there", hint="see the kernel's log")


def _clearing(one: tables.DiskTable) -> list[tuple[int, bytes]]:
    disk, copies = one.planned.disk, one.copies
    if not (copies.primary.intact and copies.backup.intact and copies.protective):
        raise tables.changed(disk, "torn copies")
    return gpt.clearing_writes(copies, disk.size_bytes, disk.sector_size)


def _carry_out(job: tuple[Disk, list[tuple[int, bytes]]]) -> None:
    """Write pieces to a disk, each on the medium before the next."""
    disk, pieces = job
    try:
        handle = os.open(disk.path, os.O_WRONLY | os.O_DSYNC | os.O_CLOEXEC)
        try:
            for offset, data in pieces:
                if os.pwrite(handle, data, offset) != len(data):
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
        finally:
            os.close(handle)
    except OSError as error:
        message = f"the marks of {disk.path} cannot be cleared: {error.strerror}"
        raise ToolError(message, hint="look for I/O errors in the kernel's log and run again") from error
