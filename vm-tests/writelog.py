"""The log of every write and flush that QEMU's blklogwrites filter keeps, and disks rebuilt from a part of it.

The format is dm-log-writes' (linux Documentation/admin-guide/device-mapper/log-writes.rst): a superblock in the first
sector, then for each request an entry of one sector and its data.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_SUPER, _ENTRY = struct.Struct("<QQQI"), struct.Struct("<QQQQ")
_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD = 1, 2, 4


@dataclass(frozen=True)
class Write:
    """A request: `length` bytes at byte `offset` of the disk, whose data stands at `data` of the log; or a discard.

    Attributes:
        flushes: what came before is on the medium once this is done.
    """

    offset: int
    length: int
    data: int
    flushes: bool
    discards: bool


def read(log: Path) -> list[Write]:
    """All requests of a log, in order."""
    with log.open("rb") as file:
        magic, version, count, sector = _SUPER.unpack(file.read(_SUPER.size))
        assert (magic, version) == (_MAGIC, 1), "not a write log"
        found, at = [], sector
        for _ in range(count):
            file.seek(at)
            start, sectors, flags, _ = _ENTRY.unpack(file.read(_ENTRY.size))
            discards = bool(flags & _DISCARD)
            found.append(Write(start * sector, sectors * sector, at + sector, bool(flags & (_FLUSH | _FUA)), discards))
            at += sector + (0 if discards else sectors * sector)
    return found


def count(log: Path) -> int:
    """How many requests a log has, while it is being written too; 0 before the first."""
    with log.open("rb") as file:
        magic, _, requests, _ = _SUPER.unpack(file.read(_SUPER.size))
    return requests if magic == _MAGIC else 0


def apply(log: Path, writes: Iterable[Write], image: Path) -> None:
    """Carry out requests on an image."""
    with log.open("rb") as source, image.open("r+b") as target:
        for write in writes:
            if write.discards:
                _discard(target.fileno(), write)
            elif write.length:
                os.pwrite(target.fileno(), os.pread(source.fileno(), write.length, write.data), write.offset)


def _discard(handle: int, write: Write) -> None:
    """Zeros: what the guest's virtual disk reads after a discard."""
    for offset, length in _allocated(handle, write.offset, write.offset + write.length):
        os.pwrite(handle, bytes(length), offset)


def _allocated(handle: int, start: int, end: int) -> list[tuple[int, int]]:
    found, at = [], start
    while at < end:
        try:
            at = os.lseek(handle, at, os.SEEK_DATA)
        except OSError:
            break
        hole = min(os.lseek(handle, at, os.SEEK_HOLE), end)
        if at < end:
            found.append((at, hole - at))
        at = hole
    return found


def unflushed(writes: list[Write]) -> list[tuple[int, int]]:
    """(end, dropped) pairs: of the writes up to `end`, the one at `dropped` never reached the medium.

    Only what no flush covered can be lost: for each write the states right before the next flush is done.
    """
    found, since = [], 0
    for number, write in enumerate(writes):
        if write.flushes:
            found += [
                (number, lost) for lost in range(since, number) if writes[lost].length and not writes[lost].discards
            ]
            since = number + 1
    return found
