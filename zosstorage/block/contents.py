"""Read the superblock of a block device with our own code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.errors import ToolError
from zosstorage.system import pending, reading
from zosstorage.system.files import open_device

if TYPE_CHECKING:
    from zosstorage.model import Content


def read_content(device: str) -> Content | None:
    """Read the superblock of a filesystem of ours from the medium of a device; None if there is none.

    Raises:
        ToolError: the device cannot be read, or it does not answer.
    """
    return reading.apart(lambda: read_here(device))


def read_here(device: str) -> Content | None:
    """As `read_content`, in this process."""
    try:
        with pending.of(device):
            handle = open_device(device, os.O_RDONLY)
    except OSError as error:
        raise ToolError(f"{device} cannot be opened: {error.strerror}", hint="see dmesg") from error

    def read(offset: int, length: int) -> bytes:
        with pending.of(device):
            return os.pread(handle, length, offset).ljust(length, b"\0")

    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        return filesystems.read(read)
    except OSError as error:
        raise ToolError(f"{device} cannot be read: {error.strerror}", hint="see dmesg") from error
    finally:
        os.close(handle)
