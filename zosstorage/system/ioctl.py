"""Calls of ioctl(2) as values; filesystems accept them on the folder where they are mounted."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage.system import signals

if TYPE_CHECKING:
    from collections.abc import Iterable


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
