"""Where a disk of a given size may have superblocks that `superblocks` lists: what to read, and what was found there.

The places are those on the bare disk and in a partition that begins at 1 MiB, where partitioning tools have put the
first partition for fifteen years. (A partition at sector 63, as older tools made it, has its first superblocks within
the first MiB.) The start of further partitions is read where well-known installers put them: a filesystem is still
there after its partition table was wiped.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from zosstorage.block import superblocks
from zosstorage.block.superblocks import BLOCK, KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.block.superblocks import Superblock

# Starts of partitions after the first one, in MiB: our own layout (2, 513, 514), Windows (16, 101, 117, 129, 277,
# 351, 501, 550), Fedora and CoreOS (2, 129, 513, 601, 1025, 1026, 1625), Debian and Ubuntu (513, 1025, 1076, 1537),
# Proxmox (512, 1024), Alpine (101, 301), TrueNAS (2048), and ESPs or /boot of 128, 200, 256, 300 and 2048 MiB.
_STARTS = (2, 16, 101, 117, 129, 201, 257, 277, 301, 351, 501, 512, 513, 514, 550, 601)
_LATER_STARTS = (1024, 1025, 1026, 1076, 1537, 1625, 2048, 2049)
_APPLE = 409640 * 512  # Disk Utility: an ESP of 200 MiB from sector 40, then APFS or HFS+


class Region(NamedTuple):
    """A range of bytes that the scan reads, besides the first and the last MiB."""

    offset: int
    length: int
    format: str


def _volumes(size_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, size) of the bare disk, and of a partition from 1 MiB to each end that a partitioning tool chooses."""
    yield 0, size_bytes
    for end in (size_bytes // MIB * MIB - MIB, size_bytes - 33 * 512, size_bytes, _zfs_end(size_bytes)):
        yield MIB, end - MIB


def _zfs_end(size_bytes: int) -> int:
    """The end of the partition that ZFS makes of a whole disk; 8 MiB after it are reserved (zpool_label_disk)."""
    return (size_bytes - 33 * 512 - 8 * MIB) // MIB * MIB


@cache
def _places(size_bytes: int) -> tuple[tuple[int, Superblock], ...]:
    """(byte of the disk at which the magic string begins, superblock) for each place within the disk; ascending."""
    found = [
        (base + row.offset if row.offset >= 0 else base + _from_end(row, size), row)
        for base, size in _volumes(size_bytes)
        for row in superblocks.rows(size)
    ]
    return tuple(sorted(place for place in found if 0 <= place[0] <= size_bytes - len(place[1].magic)))


# Some formats align the end of their volume down, to a multiple of so many bytes.
_ALIGNMENTS = {
    "md RAID 0.90 superblock": 64 * KIB,
    "md RAID 1.x superblock": BLOCK,
    "ZFS uberblock": 256 * KIB,
    "ZFS label": 256 * KIB,
    "DRBD metadata": BLOCK,
}


def _from_end(row: Superblock, size: int) -> int:
    alignment = _ALIGNMENTS.get(row.format, 1)
    return size // alignment * alignment + row.offset


def _long_ranges(size_bytes: int) -> Iterator[tuple[int, int, str]]:
    """(offset, length, name) of longer ranges, where many formats or geometries have superblocks close together."""
    yield MIB, MIB, "the start of a partition"
    yield size_bytes - 2 * MIB, MIB, "the end of a partition"
    for start in (*(start * MIB for start in (*_STARTS, *_LATER_STARTS)), _APPLE):
        yield start, 128 * KIB, "the start of a partition"


@cache
def regions(size_bytes: int) -> tuple[Region, ...]:
    """The regions to read of a disk of that size; ascending."""
    inner = range(MIB, size_bytes - MIB)
    found = {Region(*row) for row in _long_ranges(size_bytes) if row[0] in inner and row[0] + row[1] - 1 in inner}
    read = {block for row in found for block in range(-(-row.offset // BLOCK) * BLOCK, row.offset + row.length, BLOCK)}
    blocks = {offset // BLOCK * BLOCK: row.format for offset, row in _places(size_bytes)}
    found |= {Region(block, BLOCK, name) for block, name in blocks.items() if block in inner and block not in read}
    return tuple(sorted(found, key=lambda region: (region.offset, region.length)))


def find(offset: int, data: bytes, size_bytes: int) -> list[tuple[int, Superblock]]:
    """The known superblocks that start within bytes read at `offset` of a disk, the longest magic string first.

    Each comes with the byte of the disk at which its magic string begins. Longer ones come first because a magic string
    of two bytes matches by chance.
    """
    places = _places(size_bytes)
    here = places[bisect_left(places, offset, key=_start) : bisect_left(places, offset + len(data), key=_start)]
    found = [(place, row) for place, row in here if data[place - offset : place - offset + len(row.magic)] == row.magic]
    return sorted(found, key=lambda hit: -len(hit[1].magic))


def identify(offset: int, data: bytes, size_bytes: int) -> str | None:
    """Name the known superblock that starts within bytes read at `offset` of a disk; the longest magic string wins."""
    found = find(offset, data, size_bytes)
    return found[0][1].format if found else None


def _start(place: tuple[int, Superblock]) -> int:
    return place[0]
