"""Superblocks with the fields that our readers use; all other bytes are zero."""

import struct
from uuid import UUID

FS_UUID = "99999999-8888-4777-8666-555555555555"


def fat_sector(serial: int = 0x1A2B3C4D, label: bytes = b"ZOSBOOT") -> bytes:
    """A FAT32 boot sector: 512-byte sectors, 4 KiB clusters, two FATs of 1009 sectors after 32 reserved ones."""
    sector = bytearray(512)
    sector[67:71] = serial.to_bytes(4, "little")
    sector[71:82] = label.ljust(11)
    sector[82:90] = b"FAT32   "
    sector[510:] = b"\x55\xaa"
    struct.pack_into("<HBHB", sector, 11, 512, 8, 32, 2)
    struct.pack_into("<I4xI", sector, 36, 1009, 2)  # sectors of a FAT; first cluster of the root directory
    return bytes(sector)


def btrfs_block(uuid: str = FS_UUID, *, label: bytes = b"ZOSDATA", member: str = FS_UUID, devices: int = 1) -> bytes:
    """A btrfs superblock, which is at 64 KiB."""
    block = bytearray(4096)
    block[0x20:0x30] = UUID(uuid).bytes
    block[0x40:0x48] = b"_BHRfS_M"
    block[0x88:0x90] = devices.to_bytes(8, "little")
    block[0x10B:0x11B] = UUID(member).bytes
    block[0x12B : 0x12B + len(label)] = label
    return bytes(block)


def bcachefs_block(
    uuid: str = FS_UUID, *, label: bytes = b"ZOSDATA", index: int = 0, devices: int = 1, replicas: int = 1
) -> bytes:
    """A bcachefs superblock (struct bch_sb), which is at 4 KiB."""
    block = bytearray(512)
    block[24:40] = UUID("c68573f6-66ce-90a9-d96a-60cf803df7ef").bytes
    block[56:72] = UUID(uuid).bytes
    block[72 : 72 + len(label)] = label
    block[122], block[123] = index, devices
    block[144:152] = (replicas << 52 | 0b101).to_bytes(8, "little")
    return bytes(block)


class RecordingReader:
    """A reader of zeros that records each call as (offset, length), in bytes."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, offset: int, length: int) -> bytes:
        """Read `length` zero bytes."""
        self.calls.append((offset, length))
        return bytes(length)
