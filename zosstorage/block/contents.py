"""What a block device carries, by our own superblock readers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.errors import ToolError

if TYPE_CHECKING:
    from zosstorage.model import Content


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
