"""What is particular to each filesystem: its mkfs, its superblock, its subvolumes and mount options. Pure.

A module of a filesystem has TYPE, LABEL, TOOLS, `read`, `use` and `mkfs_argv`; one of a data filesystem has besides:
`mount_options`, `top_options`, `subvolume_options`, `mount_argv`, `scan_argv`, `create_subvolume`, SUBVOLUME_INODE,
SYNC, FORMAT_STATUS and MOUNT_VERSION; one whose contents only a tool of its own can read, `list_argv` and `listed_use`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.filesystems import bcachefs, btrfs, vfat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from zosstorage.model import Content

# Reserved: no filesystem of ours carries it yet, none of another's may be taken for ours because of it.
CACHE_LABEL = "ZOSCACHE"
# What Mount makes on the primary filesystem.
SUBVOLUMES = ("system", "etc", "modules", "vm-meta")
_DATA = {module.TYPE: module for module in (btrfs, bcachefs)}
_ALL: dict[str, ModuleType] = {**_DATA, vfat.TYPE: vfat}
LABELS: dict[str, str] = {name: module.LABEL for name, module in _ALL.items()}
DATA_TYPES = frozenset(_DATA)


def module(fstype: str) -> ModuleType:
    """The module of a filesystem by its type.

    Raises:
        KeyError: there is none.
    """
    return _ALL[fstype]


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """The superblock of one of our filesystems; `at(offset, length)` reads bytes of the partition."""
    found = (one.read(at) for one in _ALL.values())
    return next((content for content in found if content), None)


def use(fstype: str, members: Sequence[Callable[[int, int], bytes]]) -> str:
    """What somebody put on an unfinished filesystem of ours, besides what Mount makes; empty if nothing.

    `members` are those of its devices that are here: each reads (offset, length) in bytes of its partition.

    Raises:
        UnreadableFilesystemError: it cannot be told.
        Exception: what the reading of a member raises.
    """
    found: str = module(fstype).use(members, SUBVOLUMES)
    return found


def list_argv(fstype: str, nodes: Sequence[str]) -> list[str] | None:
    """The command that lists what a filesystem holds that `use` cannot read; None if there is none."""
    return bcachefs.list_argv(nodes) if fstype == bcachefs.TYPE else None


def listed_use(listing: str) -> str:
    """As `use`, from what the command of `list_argv` printed.

    Raises:
        UnreadableFilesystemError: it cannot be understood.
    """
    return bcachefs.listed_use(listing, SUBVOLUMES)
