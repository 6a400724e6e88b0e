"""Our own partition layout: compute it, and recognise a table, complete or torn, that is exactly this layout.

The pieces of a table are written in one order, each flushed before the next (see `gpt.write_argv`): backup entries,
backup header, primary entries, primary header, protective MBR. An interruption can leave only a few states, and only
those are recognised as torn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block.gpt import ENTRIES_BYTES, MIB, TYPES, Copy, Tables
from zosstorage.model import Disk, Firmware, PartitionKind, Role, SeenPartition
from zosstorage.observed import OwnTable
from zosstorage.planned import PlannedPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BIOS_BOOT_SIZE = MIB
BOOT_NAME, DATA_NAME, CACHE_NAME = "zosboot", "zosdata", "zoscache"
# The smallest btrfs with two copies of its metadata takes 109 MiB (as mkfs.btrfs prints); the rest is for data.
_LEAST_DATA = 256 * MIB


def partitions(disk: Disk, firmware: Firmware, role: Role, esp_size: int) -> tuple[PlannedPartition, ...]:
    """Our layout for a disk: all on 1 MiB boundaries, the data up to the last whole MiB before the backup table.

    The partitions have no UUIDs yet, and all are to be made.
    """
    sizes = {PartitionKind.BIOS_BOOT: BIOS_BOOT_SIZE} if firmware is Firmware.BIOS else {}
    sizes[PartitionKind.ESP] = esp_size
    end = (disk.size_bytes - ENTRIES_BYTES - disk.sector_size) // MIB * MIB
    sizes[PartitionKind.DATA] = end - MIB - sum(sizes.values())
    found, start = [], MIB
    for number, (kind, size) in enumerate(sizes.items(), 1):
        found.append(PlannedPartition(number, kind, _name(kind, role), TYPES[kind], "", start, size, make=True))
        start += size
    return tuple(found)


def smallest(esp_size: int) -> int:
    """The size of the smallest disk for our layout, in bytes: ESP, 1 MiB at each end, bios_boot, and some data."""
    return esp_size + _LEAST_DATA + 4 * MIB


def _name(kind: PartitionKind, role: Role) -> str:
    if kind is not PartitionKind.DATA:
        return BOOT_NAME
    return CACHE_NAME if role is Role.CACHE else DATA_NAME


@frozen
class Unrecognised:
    """Why a table is not ours, and the byte of the disk that shows it."""

    reason: str
    offset: int = 0


@frozen
class _Chosen:
    """The copy of a table that counts, and whether the table is torn."""

    entries: tuple[SeenPartition, ...]
    guid: str
    torn: bool


def recognise(disk: Disk, head: bytes, tables: Tables, esp_size: int) -> OwnTable | Unrecognised:
    """Compare the table at both ends of a disk with our layout with an ESP of `esp_size` bytes."""
    chosen = _consistent(disk, head, tables)
    if isinstance(chosen, Unrecognised):
        return chosen
    kinds = {entry.kind for entry in chosen.entries}
    firmware = Firmware.BIOS if PartitionKind.BIOS_BOOT in kinds else Firmware.UEFI
    role = Role.CACHE if chosen.entries and chosen.entries[-1].name == CACHE_NAME else Role.DATA
    return _own(chosen, partitions(disk, firmware, role, esp_size))


def recognise_planned(
    disk: Disk, head: bytes, tables: Tables, planned: Sequence[PlannedPartition]
) -> OwnTable | Unrecognised:
    """Compare the table at both ends of a disk with the partitions of a plan and their UUIDs."""
    chosen = _consistent(disk, head, tables)
    found = chosen if isinstance(chosen, Unrecognised) else _own(chosen, planned)
    if isinstance(found, OwnTable) and [one.uuid for one in found.partitions] != [one.uuid for one in planned]:
        return Unrecognised("partition UUIDs that are not those of the plan")
    return found


def _own(chosen: _Chosen, wanted: Sequence[PlannedPartition]) -> OwnTable | Unrecognised:
    return _difference(chosen.entries, wanted) or OwnTable(chosen.guid, chosen.torn, chosen.entries)


def _consistent(disk: Disk, head: bytes, tables: Tables) -> _Chosen | Unrecognised:
    """Choose the copy of a table that counts."""
    primary, backup = tables.primary, tables.backup
    if primary.valid and backup.valid:
        return _both(tables)
    if primary.valid:
        return _primary_only(disk, tables)
    if backup.valid:
        return _backup_only(disk, head, tables)
    if not any(head) and not backup.present and _marked(backup.entries):
        return _Chosen(backup.entries, "", torn=True)  # interrupted after the first write, the backup entries
    if primary.present or backup.present:
        reason = "a partition table with neither copy valid and in its place (was the disk resized?)"
        return Unrecognised(reason, disk.sector_size if primary.present else disk.size_bytes - disk.sector_size)
    return Unrecognised("no partition table of ours")


def _both(tables: Tables) -> _Chosen | Unrecognised:
    primary, backup = tables.primary, tables.backup
    if primary.guid != backup.guid or not _same(primary, backup):
        return Unrecognised("the two copies of the partition table contradict each other")
    if tables.protective:  # if they differ, clearing the flags was interrupted: it writes the backup first
        return _Chosen(backup.entries, backup.guid, torn=primary.array != backup.array)
    if any(tables.mbr) or primary.array != backup.array or not _marked(primary.entries):
        return Unrecognised("a partition table whose MBR is not a protective one")
    return _Chosen(primary.entries, primary.guid, torn=True)  # interrupted before the last write, the MBR


def _primary_only(disk: Disk, tables: Tables) -> _Chosen | Unrecognised:
    """Only clearing the flags leaves this state: the backup entries are new, the backup header is the old one."""
    primary, backup = tables.primary, tables.backup
    clearing = backup.intact and any(entry.marked for entry in primary.entries) and _same(primary, backup)
    if clearing and tables.protective and backup.guid == primary.guid:
        return _Chosen(primary.entries, primary.guid, torn=True)
    reason = "a partition table whose backup copy at the end of the disk is damaged or missing"
    return Unrecognised(reason, disk.size_bytes - disk.sector_size)


def _backup_only(disk: Disk, head: bytes, tables: Tables) -> _Chosen | Unrecognised:
    primary, backup = tables.primary, tables.backup
    rest = head[: 2 * disk.sector_size] + head[2 * disk.sector_size + ENTRIES_BYTES :]
    if _marked(backup.entries) and not any(rest) and primary.array in (backup.array, bytes(ENTRIES_BYTES)):
        return _Chosen(backup.entries, backup.guid, torn=True)  # interrupted while the table was made
    rewritten = primary.intact and primary.guid == backup.guid and primary.array == backup.array
    if rewritten and tables.protective and not _marked(backup.entries):
        # Interrupted while flags were cleared: all of them, or those of the finished partitions.
        return _Chosen(backup.entries, backup.guid, torn=True)
    reason = "a partition table whose primary copy is damaged or missing, with a valid backup at the end of the disk"
    return Unrecognised(reason, disk.size_bytes - disk.sector_size)


def _same(primary: Copy, backup: Copy) -> bool:
    """Whether the copies are equal, or the backup is the primary with flags cleared, as clearing leaves it."""
    if len(primary.entries) != len(backup.entries):
        return False
    return all(
        old == new or (old.marked and old == evolve(new, marked=True))
        for old, new in zip(primary.entries, backup.entries, strict=True)
    )


def _marked(entries: Iterable[SeenPartition]) -> bool:
    """Whether there are entries and all of them have the in-progress flag."""
    return bool(entries) and all(entry.marked for entry in entries)


def _difference(entries: Sequence[SeenPartition], wanted: Sequence[PlannedPartition]) -> Unrecognised | None:
    """The first difference between a table and our layout; None if there is none."""
    if len(entries) != len(wanted):
        return Unrecognised(f"a partition table of {len(entries)} partitions where our own layout has {len(wanted)}")
    for entry, slot in zip(entries, wanted, strict=True):
        pairs = (
            ("number", entry.number, slot.number),
            ("type", entry.type, slot.type),
            ("name", entry.name, slot.name),
            ("start", entry.start_bytes, slot.start_bytes),
            ("size", entry.size_bytes, slot.size_bytes),
            ("attributes", entry.attributes, 0),
        )
        for what, found, expected in pairs:
            if found != expected:
                reason = f"partition {entry.number} has the {what} {found!r} where our own layout has {expected!r}"
                return Unrecognised(reason, entry.start_bytes)
    return None


def describe(table: OwnTable) -> str:
    """The state of a disk of ours as text."""
    marked = [str(part.number) for part in table.partitions if part.marked]
    torn = ", its table only partly written" if table.torn else ""
    state = f"unfinished (partitions {', '.join(marked)})" if marked else "finished"
    return f"our own layout, {state}{torn}"
