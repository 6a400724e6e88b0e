"""The partition tables of a plan: written, told to the kernel, read back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zosstorage import tools
from zosstorage.disks import gpt, identity, layout, scan, sysfs
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Partition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.facts import Disk, PlannedDisk
    from zosstorage.witness import Look


# A copy of a table is smaller: 16 KiB of entries, the header and the MBR, a sector each.
_TABLE_BYTES = 32 << 10


def write(disks: Sequence[PlannedDisk], *, finished: bool = False) -> None:
    """Write the tables side by side: with the marks of what is to be made or, when all is `finished`, with none.

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
                marked=part.make and not finished,
            )
            for part in planned.partitions
        ]
        scripts.append(gpt.script(planned.guid, lines, planned.disk.sector_size))
    tools.run_all([gpt.write_argv(planned.disk.path) for planned in disks], stdin=scripts)
    for planned in disks:
        _flush(planned.disk)


def _flush(disk: Disk) -> None:
    handle = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tell_kernel(disks: Sequence[PlannedDisk]) -> None:
    """Have the kernel know the partitions, where it does not know them already.

    Raises:
        ToolError: partx failed.
    """
    untold = [planned.disk.path for planned in disks if not _kernel_knows(planned)]
    tools.run_all([gpt.update_kernel_argv(path) for path in untold])


def _kernel_knows(planned: PlannedDisk) -> bool:
    wanted = {(part.number, part.start_bytes, part.size_bytes) for part in planned.partitions}
    return {(part.number, part.start_bytes, part.size_bytes) for part in sysfs.partitions(planned.disk)} == wanted


def recognised(planned: PlannedDisk, config: Config) -> layout.Recognised:
    """The table of a plan as it stands on the disk now, torn perhaps.

    Raises:
        NotEmptyError: another table, or none, stands there.
    """
    disk = planned.disk
    try:
        with scan.Reader(disk) as reader:
            head, tables = _read(reader)
    except scan.UnreadableError as error:
        raise NotEmptyError(f"{disk.path}: {error.reason}", hint="look for I/O errors in the kernel's log") from None
    found = layout.recognise(disk, head, tables, config.partitions.esp_size)
    if isinstance(found, layout.Unrecognised):
        raise _changed(disk, found.reason)
    if [entry.uuid for entry in found.entries] != [part.uuid for part in planned.partitions]:
        raise _changed(disk, "partition UUIDs that are not those of the plan")
    return found


def _read(reader: scan.Reader) -> tuple[bytes, gpt.Tables]:
    """The start of a disk and its table: little of it where both copies are valid, as then nothing else matters."""
    size, sector = reader.disk.size_bytes, reader.disk.sector_size
    head, tail = reader.at(0, _TABLE_BYTES), reader.at(size - _TABLE_BYTES, _TABLE_BYTES)
    tables = gpt.read(head, tail, size, sector)
    if not (tables.primary.valid and tables.backup.valid):
        head, tail = reader.head(), reader.tail()
        tables = gpt.read(head, tail, size, sector)
    return head, tables


def looks(planned: PlannedDisk) -> list[Look]:
    """What `nodes` and `is_finished` look at, as long as both copies of the table are valid."""
    disk = planned.disk
    ends = [[0, _TABLE_BYTES], [disk.size_bytes - _TABLE_BYTES, _TABLE_BYTES]]
    return [["bytes", disk.path, *ends], *sysfs.partition_looks(disk)]


def _changed(disk: Disk, reason: str) -> NotEmptyError:
    return NotEmptyError(
        f"{disk.path} does not carry the table of the plan: it has {reason}",
        hint="another program wrote to it; run again, and the disks decide",
    )


def require_marks(planned: PlannedDisk, config: Config) -> None:
    """See that the table is whole and marks everything that is to be made: the right to write into the partitions.

    Raises:
        NotEmptyError: it is not so.
    """
    found = recognised(planned, config)
    unmarked = [
        str(part.number)
        for part, entry in zip(planned.partitions, found.entries, strict=True)
        if part.make and not entry.marked
    ]
    if found.torn or unmarked:
        raise _changed(planned.disk, f"no mark on partition {', '.join(unmarked)}" if unmarked else "torn copies")


def is_finished(planned: PlannedDisk, config: Config) -> bool:
    """Whether the table is whole and without a mark.

    Raises:
        NotEmptyError: the disk carries another table.
    """
    found = recognised(planned, config)
    return not found.torn and not any(entry.marked for entry in found.entries)


def nodes(disks: Sequence[PlannedDisk], config: Config) -> tuple[Partition, ...]:
    """The partitions of a plan as disk and kernel have them, in the order of the plan.

    Raises:
        NotEmptyError: a disk carries another table, or a partition's node is not there or leads elsewhere.
        ToolError: the kernel does not know the partitions.
    """
    return tuple(part for planned in disks for part in _nodes(planned, config))


def require_nodes(disks: Sequence[PlannedDisk], known: Sequence[Partition], config: Config) -> None:
    """See that the partitions still have the nodes that they had, and that these still lead to them.

    Raises:
        NotEmptyError, ToolError: as `nodes`, or the kernel calls them otherwise now.
    """
    if nodes(disks, config) != tuple(known):
        raise ToolError("the partitions have other nodes than they had a moment ago", hint="run again")


def _nodes(planned: PlannedDisk, config: Config) -> list[Partition]:
    entries = recognised(planned, config).entries
    if not _kernel_knows(planned):
        raise ToolError(f"the kernel does not have the partitions of {planned.disk.path}", hint="see partx --show")
    kernel = {part.number: part.device for part in sysfs.partitions(planned.disk)}
    for device in kernel.values():
        identity.check_node(device, sysfs.device_number(device))
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
