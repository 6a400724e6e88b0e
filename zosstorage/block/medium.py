"""Reading a disk from its medium.

Reads are direct (O_DIRECT, open(2)): they pass by the page cache, which may hold what the medium does not, for pages
that a program has mapped stay there. Where a device refuses direct reads, the page cache is emptied before.

Many small reads are read ahead instead, so that the disk has all of them in its queue. Those answers come from the page
cache, but only where it was seen to hold nothing a moment before.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
from typing import TYPE_CHECKING, Self

from zosstorage.block.gpt import MIB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.model import Disk

# In bytes, a page of x86_64 and the smallest of any machine.
_PAGE = 4096
# In bytes; no disk with larger sectors is eligible.
_LARGEST_SECTOR = 4096
_ZERO = bytes(MIB)


class UnreadableError(Exception):
    """A read failed or came up short; `offset` in bytes, None where the disk could not even be opened."""

    def __init__(self, offset: int | None, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


class Reader:
    """A disk opened for reading only; a context manager.

    Attributes:
        ends: the (offset, length) in bytes of the first and of the last MiB.
        blank_ends: both were read by `head_and_tail`, and are zero.
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
            self.fd = _opened(disk.path)
            self._cached = os.open(disk.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnreadableError(None, f"it cannot be opened: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the disk, once."""
        if self.fd >= 0:
            os.close(self.fd)
            os.close(self._cached)
        self.fd = self._cached = -1

    def read_ahead(self, places: Sequence[tuple[int, int]]) -> None:
        """Have the kernel read (offset, length) pairs in bytes; `at` and `view` of such a pair then wait for that read.

        Only small places are worth it, a page or less. Nor is one read ahead that the page cache holds although it was
        emptied, because a program has it mapped or has written to it: a read that must not wait (RWF_NOWAIT,
        preadv2(2)) tells.
        """
        handle, room = self._cached, [bytearray(1)]
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for place in places:
            if place[0] % _PAGE + place[1] <= _PAGE and _is_unread(handle, place[0], room):
                self._ahead.add(place)
                os.posix_fadvise(handle, *place, os.POSIX_FADV_WILLNEED)  # before Linux 5.13 that read began nothing

    def at(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from byte `offset`.

        Raises:
            UnreadableError: an I/O error or a short read.
        """
        return bytes(self.view(offset, length, buffer(length)))

    def view(self, offset: int, length: int, room: mmap.mmap) -> memoryview:
        """As `at`, without a copy: the bytes are in `room`, a `buffer` of that length, until its next use.

        Raises:
            UnreadableError: an I/O error or a short read.
        """
        if (offset, length) in self._ahead:
            return memoryview(self._cached_bytes(offset, length))
        sector = self.disk.sector_size
        start = offset // sector * sector  # direct reads are of whole sectors
        whole = -(-(offset + length - start) // sector) * sector
        try:
            count = self._read(memoryview(room)[:whole], start)
        except OSError as error:
            raise UnreadableError(offset, f"reading it failed: {error.strerror}") from error
        if count < offset + length - start:
            found = max(0, count - (offset - start))
            raise UnreadableError(offset, f"a read of {length} bytes gave only {found}")
        return memoryview(room)[offset - start : offset - start + length]

    def _cached_bytes(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._cached, length, offset)
        except OSError as error:
            raise UnreadableError(offset, f"reading it failed: {error.strerror}") from error
        if len(data) < length:
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

    def _read(self, room: memoryview, offset: int) -> int:
        try:
            return os.preadv(self.fd, [room], offset)
        except OSError as error:
            if error.errno != errno.EINVAL or not fcntl.fcntl(self.fd, fcntl.F_GETFL) & os.O_DIRECT:
                raise
        _make_buffered(self.fd)  # a file system that wants larger blocks than the disk in the file has sectors
        return os.preadv(self.fd, [room], offset)


def is_zero(data: bytes | memoryview) -> bool:
    """Whether all bytes are zero, at most 1 MiB of them. (`any` would look at each as a number: 10 ms a MiB.)"""
    return _ZERO.startswith(data)


def buffer(length: int) -> mmap.mmap:
    """Memory for reads of so many bytes: it begins at a page, and has room for the rest of the sectors at both ends."""
    return mmap.mmap(-1, length + 2 * _LARGEST_SECTOR)


def _is_unread(handle: int, offset: int, room: list[bytearray]) -> bool:
    """Whether the page cache does not hold the page of a byte."""
    try:
        os.preadv(handle, room, offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return True
    except OSError:  # it cannot be told of this file
        return False
    return False


def _opened(path: str) -> int:
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_DIRECT)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    handle = os.open(path, flags)
    _make_buffered(handle)
    return handle


def _make_buffered(handle: int) -> None:
    fcntl.fcntl(handle, fcntl.F_SETFL, fcntl.fcntl(handle, fcntl.F_GETFL) & ~os.O_DIRECT)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
