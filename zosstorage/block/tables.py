"""Read the partition tables of a plan back from the disks, and compare them with the plan; nothing is written."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block import claim, gpt, layout, medium, sysfs
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.observed import OwnTable
from zosstorage.planned import PlannedDisk
from zosstorage.system import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.facts import Partition
    from zosstorage.model import Disk


@frozen
class DiskTable:
    """A disk of a plan and its table as read from the disk: that of the plan, perhaps torn or with flags cleared."""

    planned: PlannedDisk
    table: OwnTable
    copies: gpt.Tables


def read(disks: Sequence[PlannedDisk]) -> list[DiskTable]:
    """Read the tables of some disks of a plan from the medium.

    Raises:
        NotEmptyError: a disk carries another table, or none.
        ToolError: a disk does not answer.
    """
    return reading.apart(lambda: _read(disks))


def _read(disks: Sequence[PlannedDisk]) -> list[DiskTable]:
    with ExitStack() as stack:
        readers = [(planned, stack.enter_context(_reader(planned.disk))) for planned in disks]
        return [_read_table(planned, reader) for planned, reader in readers]


def _reader(disk: Disk) -> medium.Reader:
    try:
        return medium.Reader(disk)
    except medium.UnreadableError as error:
        raise _unreadable(disk, error) from None


def _read_table(planned: PlannedDisk, reader: medium.Reader) -> DiskTable:
    try:
        head, copies = _read_copies(reader)
    except medium.UnreadableError as error:
        raise _unreadable(planned.disk, error) from None
    found = layout.recognise_planned(planned.disk, head, copies, planned.partitions)
    if isinstance(found, layout.Unrecognised):
        raise changed(planned.disk, found.reason)
    if found.guid not in ("", planned.guid):  # empty if the table is torn and no header was written
        raise changed(planned.disk, f"the disk GUID {found.guid}, not {planned.guid}")
    return DiskTable(planned, found, copies)


def _read_copies(reader: medium.Reader) -> tuple[bytes, gpt.Tables]:
    """Read the start of a disk and its table: the first and last MiB only if a copy is not valid."""
    size, sector = reader.disk.size_bytes, reader.disk.sector_size
    head, tail = (reader.at(*end) for end in _table_ends(reader.disk))
    tables = gpt.read(head, tail, size, sector)
    if not (tables.primary.valid and tables.backup.valid):
        head, tail = reader.head_and_tail()
        tables = gpt.read(head, tail, size, sector)
    return head, tables


def _table_ends(disk: Disk) -> tuple[tuple[int, int], tuple[int, int]]:
    """(offset, length) in bytes of MBR, primary header and entries, and of backup entries and header."""
    sector, size = disk.sector_size, disk.size_bytes
    backup = (size // sector - 1) * sector - gpt.ENTRIES_BYTES
    return (0, 2 * sector + gpt.ENTRIES_BYTES), (backup, size - backup)


def changed(disk: Disk, reason: str) -> NotEmptyError:
    """The error for a disk that does not carry the table of the plan."""
    return NotEmptyError(
        f"{disk.path} does not carry the table of the plan: it has {reason}",
        hint="another program wrote to it; run again for a new plan",
    )


def _unreadable(disk: Disk, error: medium.UnreadableError) -> NotEmptyError:
    return NotEmptyError(f"{disk.path}: {error.reason}", hint="look for I/O errors in the kernel's log")


def finished(disks: Sequence[PlannedDisk]) -> list[PlannedDisk]:
    """The disks whose tables are complete and have no in-progress flag.

    Raises:
        NotEmptyError: a disk carries another table.
    """
    return [one.planned for one in read(disks) if one.table.finished]


def partitions(disks: Sequence[PlannedDisk], *, marked: bool) -> tuple[Partition, ...]:
    """The partitions of a plan, with what the disks and the kernel have.

    With `marked`, each table must be complete and have the in-progress flag on each partition that is to be made: only
    then may these partitions be written.

    Raises:
        NotEmptyError: a disk carries another table, or a flag is missing; or the node of a partition is missing or is
            another device.
        ToolError: the kernel does not know the partitions.
    """
    found = read(disks)
    for one in found if marked else ():
        _require_flags(one)
    return tuple(part for one in found for part in _partitions(one))


def require_partitions(disks: Sequence[PlannedDisk], known: Iterable[Partition]) -> None:
    """Check that the flags are set, and that the partitions are those in `known`, with the same nodes.

    Raises:
        NotEmptyError: as `partitions`.
        ToolError: as `partitions`, or a partition has another node now.
    """
    if partitions(disks, marked=True) != tuple(known):
        raise ToolError("the nodes of the partitions have changed since they were read", hint="run again")


def _require_flags(one: DiskTable) -> None:
    """Check that a table is complete and has the in-progress flag on each partition that is to be made."""
    to_make = {part.uuid for part in one.planned.partitions if part.make}
    unmarked = [str(entry.number) for entry in one.table.partitions if entry.uuid in to_make and not entry.marked]
    if one.table.torn or unmarked:
        reason = f"no in-progress flag on partition {', '.join(unmarked)}" if unmarked else "torn copies"
        raise changed(one.planned.disk, reason)


def _partitions(one: DiskTable) -> list[Partition]:
    """The partitions that the kernel has on a disk, with name, type and UUID from the table."""
    kernel = sysfs.partitions(one.planned.disk)
    if not are_planned(kernel.values(), one.planned):
        raise ToolError(f"the kernel does not have the partitions of {one.planned.disk.path}", hint="see partx --show")
    for part in kernel.values():
        claim.check_node(part.device, sysfs.device_number(part.device))
    return [
        evolve(kernel[entry.number], name=entry.name, type=entry.type, uuid=entry.uuid)
        for entry in one.table.partitions
    ]


def are_planned(kernel: Iterable[Partition], planned: PlannedDisk) -> bool:
    """Whether the partitions that the kernel has on a disk are those of the plan."""
    wanted = {(part.number, part.start_bytes, part.size_bytes) for part in planned.partitions}
    return {(part.number, part.start_bytes, part.size_bytes) for part in kernel} == wanted
