"""Our own layout: what it looks like, and whether a table, whole or torn, is exactly that.

A table is written in one order, each piece flushed before the next (see `gpt.write_argv`): backup entries, backup
header, primary entries, primary header, protective MBR. A cut leaves one of few states; only those are recognised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from zosstorage.block.gpt import BIOS_BOOT, ENTRIES_BYTES, ESP, LINUX, MARK, MIB, Copy, Entry, Tables
from zosstorage.model import Disk, Firmware, PartitionKind, Role

if TYPE_CHECKING:
    from collections.abc import Iterable

BIOS_BOOT_SIZE = MIB
BOOT_NAME, DATA_NAME, CACHE_NAME = "zosboot", "zosdata", "zoscache"
_TYPES = {PartitionKind.BIOS_BOOT: BIOS_BOOT, PartitionKind.ESP: ESP, PartitionKind.DATA: LINUX}


class Slot(NamedTuple):
    """A place in our layout, in bytes."""

    kind: PartitionKind
    type: str
    name: str
    start_bytes: int
    size_bytes: int


def slots(disk: Disk, firmware: Firmware, role: Role, esp_size: int) -> tuple[Slot, ...]:
    """Our layout for a disk: all on 1 MiB boundaries, the data up to the last whole MiB before the backup table."""
    sizes = {PartitionKind.BIOS_BOOT: BIOS_BOOT_SIZE} if firmware is Firmware.BIOS else {}
    sizes[PartitionKind.ESP] = esp_size
    end = (disk.size_bytes - ENTRIES_BYTES - disk.sector_size) // MIB * MIB
    sizes[PartitionKind.DATA] = end - MIB - sum(sizes.values())
    found, start = [], MIB
    for kind, size in sizes.items():
        found.append(Slot(kind, _TYPES[kind], _name(kind, role), start, size))
        start += size
    return tuple(found)


def _name(kind: PartitionKind, role: Role) -> str:
    if kind is not PartitionKind.DATA:
        return BOOT_NAME
    return CACHE_NAME if role is Role.CACHE else DATA_NAME


class Recognised(NamedTuple):
    """A table of ours.

    Attributes:
        guid: the disk GUID; empty where the cut came before any header.
        torn: it is to be written again before it can be relied on.
        entries: ours; their marks are the ones to go by.
    """

    guid: str
    torn: bool
    firmware: Firmware
    kinds: tuple[PartitionKind, ...]
    entries: tuple[Entry, ...]

    @property
    def finished(self) -> bool:
        """Whole, and without a mark."""
        return not self.torn and not any(entry.marked for entry in self.entries)


class Unrecognised(NamedTuple):
    """Why a table is not ours, and the byte that says so."""

    reason: str
    offset: int = 0


def recognise(disk: Disk, head: bytes, tables: Tables, esp_size: int) -> Recognised | Unrecognised:
    """Hold what stands at both ends of a disk against our layout."""
    chosen = _consistent(disk, head, tables)
    if isinstance(chosen, Unrecognised):
        return chosen
    entries, guid, torn = chosen
    kinds = _kinds(entries)
    firmware = Firmware.BIOS if PartitionKind.BIOS_BOOT in kinds else Firmware.UEFI
    role = Role.CACHE if entries and entries[-1].name == CACHE_NAME else Role.DATA
    if problem := _difference(entries, slots(disk, firmware, role, esp_size)):
        return problem
    return Recognised(guid, torn, firmware, kinds, entries)


def _consistent(disk: Disk, head: bytes, tables: Tables) -> tuple[tuple[Entry, ...], str, bool] | Unrecognised:
    """The entries to go by, the disk GUID, and whether the table is torn."""
    primary, backup = tables.primary, tables.backup
    if primary.valid and backup.valid:
        return _both(tables)
    if primary.valid:
        return _primary_only(disk, tables)
    if backup.valid:
        return _backup_only(disk, head, tables)
    if not any(head) and not backup.present and _marked(backup.entries):
        return backup.entries, "", True  # cut after the very first write, the backup entries
    if primary.present or backup.present:
        reason = "a partition table with neither copy valid and in its place (was the disk resized?)"
        return Unrecognised(reason, disk.sector_size if primary.present else disk.size_bytes - disk.sector_size)
    return Unrecognised("no partition table of ours")


def _both(tables: Tables) -> tuple[tuple[Entry, ...], str, bool] | Unrecognised:
    primary, backup = tables.primary, tables.backup
    if primary.guid != backup.guid or not _same(primary, backup):
        return Unrecognised("the two copies of the partition table contradict each other")
    if tables.protective:  # where they differ: cut while the marks were cleared, the backup is written first
        return backup.entries, backup.guid, primary.array != backup.array
    if any(tables.mbr) or primary.array != backup.array or not _marked(primary.entries):
        return Unrecognised("a partition table whose MBR is not a protective one")
    return primary.entries, primary.guid, True  # cut before the last write, the MBR


def _primary_only(disk: Disk, tables: Tables) -> tuple[tuple[Entry, ...], str, bool] | Unrecognised:
    """Only clearing the marks comes by here: backup entries new, backup header still the old one."""
    primary, backup = tables.primary, tables.backup
    clearing = backup.intact and any(entry.marked for entry in primary.entries) and _same(primary, backup)
    if clearing and tables.protective and backup.guid == primary.guid:
        return primary.entries, primary.guid, True
    reason = "a partition table whose backup copy at the end of the disk is damaged or missing"
    return Unrecognised(reason, disk.size_bytes - disk.sector_size)


def _backup_only(disk: Disk, head: bytes, tables: Tables) -> tuple[tuple[Entry, ...], str, bool] | Unrecognised:
    primary, backup = tables.primary, tables.backup
    rest = head[: 2 * disk.sector_size] + head[2 * disk.sector_size + ENTRIES_BYTES :]
    if _marked(backup.entries) and not any(rest) and primary.array in (backup.array, bytes(ENTRIES_BYTES)):
        return backup.entries, backup.guid, True  # cut while the table was made
    rewritten = primary.intact and primary.guid == backup.guid and primary.array == backup.array
    if rewritten and tables.protective and not _marked(backup.entries):
        return backup.entries, backup.guid, True  # cut while marks were cleared, all or the finished partitions'
    reason = "a partition table whose primary copy is damaged or missing, with a valid backup at the end of the disk"
    return Unrecognised(reason, disk.size_bytes - disk.sector_size)


def _same(primary: Copy, backup: Copy) -> bool:
    """Equal, or the backup is the primary with marks cleared: what clearing them goes through."""
    if len(primary.entries) != len(backup.entries):
        return False
    return all(
        old == new or (old.marked and old == new._replace(attributes=new.attributes | MARK))
        for old, new in zip(primary.entries, backup.entries, strict=True)
    )


def _marked(entries: Iterable[Entry]) -> bool:
    """All of them, and there are some."""
    return bool(entries) and all(entry.marked for entry in entries)


def _kinds(entries: tuple[Entry, ...]) -> tuple[PartitionKind, ...]:
    by_type = {guid: kind for kind, guid in _TYPES.items()}
    return tuple(by_type.get(entry.type, PartitionKind.DATA) for entry in entries)


def _difference(entries: tuple[Entry, ...], wanted: tuple[Slot, ...]) -> Unrecognised | None:
    """The first place where a table differs from our layout."""
    if len(entries) != len(wanted):
        return Unrecognised(f"a partition table of {len(entries)} partitions where our own layout has {len(wanted)}")
    for number, (entry, slot) in enumerate(zip(entries, wanted, strict=True), 1):
        pairs = (
            ("number", entry.number, number),
            ("type", entry.type, slot.type),
            ("name", entry.name, slot.name),
            ("start", entry.start_bytes, slot.start_bytes),
            ("size", entry.size_bytes, slot.size_bytes),
            ("attributes", entry.attributes & ~MARK, 0),
        )
        for what, found, expected in pairs:
            if found != expected:
                reason = f"partition {entry.number} has the {what} {found!r} where our own layout has {expected!r}"
                return Unrecognised(reason, entry.start_bytes)
    return None
