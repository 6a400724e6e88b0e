"""GUID partition tables: read each copy separately, write a table with sfdisk, clear in-progress flags.

UEFI specification 2.10, chapter 5.3. All offsets and sizes are bytes unless a name says sectors.
"""

from __future__ import annotations

import struct
import uuid
from binascii import crc32
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage.model import PartitionKind, SeenPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zosstorage.planned import PlannedPartition

MIB = 1 << 20
BIOS_BOOT = "21686148-6449-6E6F-744E-656564454649"
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
TYPES = {PartitionKind.BIOS_BOOT: BIOS_BOOT, PartitionKind.ESP: ESP, PartitionKind.DATA: LINUX}
_KINDS = {guid: kind for kind, guid in TYPES.items()}
# The in-progress flag. The owner of a partition type defines bits 48 to 63 of the attributes (UEFI 5.3.3). No type of
# systemd (59, 60, 63), Microsoft (60 to 63) or ChromeOS (48 to 56) gives bit 58 a meaning.
MARK_BIT = 58
MARK = 1 << MARK_BIT

_HEADER = struct.Struct("<8s4sIIIQQQQ16sQIII")
_CHECKSUM, _ARRAY_CHECKSUM = 3, 13  # index of the fields of _HEADER
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MARK_BYTE = 48 + MARK_BIT // 8  # of an entry; its attributes begin at byte 48
# libfdisk writes 128 entries of 128 bytes: 16 KiB.
_ENTRIES = 128
ENTRIES_BYTES = _ENTRIES * _ENTRY.size
_REVISION_1 = b"\0\0\1\0"
_MBR_PARTITIONS, _MBR_SIGNATURE = slice(446, 510), slice(510, 512)


@frozen
class Copy:
    """One copy of a table.

    Attributes:
        present: the header has the GPT signature.
        intact: the header matches its own checksum and the place where it was read.
        valid: the header is intact, and the entries match their checksum in it.
        guid: the disk GUID in the header, in lower case.
        entries: the used entries, even if the header is not valid.
        header: the bytes of the sector of the header.
        array: the bytes of all entries.
    """

    present: bool
    intact: bool
    valid: bool
    guid: str
    entries: tuple[SeenPartition, ...]
    header: bytes
    array: bytes


@frozen
class Tables:
    """A partition table as both ends of a disk hold it, complete or damaged.

    Attributes:
        mbr: the first 512 bytes of the disk.
    """

    mbr: bytes
    primary: Copy
    backup: Copy

    @property
    def protective(self) -> bool:
        """Whether the MBR is a protective one (UEFI 5.2.3): a single entry, of type 0xEE, that begins at sector 1."""
        table = self.mbr[_MBR_PARTITIONS]
        return (
            self.mbr[_MBR_SIGNATURE] == b"\x55\xaa"
            and table[4] == 0xEE  # noqa: PLR2004 - the type of a protective entry
            and table[8:12] == b"\1\0\0\0"
            and not any(table[16:])
        )

    @property
    def boot_code(self) -> bool:
        """Whether the MBR has the code of a boot loader."""
        return any(self.mbr[:446])


def read(head: bytes, tail: bytes, size_bytes: int, sector: int) -> Tables:
    """Read both copies of a table from the first and the last MiB of a disk."""
    last = size_bytes // sector - 1
    base = size_bytes - len(tail)
    return Tables(
        head[:512],
        _copy(head[sector : 2 * sector], head[2 * sector : 2 * sector + ENTRIES_BYTES], 1, last, sector),
        _copy(
            tail[last * sector - base :][:sector],
            tail[last * sector - ENTRIES_BYTES - base :][:ENTRIES_BYTES],
            last,
            1,
            sector,
        ),
    )


def _copy(header: bytes, array: bytes, own_sector: int, other_sector: int, sector: int) -> Copy:
    fields = _HEADER.unpack(header[: _HEADER.size])
    magic, revision, length, checksum, _, current, other, _, _, guid, start, count, size, array_checksum = fields
    without_checksum = header[:16] + bytes(4) + header[20:length]
    expected_start = 2 if own_sector == 1 else own_sector - ENTRIES_BYTES // sector
    intact = (
        magic == b"EFI PART"
        and revision == _REVISION_1
        and length == _HEADER.size
        and crc32(without_checksum) == checksum
        and (current, other, start) == (own_sector, other_sector, expected_start)
        and (count, size) == (_ENTRIES, _ENTRY.size)
        and not any(header[_HEADER.size :])
    )
    valid = intact and crc32(array) == array_checksum
    used = _entries(array, sector)
    return Copy(magic == b"EFI PART", intact, valid, str(uuid.UUID(bytes_le=guid)), used, header, array)


def _entries(array: bytes, sector: int) -> tuple[SeenPartition, ...]:
    used = -(-len(array.rstrip(b"\0")) // _ENTRY.size) * _ENTRY.size  # the other entries are zero
    rows = enumerate(_ENTRY.iter_unpack(array[:used]), 1)
    return tuple(_entry(number, row, sector) for number, row in rows if any(row[0]))


def _entry(number: int, row: tuple[bytes, bytes, int, int, int, bytes], sector: int) -> SeenPartition:
    kind, unique, first, last, attributes, name = row
    guid = str(uuid.UUID(bytes_le=kind)).upper()
    return SeenPartition(
        number,
        _KINDS.get(guid, PartitionKind.DATA),
        name.decode("utf-16-le", "replace").partition("\0")[0],
        guid,
        str(uuid.UUID(bytes_le=unique)),
        first * sector,
        (last - first + 1) * sector,
        marked=bool(attributes & MARK),
        attributes=attributes & ~MARK,
    )


def script(guid: str, partitions: Iterable[PlannedPartition], sector: int) -> str:
    """The input of sfdisk for a table, in sectors; partitions that are to be made get the in-progress flag."""
    lines = ["label: gpt", f"label-id: {guid}", f"first-lba: {MIB // sector}"]
    for part in partitions:
        attributes = f', attrs="GUID:{MARK_BIT}"' if part.make else ""
        lines.append(
            f"{part.number} : start={part.start_bytes // sector}, size={part.size_bytes // sector}, type={part.type}, "
            f'uuid={part.uuid}, name="{part.name}"{attributes}'
        )
    return "\n".join(lines) + "\n"


def write_argv(device: str) -> list[str]:
    """The sfdisk command that writes the table in its stdin to a disk.

    It wipes nothing, because the disk was proven blank. It does not tell the kernel: that takes 250 ms of sleep, and
    has no effect if the kernel has no GPT parser; `partx --update` tells the kernel. `--no-reread` turns off the check
    whether the disk is in use: zosstorage itself has claimed it. libfdisk writes backup entries, backup header, primary
    entries, primary header and protective MBR, in that order, with an fsync after each.
    """
    never = ["--wipe", "never", "--wipe-partitions", "never"]
    return ["sfdisk", "--quiet", "--no-tell-kernel", "--no-reread", *never, device]


def clearing_writes(tables: Tables, size_bytes: int, sector: int) -> list[tuple[int, bytes]]:
    """The writes, (byte of the disk, bytes), that clear every in-progress flag of a table; both headers are intact.

    Flush each write before the next. libfdisk writes a table in the same order, so an interruption here leaves a state
    that an interruption of sfdisk also leaves. The protective MBR does not change.
    """
    array = bytearray(tables.primary.array if tables.primary.valid else tables.backup.array)
    for entry in range(0, ENTRIES_BYTES, _ENTRY.size):
        array[entry + _MARK_BYTE] &= ~(1 << MARK_BIT % 8)
    end = size_bytes // sector * sector - sector
    return [
        (end - ENTRIES_BYTES, bytes(array)),
        (end, _with_checksums(tables.backup.header, array)),
        (2 * sector, bytes(array)),
        (sector, _with_checksums(tables.primary.header, array)),
    ]


def _with_checksums(header: bytes, array: bytearray) -> bytes:
    """The sector of a header with the checksum of changed entries and a new checksum of itself."""
    fields = list(_HEADER.unpack(header[: _HEADER.size]))
    fields[_ARRAY_CHECKSUM], fields[_CHECKSUM] = crc32(array), 0
    fields[_CHECKSUM] = crc32(_HEADER.pack(*fields))
    return _HEADER.pack(*fields) + header[_HEADER.size :]


def update_kernel_argv(device: str) -> list[str]:
    """The command that tells the kernel the partitions of a disk."""
    return ["partx", "--update", device]
