"""btrfs: superblock, content, and the commands that make and mount it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING
from uuid import UUID

from zosstorage.errors import UnreadableFilesystemError
from zosstorage.filesystems import btrfs_trees
from zosstorage.model import Content
from zosstorage.system.ioctl import Ioctl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.model import Role
    from zosstorage.planned import PlannedFilesystem, PlannedMount

TYPE = "btrfs"
LABEL = "ZOSDATA"
TOOLS = ("mkfs.btrfs", "btrfs")
FORMAT_STATUS = (0,)
# Every version of mount supports its options.
MOUNT_VERSION: tuple[int, int] | None = None
# The primary superblock (btrfs on-disk format) is at 64 KiB. Offsets in it: fsid 0x20, magic 0x40, num_devices 0x88,
# UUID of the device 0x10B (dev_item 0xC9 + 66), label 0x12B (256 bytes).
SUPERBLOCK = 64 * 1024
_MAGIC = b"_BHRfS_M"
# BTRFS_FIRST_FREE_OBJECTID: the inode of a subvolume's root directory, and of no other directory.
SUBVOLUME_INODE: int | None = 256
# linux/btrfs.h: BTRFS_IOC_SYNC is _IO(0x94, 8). BTRFS_IOC_SUBVOL_CREATE is _IOW(0x94, 14, struct btrfs_ioctl_vol_args);
# the structure is a file descriptor, which this call does not use, and a name.
SYNC: Ioctl | None = Ioctl(0x9408)
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


def use(members: Sequence[Callable[[int, int], bytes]], names: Sequence[str]) -> str:
    """What is on an unfinished filesystem besides empty subvolumes with some names; empty if nothing is.

    A filesystem that cannot be read, and that was never mounted, is the leftover of an interrupted mkfs.btrfs: empty.

    Raises:
        UnreadableFilesystemError: the filesystem cannot be read, and may have been mounted.
    """
    try:
        return btrfs_trees.use(members, names)
    except UnreadableFilesystemError:
        if all(btrfs_trees.read_super(at).never_mounted for at in members):
            return ""
        raise


def mkfs_options(
    data_profile: str | None, metadata_profile: str | None, more: Sequence[str], *, discard: bool
) -> tuple[str, ...]:
    """Arguments for mkfs.btrfs; it selects a profile that is None. `more` are appended.

    Without `discard`, mkfs.btrfs does not trim the partition, so data that the scan missed can still be recovered.
    """
    profiles = (("-d", data_profile), ("-m", metadata_profile))
    keep = () if discard else ("--nodiscard",)
    return (*keep, *(word for pair in profiles if pair[1] for word in pair if word), *more)


def mkfs_argv(
    filesystem: PlannedFilesystem,
    members: Sequence[tuple[str, Role]],
    *,
    force: bool,  # noqa: ARG001 - unused: without it mkfs.btrfs refuses a known signature, if our own checks missed it
) -> list[str]:
    """The mkfs.btrfs command for (node, role) pairs."""
    names = ["-L", filesystem.label, "-U", filesystem.uuid]
    return ["mkfs.btrfs", "-q", *names, *filesystem.options, *(node for node, _ in members)]


def scan_argv(nodes: Sequence[str]) -> list[str] | None:
    """The command that registers the members with the kernel, as udev may not run; None for a single device."""
    return ["btrfs", "device", "scan", *nodes] if len(nodes) > 1 else None


def mount_options(more: Sequence[str], compression: str | None) -> tuple[str, ...]:
    """The options of every mount of the filesystem."""
    return (*more, *((f"compress={compression}",) if compression else ()))


def top_options(options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of the whole filesystem."""
    return ("subvolid=5", *options)


def subvolume_options(name: str, options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of a subvolume."""
    return (f"subvol={name}", *options)


def mount_argv(
    uuid: str,
    mount: PlannedMount,
    nodes: Sequence[str],  # noqa: ARG001 - the kernel knows the members by their UUID
) -> list[str]:
    """The mount command."""
    return ["mount", "-t", TYPE, "-o", ",".join(mount.options), f"UUID={uuid}", mount.target]


def create_subvolume(top: str, name: str) -> Ioctl | list[str]:  # noqa: ARG001 - the caller opens it
    """The ioctl that creates a subvolume; it is called on the directory where the whole filesystem is mounted."""
    return Ioctl(_IOC_SUBVOL_CREATE, _VOL_ARGS.pack(0, name.encode()))
