"""What a block device carries, by our own superblock readers."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.errors import NotEmptyError, ToolError, UnreadableFilesystemError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from zosstorage.model import Content


@contextmanager
def claimed(device: str) -> Iterator[Callable[[int, int], bytes]]:
    """Open a device as its only claimant for reading, from the medium: yields what reads (offset, length) in bytes.

    While it is claimed nobody can mount it, nor can a mkfs that claims its device begin. What is read raises
    UnreadableFilesystemError where it fails.

    Raises:
        NotEmptyError: something uses the device, or it cannot be opened.
    """
    try:
        handle = os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        raise NotEmptyError(
            f"{device} cannot be claimed: {error.strerror}", hint=f"see fuser -v {device}; something uses it now"
        ) from error
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        yield partial(_at, handle)
    finally:
        os.close(handle)


def _at(handle: int, offset: int, length: int) -> bytes:
    try:
        data = os.pread(handle, length, offset)
    except OSError as error:
        raise UnreadableFilesystemError(f"reading it failed: {error.strerror}") from error
    if len(data) != length:
        raise UnreadableFilesystemError(f"a read of {length} bytes gave only {len(data)}")
    return data


def read_content(device: str) -> Content | None:
    """The superblock of a filesystem of ours on a device, from the medium.

    Raises:
        ToolError: it cannot be read.
    """
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ToolError(f"{device} cannot be opened: {error.strerror}", hint="see dmesg") from error
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        return filesystems.read(lambda offset, length: os.pread(handle, length, offset).ljust(length, b"\0"))
    except OSError as error:
        raise ToolError(f"{device} cannot be read: {error.strerror}", hint="see the kernel's log") from error
    finally:
        os.close(handle)
