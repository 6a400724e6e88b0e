"""What differs between the filesystems: mkfs, superblock, content, subvolumes and mount options. Pure.

Each module has TYPE, LABEL, TOOLS, FORMAT_STATUS, `read`, `use` and `mkfs_argv`. The module of a data filesystem also
has `mkfs_options`, `mount_options`, `top_options`, `subvolume_options`, `mount_argv`, `scan_argv`, `create_subvolume`,
SUBVOLUME_INODE, SYNC and MOUNT_VERSION. If only the tool of the filesystem can read its content, the module also has
`list_argv` and `listed_use`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.filesystems import bcachefs, btrfs, vfat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from zosstorage.model import Content

# Reserved: no filesystem that we make has this label, and it never makes a filesystem count as ours.
CACHE_LABEL = "ZOSCACHE"
# The subvolumes that Mount creates on the primary filesystem.
SUBVOLUMES = ("system", "etc", "modules", "vm-meta")
_DATA = {module.TYPE: module for module in (btrfs, bcachefs)}
_ALL: dict[str, ModuleType] = {**_DATA, vfat.TYPE: vfat}
LABELS: dict[str, str] = {name: module.LABEL for name, module in _ALL.items()}
DATA_TYPES = frozenset(_DATA)


def module(fstype: str) -> ModuleType:
    """The module of a filesystem type.

    Raises:
        KeyError: there is no module of this type.
    """
    return _ALL[fstype]


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """The superblock, if it is of a type that we make; `at(offset, length)` reads bytes of the partition."""
    found = (one.read(at) for one in _ALL.values())
    return next((content for content in found if content), None)


def use(fstype: str, members: Sequence[Callable[[int, int], bytes]]) -> str:
    """Find a sign that an unfinished filesystem of ours is in use: something on it that zosstorage does not make.

    Args:
        fstype: the type of the filesystem.
        members: a reader for each of its devices that is present; it takes (offset, length) in bytes of the partition.

    Returns:
        The first sign, in words; empty if there is none.

    Raises:
        UnreadableFilesystemError: the content of the filesystem cannot be read.
        Exception: a reader raised it.
    """
    found: str = module(fstype).use(members, SUBVOLUMES)
    return found


def list_argv(fstype: str, nodes: Sequence[str]) -> list[str] | None:
    """The command that lists the content of a filesystem that `use` cannot read; None for other types."""
    return bcachefs.list_argv(nodes) if fstype == bcachefs.TYPE else None


def listed_use(listing: str) -> str:
    """The same as `use`, from the output of the command of `list_argv`.

    Raises:
        UnreadableFilesystemError: the output has an unknown form.
    """
    return bcachefs.listed_use(listing, SUBVOLUMES)
