"""Reading a disk's bytes: which regions, and whether they are all zero.

Reads go through the page cache, emptied first so that the medium answers and not an old copy (a partition's pages and
its disk's are kept apart), and are asked for ahead of time: one thread keeps every disk's queue full.
"""

from __future__ import annotations

import logging
import os
import struct
import time
from functools import cache
from typing import TYPE_CHECKING, Self

from attrs import frozen

from zosstorage.block import superblocks
from zosstorage.block.gpt import MIB
from zosstorage.model import Depth, Disk, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

BLOCK = 4096
# Strata of an even sample, one read each at a random place in it. A used fraction f of a disk goes unseen with a chance
# of at most (1 - f)^n, wherever it lies: 0.1 % used and 1024 reads: 36 %; 1 % used: 0.003 %. A rotating disk pays 5 to
# 10 ms for each read: 128 of them, 1 % used: 28 %; 10 %: 0.0001 %.
SAMPLES_SSD = 1024
SAMPLES_ROTATING = 128
# How many chunks of a full scan are asked for ahead, and their size in bytes.
_AHEAD = 8
_CHUNK = 4 * MIB
_ZERO = bytes(_CHUNK)


class UnreadableError(Exception):
    """A read failed or came up short; `offset` in bytes, None where the disk could not even be opened."""

    def __init__(self, offset: int | None, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


class Reader:
    """A disk opened for reading only; a context manager."""

    def __init__(self, disk: Disk) -> None:
        """Open the disk and drop what the page cache holds of it.

        Raises:
            UnreadableError: it cannot be opened.
        """
        self.disk = disk
        self.ends = ((0, MIB), (disk.size_bytes - MIB, MIB))
        self.blank_ends = False
        try:
            self.fd = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableError(None, f"it cannot be opened: {error.strerror}") from error
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the disk, once; with its last handle the kernel drops what it kept of it, which takes a while."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1

    def ask(self, places: Iterable[tuple[int, int]]) -> None:
        """Have the kernel read ahead, (offset, length) by (offset, length)."""
        handle, advise, advice = self.fd, os.posix_fadvise, os.POSIX_FADV_WILLNEED  # there are many of them
        for offset, length in places:
            advise(handle, offset, length, advice)

    def at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from byte `offset`.

        Raises:
            UnreadableError: an I/O error or a short read.
        """
        try:
            data = os.pread(self.fd, length, offset)
        except OSError as error:
            raise UnreadableError(offset, f"reading it failed: {error.strerror}") from error
        if len(data) != length:
            raise UnreadableError(offset, f"a read of {length} bytes gave only {len(data)}")
        return data

    def head_and_tail(self) -> tuple[bytes, bytes]:
        """The first and the last MiB.

        Raises:
            UnreadableError: as `at`.
        """
        head, tail = (self.at(*end) for end in self.ends)
        self.blank_ends = is_zero(head) and is_zero(tail)
        return head, tail


@frozen
class Finding:
    """The first byte of a region that is not zero, and what stands there."""

    offset: int
    data: bytes


def is_zero(data: bytes) -> bool:
    """Whether there is no other byte; at most 4 MiB of them. (`any` would look at each as a number: 10 ms a MiB.)"""
    return _ZERO.startswith(data)


def first_used(offset: int, data: bytes) -> Finding | None:
    """The first non-zero byte in what was read at `offset`."""
    if is_zero(data):
        return None
    at = len(data) - len(data.lstrip(b"\0"))
    return Finding(offset + at, data[at : at + 16])


def regions(disk: Disk, depth: Depth) -> list[tuple[int, int]]:
    """The (offset, length) pairs in bytes that a scan of that depth reads of a disk, ascending."""
    size = disk.size_bytes
    if depth is Depth.FULL:
        return [(at, min(_CHUNK, size - at)) for at in range(0, size, _CHUNK)]
    sample = _sample(size, SAMPLES_ROTATING if disk.rotational else SAMPLES_SSD) if depth is Depth.SAMPLED else ()
    return sorted({*_known(size), *sample})


@cache
def _known(size: int) -> tuple[tuple[int, int], ...]:
    """Both ends, and where known formats keep superblocks."""
    return ((0, MIB), (size - MIB, MIB), *((region.offset, region.length) for region in superblocks.regions(size)))


def _sample(size: int, count: int) -> list[tuple[int, int]]:
    """One block at a random place in each of `count` even strata: no grid that data could hide between."""
    stratum = size // count
    jitter = struct.unpack(f"{count}Q", os.urandom(8 * count))
    return [(_align(number * stratum + jitter[number] % stratum, size), BLOCK) for number in range(count)]


def _align(offset: int, size: int) -> int:
    return min(offset, size - BLOCK) // BLOCK * BLOCK


def find_used(readers: Iterable[Reader], depth: Depth) -> dict[str, Evidence | None]:
    """Look for a used byte in the regions of every disk, side by side: disk path → the first one, or None.

    A read that fails is evidence too.
    """
    readers = list(readers)
    progress = _Progress(depth, sum(reader.disk.size_bytes for reader in readers))
    walks = {reader.disk.path: _walk(reader, depth) for reader in readers}
    found: dict[str, Evidence | None] = dict.fromkeys(walks)
    while walks:
        for path, walk in list(walks.items()):
            step = next(walk, None)
            if step is None or isinstance(step, Evidence):
                found[path] = step
                del walks[path]
            else:
                progress.add(step)
    return found


def _walk(reader: Reader, depth: Depth) -> Iterator[int | Evidence]:
    """Ask for regions ahead and look at them: yields now and then the bytes looked at, or the evidence that ends it."""
    places = regions(reader.disk, depth)
    if reader.blank_ends:  # read through this very handle
        places = [place for place in places if place not in reader.ends]
    ahead = _AHEAD if depth is Depth.FULL else len(places)
    reader.ask(places[:ahead])
    yield 0
    looked = 0
    for number, (offset, length) in enumerate(places):
        if number + ahead < len(places):
            reader.ask([places[number + ahead]])
        try:
            data = reader.at(offset, length)
        except UnreadableError as error:
            yield unreadable(error)
            return
        if finding := first_used(offset, data):
            yield used(reader.disk, finding, superblocks.identify(offset, data, reader.disk.size_bytes))
            return
        del data  # up to 4 MiB, and a walk of every disk stands here while others go on
        looked += length
        if looked >= _CHUNK // 8:
            yield looked
            looked = 0
        if depth is Depth.FULL:
            os.posix_fadvise(reader.fd, offset, length, os.POSIX_FADV_DONTNEED)
    yield looked


def used(disk: Disk, finding: Finding, name: str | None) -> Evidence:
    """The evidence that a byte is in use."""
    what = f"{name}: " if name else "data: "
    return Evidence("bytes", finding.offset, what + dump(finding.data), erase_hint(disk.path))


def unreadable(error: UnreadableError) -> Evidence:
    """The evidence that a disk, or a byte of it, cannot be read."""
    hint = "look for I/O errors in the kernel's log; a failing disk is never written"
    return Evidence("read", error.offset, error.reason, hint)


def erase_hint(path: str) -> str:
    """What an operator can do about a disk that is not blank."""
    return f"if nothing on {path} is needed, erase it by hand (wipefs -a, then blkdiscard or dd of zeros)"


def dump(data: bytes) -> str:
    """Bytes as hex and ASCII."""
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)  # noqa: PLR2004 - printable ASCII
    return f"{data.hex(' ')} |{text}|"


class _Progress:
    """A line a second while whole disks are read."""

    def __init__(self, depth: Depth, total: int) -> None:
        self.loud = depth is Depth.FULL
        self.total = total
        self.done = 0
        self.next = time.monotonic() + 1

    def add(self, count: int) -> None:
        self.done += count
        if self.loud and time.monotonic() >= self.next:
            self.next = time.monotonic() + 1
            log.info(
                "reading whole disks",
                extra={"read_bytes": self.done, "total_bytes": self.total, "percent": 100 * self.done // self.total},
            )
