"""btrfs: making it, recognising it, mounting it."""

from __future__ import annotations

import fcntl
import os
import struct
from typing import TYPE_CHECKING
from uuid import UUID

from zosstorage.errors import ToolError
from zosstorage.model import Content
from zosstorage.system import signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import PlannedFilesystem

TYPE = "btrfs"
TOOLS = ("mkfs.btrfs", "btrfs")
# The primary superblock (btrfs on-disk format): at 64 KiB; magic at 0x40 of it, fsid 0x20, num_devices 0x88, the UUID
# of the device at 0x10B (dev_item at 0xC9, UUID 66 bytes into it), the label at 0x12B (256 bytes).
SUPERBLOCK = 64 * 1024
_MAGIC = b"_BHRfS_M"
# The bytes that `read` goes by; others change with every commit.
DECISIVE = tuple((SUPERBLOCK + at, size) for at, size in ((0x20, 16), (0x40, 8), (0x88, 8), (0x10B, 16), (0x12B, 256)))
# BTRFS_FIRST_FREE_OBJECTID: the inode of a subvolume's root directory, and of no other directory.
SUBVOLUME_INODE = 256
# BTRFS_IOC_SYNC, _IO(0x94, 8), and BTRFS_IOC_SUBVOL_CREATE, _IOW(0x94, 14, struct btrfs_ioctl_vol_args), with what that
# takes, a number of no meaning here and a name (linux/btrfs.h).
_IOC_SYNC = 0x9408
_IOC_SUBVOL_CREATE = 0x5000940E
_VOL_ARGS = struct.Struct("<q4088s")


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read the primary superblock of a device."""
    block = at(SUPERBLOCK, 4096)
    if block[0x40:0x48] != _MAGIC:
        return None
    return Content(
        TYPE,
        block[0x12B:0x22B].partition(b"\0")[0].decode("utf-8", "replace"),
        str(UUID(bytes=block[0x20:0x30])),
        str(UUID(bytes=block[0x10B:0x11B])),
        struct.unpack_from("<Q", block, 0x88)[0],
    )


def mkfs_argv(filesystem: PlannedFilesystem, devices: Sequence[str], config: Config, *, topology: str) -> list[str]:
    """The command mkfs.btrfs, without -f: it refuses what it knows, should all our own looking have failed."""
    settings = config.filesystems.btrfs
    fallback = "raid1" if topology == "btrfs_raid1" else None
    data, metadata = settings.data_profile or fallback, settings.metadata_profile or fallback
    profiles = [*(("-d", data) if data else ()), *(("-m", metadata) if metadata else ())]
    label = ["-L", filesystem.label, "-U", filesystem.uuid]
    return ["mkfs.btrfs", "-q", *label, *profiles, *settings.mkfs_options, *devices]


def scan_argv(devices: Sequence[str]) -> list[str]:
    """Make the members of a multi-device filesystem known to the kernel: nothing else does where no udev runs."""
    return ["btrfs", "device", "scan", *devices]


def top_options(config: Config) -> list[str]:
    return ["subvolid=5", *_options(config)]


def subvolume_options(name: str, config: Config) -> list[str]:
    return [f"subvol={name}", *_options(config)]


def _options(config: Config) -> list[str]:
    settings = config.filesystems.btrfs
    return [*settings.mount_options, *((f"compress={settings.compression}",) if settings.compression else ())]


def sync(path: str) -> None:
    """Commit everything of the filesystem mounted at a path: a new subvolume is lost at a power cut before that.

    Raises:
        OSError: it cannot be written.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(handle, _IOC_SYNC)
    finally:
        os.close(handle)


def create_subvolumes(top: str, names: Iterable[str]) -> None:
    """Make subvolumes below the mounted top of a filesystem.

    Raises:
        ToolError: the kernel refused.
    """
    handle = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in names:
            signals.check()
            fcntl.ioctl(handle, _IOC_SUBVOL_CREATE, bytearray(_VOL_ARGS.pack(0, name.encode())))
    except OSError as error:
        raise ToolError(f"the subvolumes of {top} cannot be made: {error.strerror}", hint="see dmesg") from error
    finally:
        os.close(handle)
