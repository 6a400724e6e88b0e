"""The partition tables of a plan as they stand on the disks now; nothing is written."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block import claim, gpt, layout, medium, sysfs
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.observed import OwnTable
from zosstorage.planned import PlannedDisk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.facts import Partition
    from zosstorage.model import Disk


@frozen
class Standing:
    """A disk of the plan and the table that stands on it, the plan's own: torn perhaps, some flags cleared perhaps."""

    planned: PlannedDisk
    table: OwnTable
    copies: gpt.Tables


def standing(disks: Sequence[PlannedDisk]) -> list[Standing]:
    """The tables of some disks of a plan, read from the medium.

    Raises:
        NotEmptyError: another table, or none, stands on one.
    """
    with ExitStack() as stack:
        readers = [(planned, stack.enter_context(_reader(planned.disk))) for planned in disks]
        return [_standing(planned, reader) for planned, reader in readers]


def _reader(disk: Disk) -> medium.Reader:
    try:
        return medium.Reader(disk)
    except medium.UnreadableError as error:
        raise _unreadable(disk, error) from None


def _standing(planned: PlannedDisk, reader: medium.Reader) -> Standing:
    try:
        head, copies = _read(reader)
    except medium.UnreadableError as error:
        raise _unreadable(planned.disk, error) from None
    found = layout.recognise_planned(planned.disk, head, copies, planned.partitions)
    if isinstance(found, layout.Unrecognised):
        raise changed(planned.disk, found.reason)
    if found.guid not in ("", planned.guid):  # torn before a header was written, there is none
        raise changed(planned.disk, f"the disk GUID {found.guid}, not {planned.guid}")
    return Standing(planned, found, copies)


def _read(reader: medium.Reader) -> tuple[bytes, gpt.Tables]:
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


def changed(disk: Disk, reason: str) -> NotEmptyError:
    """The refusal of a disk that does not carry the table of the plan."""
    return NotEmptyError(
        f"{disk.path} does not carry the table of the plan: it has {reason}",
        hint="another program wrote to it; run again, and the disks decide",
    )


def _unreadable(disk: Disk, error: medium.UnreadableError) -> NotEmptyError:
    return NotEmptyError(f"{disk.path}: {error.reason}", hint="look for I/O errors in the kernel's log")


def finished(disks: Sequence[PlannedDisk]) -> list[PlannedDisk]:
    """Those of the disks whose tables are whole and without a flag "in progress".

    Raises:
        NotEmptyError: a disk carries another table.
    """
    return [one.planned for one in standing(disks) if one.table.finished]


def partitions(disks: Sequence[PlannedDisk], *, marked: bool) -> tuple[Partition, ...]:
    """The partitions of a plan as disk and kernel have them.

    With `marked`, only where each table is whole and marks everything that is to be made: that is the right to write
    into these partitions.

    Raises:
        NotEmptyError: a disk carries another table, or not its marks; or a partition's node is not there or leads
            elsewhere.
        ToolError: the kernel does not know the partitions.
    """
    found = standing(disks)
    for one in found if marked else ():
        _require_marks(one)
    return tuple(part for one in found for part in _partitions(one))


def require_partitions(disks: Sequence[PlannedDisk], known: Iterable[Partition]) -> None:
    """See that the marks are there, and that the partitions have the nodes that they had, which still lead to them.

    Raises:
        NotEmptyError, ToolError: as `partitions`, or the kernel calls them otherwise now.
    """
    if partitions(disks, marked=True) != tuple(known):
        raise ToolError("the partitions have other nodes than they had a moment ago", hint="run again")


def _require_marks(one: Standing) -> None:
    """See that a table is whole and marks everything that is to be made: the right to write into the partitions."""
    to_make = {part.uuid for part in one.planned.partitions if part.make}
    unmarked = [str(entry.number) for entry in one.table.partitions if entry.uuid in to_make and not entry.marked]
    if one.table.torn or unmarked:
        reason = f"no mark on partition {', '.join(unmarked)}" if unmarked else "torn copies"
        raise changed(one.planned.disk, reason)


def _partitions(one: Standing) -> list[Partition]:
    """The kernel's partitions of a disk, each with what its table says."""
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
    """Whether the partitions that the kernel has of a disk are those of the plan."""
    wanted = {(part.number, part.start_bytes, part.size_bytes) for part in planned.partitions}
    return {(part.number, part.start_bytes, part.size_bytes) for part in kernel} == wanted
