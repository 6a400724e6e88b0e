"""Calls of ioctl(2): as values, which filesystems accept on the folder where they are mounted; and file attributes."""

from __future__ import annotations

import fcntl
import os
import sys
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage.system import signals

if TYPE_CHECKING:
    from collections.abc import Iterable

# FS_IOC_GETFLAGS and its flags (linux/fs.h); the argument is a long by its number and an int in fact.
_GET_FLAGS = 0x80086601
_FLAGS = ((0x10, "immutable"), (0x20, "append-only"))


@frozen
class Ioctl:
    """A request number and the bytes that its argument points to."""

    request: int
    argument: bytes = b""


def call(folder: str, calls: Iterable[Ioctl]) -> None:
    """Make the calls on a folder, one after the other; between two calls, a signal ends the sequence.

    Raises:
        OSError: the kernel refused one.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for one in calls:
            signals.check()
            fcntl.ioctl(handle, one.request, bytearray(one.argument))
    finally:
        os.close(handle)


def protection(path: str) -> tuple[str, ...]:
    """Which attributes prevent changes of a file or directory: `immutable`, `append-only`."""
    argument = bytearray(8)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.ioctl(handle, _GET_FLAGS, argument)
        finally:
            os.close(handle)
    except OSError:  # the filesystem has no attributes
        return ()
    flags = int.from_bytes(argument[:4], sys.byteorder)
    return tuple(name for flag, name in _FLAGS if flags & flag)
