"""btrfs: making it, recognising it, mounting it."""

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
# Any mount knows its options.
MOUNT_VERSION: tuple[int, int] | None = None
# The primary superblock (btrfs on-disk format): at 64 KiB; magic at 0x40 of it, fsid 0x20, num_devices 0x88, the UUID
# of the device at 0x10B (dev_item at 0xC9, UUID 66 bytes into it), the label at 0x12B (256 bytes).
SUPERBLOCK = 64 * 1024
_MAGIC = b"_BHRfS_M"
# BTRFS_FIRST_FREE_OBJECTID: the inode of a subvolume's root directory, and of no other directory.
SUBVOLUME_INODE: int | None = 256
# BTRFS_IOC_SYNC, _IO(0x94, 8), and BTRFS_IOC_SUBVOL_CREATE, _IOW(0x94, 14, struct btrfs_ioctl_vol_args), with what that
# takes, a number of no meaning here and a name (linux/btrfs.h).
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
    """What somebody put on an unfinished filesystem besides empty subvolumes of those names; empty if nothing.

    One that cannot be read is as mkfs.btrfs was about to make it, if no kernel ever committed to it.

    Raises:
        UnreadableFilesystemError: it cannot be read, and may have been mounted.
    """
    try:
        return btrfs_trees.use(members, names)
    except UnreadableFilesystemError:
        if all(btrfs_trees.read_super(at).never_mounted for at in members):
            return ""
        raise


def mkfs_options(
    data_profile: str | None, metadata_profile: str | None, further: Sequence[str], *, discard: bool
) -> tuple[str, ...]:
    """Further words for mkfs.btrfs; a profile that is None is left to mkfs.btrfs.

    Unless `discard`, it leaves the partition's old bytes on the disk: what the scan for blankness missed can be
    recovered.
    """
    profiles = (("-d", data_profile), ("-m", metadata_profile))
    keep = () if discard else ("--nodiscard",)
    return (*keep, *(word for pair in profiles if pair[1] for word in pair if word), *further)


def mkfs_argv(
    filesystem: PlannedFilesystem,
    members: Sequence[tuple[str, Role]],
    *,
    force: bool,  # noqa: ARG001 - never: it refuses what it knows, should all our own looking have failed
) -> list[str]:
    """The command mkfs.btrfs over (node, role) pairs."""
    names = ["-L", filesystem.label, "-U", filesystem.uuid]
    return ["mkfs.btrfs", "-q", *names, *filesystem.options, *(node for node, _ in members)]


def scan_argv(nodes: Sequence[str]) -> list[str] | None:
    """Make the members of a filesystem of several devices known to the kernel: nothing else does where no udev runs."""
    return ["btrfs", "device", "scan", *nodes] if len(nodes) > 1 else None


def mount_options(further: Sequence[str], compression: str | None) -> tuple[str, ...]:
    """The options of every mount."""
    return (*further, *((f"compress={compression}",) if compression else ()))


def top_options(options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of the whole filesystem."""
    return ("subvolid=5", *options)


def subvolume_options(name: str, options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of a subvolume."""
    return (f"subvol={name}", *options)


def mount_argv(
    uuid: str,
    mount: PlannedMount,
    nodes: Sequence[str],  # noqa: ARG001 - the kernel knows the members
) -> list[str]:
    """The command mount."""
    return ["mount", "-t", TYPE, "-o", ",".join(mount.options), f"UUID={uuid}", mount.target]


def create_subvolume(top: str, name: str) -> Ioctl | list[str]:  # noqa: ARG001 - the call is made on the top
    """What makes a subvolume below the mounted top of a filesystem."""
    return Ioctl(_IOC_SUBVOL_CREATE, _VOL_ARGS.pack(0, name.encode()))
