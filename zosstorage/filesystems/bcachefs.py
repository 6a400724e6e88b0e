"""bcachefs: making it, recognising it, mounting it."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING
from uuid import UUID

from zosstorage.model import Content, Role
from zosstorage.system import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import PlannedFilesystem

TYPE = "bcachefs"
TOOLS = ("bcachefs",)
# The superblock (bcachefs_format.h, struct bch_sb): at 4 KiB; magic at 24 of it, the user's UUID at 56, label at 72 (32
# bytes), index of the device at 122, number of devices at 123, flags[0] at 144 with the wanted data replicas in bits
# 52 to 55.
SUPERBLOCK = 4096
_MAGIC = UUID("c68573f6-66ce-90a9-d96a-60cf803df7ef").bytes
_REPLICAS_SHIFT, _REPLICAS_MASK = 52, 0xF
# The bytes that `read` goes by; others change while it is mounted.
DECISIVE = tuple((SUPERBLOCK + at, size) for at, size in ((24, 16), (56, 48), (122, 2), (144, 8)))
# `bcachefs format` now and then segfaults at exit after a complete format: the superblock, read back, is what counts.
FORMAT_STATUS = (0, 139, -11)
# The oldest util-linux whose mount knows X-mount.subdir.
MOUNT_VERSION = (2, 39)


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read the primary superblock of a device."""
    block = at(SUPERBLOCK, 512)
    if block[24:40] != _MAGIC:
        return None
    flags = struct.unpack_from("<Q", block, 144)[0]
    return Content(
        TYPE,
        block[72:104].partition(b"\0")[0].decode("utf-8", "replace"),
        str(UUID(bytes=block[56:72])),
        f"device {block[122]}",
        block[123],
        flags >> _REPLICAS_SHIFT & _REPLICAS_MASK,
    )


def mkfs_argv(
    filesystem: PlannedFilesystem, devices: Sequence[tuple[str, Role]], config: Config, *, topology: str, force: bool
) -> list[str]:
    """The command bcachefs format over (device, role) pairs; targets only where there is a cache."""
    settings = config.filesystems.bcachefs
    replicas = settings.replicas or (2 if topology == "bcachefs_2copy" else None)
    return [
        "bcachefs",
        "format",
        "--quiet",
        *(("--force",) if force else ()),
        "-L",
        filesystem.label,
        f"--uuid={filesystem.uuid}",
        *((f"--compression={settings.compression}",) if settings.compression else ()),
        *((f"--replicas={replicas}",) if replicas else ()),
        *settings.mkfs_options,
        *_labelled(devices),
    ]


def _labelled(devices: Sequence[tuple[str, Role]]) -> list[str]:
    """Each device behind its label: device options stick to the devices that follow."""
    if not any(role is Role.CACHE for _, role in devices):
        return [device for device, _ in devices]
    found, counts = [], {"ssd": 0, "hdd": 0}
    for device, role in devices:
        group = "ssd" if role is Role.CACHE else "hdd"
        found += [f"--label={group}.{counts[group]}", device]
        counts[group] += 1
    return [*found, "--foreground_target=ssd", "--promote_target=ssd", "--background_target=hdd"]


def top_options(config: Config) -> list[str]:
    return list(config.filesystems.bcachefs.mount_options)


def subvolume_options(name: str, config: Config) -> list[str]:
    return [f"X-mount.subdir={name}", *config.filesystems.bcachefs.mount_options]


def sync(_path: str) -> None:
    """Write everything through, of all filesystems: bcachefs has no call of its own for it."""
    os.sync()


def create_subvolumes(top: str, names: Iterable[str]) -> None:
    """Make subvolumes below the mounted top of a filesystem.

    Raises:
        ToolError: a command failed.
    """
    run.run_all([["bcachefs", "subvolume", "create", f"{top}/{name}"] for name in names])
