"""Read a disk from its medium.

Reads are direct (O_DIRECT, open(2)). They bypass the page cache, which may differ from the medium: pages that a program
has mapped cannot be dropped. If a device refuses direct reads, the page cache is dropped first.

Many small reads are done by read-ahead instead, so that all of them are in the queue of the disk at once. Their data
comes from the page cache, but only if the cache held none of it when the read-ahead was started.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Self

from zosstorage.block.gpt import MIB
from zosstorage.system import pending
from zosstorage.system.files import open_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.model import Disk

# The page size of x86_64 in bytes, and the smallest of any machine.
_PAGE = 4096
# The largest sector of an eligible disk, in bytes.
_LARGEST_SECTOR = 4096
_ZERO = bytes(MIB)


class UnreadableError(Exception):
    """A read failed or was short; `offset` is in bytes, or None if the disk could not be opened."""

    def __init__(self, offset: int | None, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


class Reader:
    """A disk that is open for reading only; a context manager.

    Attributes:
        ends: (offset, length) in bytes of the first and of the last MiB.
        blank_ends: whether `head_and_tail` has read both and every byte is zero.
    """

    def __init__(self, disk: Disk) -> None:
        """Open the disk.

        Raises:
            UnreadableError: it cannot be opened.
        """
        self.disk = disk
        self.ends = ((0, MIB), (disk.size_bytes - MIB, MIB))
        self.blank_ends = False
        self._ahead: set[tuple[int, int]] = set()
        try:
            with pending.of(disk.path):
                self.fd = _open(disk.path)
                self._cached = open_device(disk.path, os.O_RDONLY)
        except OSError as error:
            raise UnreadableError(None, f"it cannot be opened: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the disk; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            os.close(self._cached)
        self.fd = self._cached = -1

    def read_ahead(self, places: Sequence[tuple[int, int]]) -> None:
        """Start reading (offset, length) pairs in bytes; `at` and `view` of such a pair wait for that read.

        Only a place within one page is read ahead: larger reads gain nothing. Nor is a place that is in the page cache
        although the cache was dropped: a program has it mapped or has written to it. A read that does not wait
        (RWF_NOWAIT, preadv2(2)) shows whether it is there.
        """
        handle, byte = self._cached, [bytearray(1)]
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for place in places:
            if place[0] % _PAGE + place[1] <= _PAGE and _is_uncached(handle, place[0], byte):
                self._ahead.add(place)
                # Before Linux 5.13 the read of `_is_uncached` did not start a read-ahead itself.
                os.posix_fadvise(handle, *place, os.POSIX_FADV_WILLNEED)

    def at(self, offset: int, length: int) -> bytes:
        """Read exactly `length` bytes from byte `offset`.

        Raises:
            UnreadableError: an I/O error or a short read.
        """
        return bytes(self.view(offset, length, buffer(length)))

    def view(self, offset: int, length: int, memory: mmap.mmap) -> memoryview:
        """As `at`, without a copy: the bytes are in `memory`, a `buffer` of that length, until its next use.

        Raises:
            UnreadableError: an I/O error or a short read.
        """
        if (offset, length) in self._ahead:
            return memoryview(self._cached_bytes(offset, length))
        sector = self.disk.sector_size
        start = offset // sector * sector  # a direct read is of whole sectors
        whole = -(-(offset + length - start) // sector) * sector
        try:
            count = self._read(memoryview(memory)[:whole], start)
        except OSError as error:
            raise UnreadableError(offset, f"reading it failed: {error.strerror}") from error
        if count < offset + length - start:
            found = max(0, count - (offset - start))
            raise UnreadableError(offset, f"a read of {length} bytes returned only {found}")
        return memoryview(memory)[offset - start : offset - start + length]

    def _cached_bytes(self, offset: int, length: int) -> bytes:
        try:
            with pending.of(self.disk.path):
                data = os.pread(self._cached, length, offset)
        except OSError as error:
            raise UnreadableError(offset, f"reading it failed: {error.strerror}") from error
        if len(data) < length:
            raise UnreadableError(offset, f"a read of {length} bytes returned only {len(data)}")
        return data

    def head_and_tail(self) -> tuple[bytes, bytes]:
        """Read the first and the last MiB.

        Raises:
            UnreadableError: as `at`.
        """
        head, tail = (self.at(*end) for end in self.ends)
        self.blank_ends = is_zero(head) and is_zero(tail)
        return head, tail

    def _read(self, memory: memoryview, offset: int) -> int:
        try:
            with pending.of(self.disk.path):
                return os.preadv(self.fd, [memory], offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_DIRECT:
                raise
        # The disk is a file on a filesystem whose direct reads need larger blocks than the sectors of the disk.
        _make_buffered(self.fd)
        with pending.of(self.disk.path):
            return os.preadv(self.fd, [memory], offset)


def is_zero(data: bytes | memoryview) -> bool:
    """Whether all bytes are zero, at most 1 MiB of them. (`any` takes 10 ms for a MiB: it makes each byte a number.)"""
    return _ZERO.startswith(data)


def buffer(length: int) -> mmap.mmap:
    """Memory for reads of `length` bytes: aligned to a page, with space for the whole sectors at both ends."""
    return mmap.mmap(-1, length + 2 * _LARGEST_SECTOR)


def _is_uncached(handle: int, offset: int, byte: list[bytearray]) -> bool:
    """Whether the byte at `offset` is not in the page cache; False if that is not known."""
    try:
        os.preadv(handle, byte, offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except OSError:  # the file does not support RWF_NOWAIT
        return False
    return False


def _open(path: str) -> int:
    try:
        return open_device(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    handle = open_device(path, os.O_RDONLY)
    _make_buffered(handle)
    return handle


def _make_buffered(handle: int) -> None:
    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) & ~os.O_DIRECT)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
