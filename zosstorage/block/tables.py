"""The partition tables of a plan: written, told to the kernel, read back, cleared of their marks."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from zosstorage.block import claim, gpt, layout, scan, sysfs
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.model import Partition
from zosstorage.system import run, threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.block.sysfs import KernelPartition
    from zosstorage.config.schema import Config
    from zosstorage.model import Disk, PlannedDisk
    from zosstorage.witness import Look


def write(disks: Sequence[PlannedDisk]) -> None:
    """Write the tables side by side, with the marks of what is to be made.

    Raises:
        ToolError: sfdisk failed.
    """
    scripts = []
    for planned in disks:
        lines = [
            gpt.NewPartition(
                part.number,
                part.type,
                part.uuid,
                part.name,
                part.start_bytes,
                part.size_bytes,
                marked=part.make,
            )
            for part in planned.partitions
        ]
        scripts.append(gpt.script(planned.guid, lines, planned.disk.sector_size))
    run.run_all([gpt.write_argv(planned.disk.path) for planned in disks], stdin=scripts)
    threads.flush([planned.disk.path for planned in disks])


def clear_marks(disks: Sequence[PlannedDisk], config: Config) -> None:
    """Clear all marks on some disks, side by side.

    Raises:
        NotEmptyError: a disk carries another table, or its copies are torn otherwise than by clearing marks.
        ToolError: a disk cannot be written.
    """
    standing = [tables for _, tables in _standing(disks, config)]
    jobs = [(planned.disk, _clearing(planned, tables)) for planned, tables in zip(disks, standing, strict=True)]
    threads.each(_carry_out, jobs, lambda job: job[0].path)


def _clearing(planned: PlannedDisk, tables: gpt.Tables) -> list[tuple[int, bytes]]:
    if not (tables.primary.intact and tables.backup.intact and tables.protective):
        raise _changed(planned.disk, "torn copies")
    return gpt.cleared(tables, planned.disk.size_bytes, planned.disk.sector_size)


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


def tell_kernel(disks: Sequence[PlannedDisk]) -> None:
    """Have the kernel know the partitions, where it does not know them already.

    Raises:
        ToolError: partx failed.
    """
    untold = [planned.disk.path for planned in disks if not _are(sysfs.partitions(planned.disk), planned)]
    run.run_all([gpt.update_kernel_argv(path) for path in untold])


def _are(known: Iterable[KernelPartition], planned: PlannedDisk) -> bool:
    """Whether the partitions that the kernel has of a disk are those of the plan."""
    wanted = {(part.number, part.start_bytes, part.size_bytes) for part in planned.partitions}
    return {(part.number, part.start_bytes, part.size_bytes) for part in known} == wanted


def recognised(disks: Sequence[PlannedDisk], config: Config) -> list[layout.Recognised]:
    """The tables of a plan as they stand on the disks now, torn perhaps.

    Raises:
        NotEmptyError: another table, or none, stands on one.
    """
    return [found for found, _ in _standing(disks, config)]


def _standing(disks: Sequence[PlannedDisk], config: Config) -> list[tuple[layout.Recognised, gpt.Tables]]:
    with ExitStack() as stack:
        readers = [stack.enter_context(_reader(planned.disk)) for planned in disks]
        for reader in readers:
            reader.ask(_table_ends(reader.disk))
        return [_recognised(planned, reader, config) for planned, reader in zip(disks, readers, strict=True)]


def _reader(disk: Disk) -> scan.Reader:
    try:
        return scan.Reader(disk)
    except scan.UnreadableError as error:
        raise _unreadable(disk, error) from None


def _recognised(planned: PlannedDisk, reader: scan.Reader, config: Config) -> tuple[layout.Recognised, gpt.Tables]:
    disk = planned.disk
    try:
        head, tables = _read(reader)
    except scan.UnreadableError as error:
        raise _unreadable(disk, error) from None
    found = layout.recognise(disk, head, tables, config.partitions.esp_size)
    if isinstance(found, layout.Unrecognised):
        raise _changed(disk, found.reason)
    if [entry.uuid for entry in found.entries] != [part.uuid for part in planned.partitions]:
        raise _changed(disk, "partition UUIDs that are not those of the plan")
    return found, tables


def _read(reader: scan.Reader) -> tuple[bytes, gpt.Tables]:
    """The start of a disk and its table: little of it where both copies are valid, as then nothing else matters."""
    size, sector = reader.disk.size_bytes, reader.disk.sector_size
    head, tail = (reader.at(*end) for end in _table_ends(reader.disk))
    tables = gpt.read(head, tail, size, sector)
    if not (tables.primary.valid and tables.backup.valid):
        head, tail = reader.head_and_tail()
        tables = gpt.read(head, tail, size, sector)
    return head, tables


def _table_ends(disk: Disk) -> tuple[tuple[int, int], tuple[int, int]]:
    """The (offset, length) of MBR, primary header and entries, and of backup entries and header."""
    sector, size = disk.sector_size, disk.size_bytes
    backup = (size // sector - 1) * sector - gpt.ENTRIES_BYTES
    return (0, 2 * sector + gpt.ENTRIES_BYTES), (backup, size - backup)


def looks(planned: PlannedDisk) -> list[Look]:
    """What `nodes` and `finished` look at, as long as both copies of the table are valid."""
    disk = planned.disk
    return [["bytes", disk.path, *map(list, _table_ends(disk))], *sysfs.partition_looks(disk)]


def _changed(disk: Disk, reason: str) -> NotEmptyError:
    return NotEmptyError(
        f"{disk.path} does not carry the table of the plan: it has {reason}",
        hint="another program wrote to it; run again, and the disks decide",
    )


def _unreadable(disk: Disk, error: scan.UnreadableError) -> NotEmptyError:
    return NotEmptyError(f"{disk.path}: {error.reason}", hint="look for I/O errors in the kernel's log")


def _require_marks(planned: PlannedDisk, found: layout.Recognised) -> None:
    """See that a table is whole and marks everything that is to be made: the right to write into the partitions."""
    unmarked = [
        str(part.number)
        for part, entry in zip(planned.partitions, found.entries, strict=True)
        if part.make and not entry.marked
    ]
    if found.torn or unmarked:
        raise _changed(planned.disk, f"no mark on partition {', '.join(unmarked)}" if unmarked else "torn copies")


def finished(disks: Sequence[PlannedDisk], config: Config) -> list[PlannedDisk]:
    """Those of the disks whose tables are whole and without a mark.

    Raises:
        NotEmptyError: a disk carries another table.
    """
    return [planned for planned, found in zip(disks, recognised(disks, config), strict=True) if found.finished]


def nodes(disks: Sequence[PlannedDisk], config: Config, *, marked: bool) -> tuple[Partition, ...]:
    """The partitions of a plan as disk and kernel have them, in the order of the plan.

    With `marked`, only where each table is whole and marks everything that is to be made: that is the right to write
    into these partitions.

    Raises:
        NotEmptyError: a disk carries another table, or not its marks; or a partition's node is not there or leads
            elsewhere.
        ToolError: the kernel does not know the partitions.
    """
    pairs = list(zip(disks, recognised(disks, config), strict=True))
    for planned, found in pairs if marked else ():
        _require_marks(planned, found)
    return tuple(part for planned, found in pairs for part in _nodes(planned, found.entries))


def require_nodes(disks: Sequence[PlannedDisk], known: Sequence[Partition], config: Config) -> None:
    """See that the marks are there, and that the partitions have the nodes that they had, which still lead to them.

    Raises:
        NotEmptyError, ToolError: as `nodes`, or the kernel calls them otherwise now.
    """
    if nodes(disks, config, marked=True) != tuple(known):
        raise ToolError("the partitions have other nodes than they had a moment ago", hint="run again")


def _nodes(planned: PlannedDisk, entries: Sequence[gpt.Entry]) -> list[Partition]:
    known = sysfs.partitions(planned.disk)
    if not _are(known, planned):
        raise ToolError(f"the kernel does not have the partitions of {planned.disk.path}", hint="see partx --show")
    kernel = {part.number: part.device for part in known}
    for device in kernel.values():
        claim.check_node(device, sysfs.device_number(device))
    return [
        Partition(
            planned.disk.path,
            entry.number,
            kernel[entry.number],
            entry.name,
            entry.type,
            entry.uuid,
            entry.start_bytes,
            entry.size_bytes,
        )
        for entry in entries
    ]
