"""What is particular to each filesystem: its mkfs, its superblock, its subvolumes and mount options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.filesystems import bcachefs, btrfs, vfat

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from zosstorage.model import Content

DATA_LABEL = "ZOSDATA"
# Reserved: no filesystem of ours carries it yet, none of another's may be taken for ours because of it.
CACHE_LABEL = "ZOSCACHE"
LABELS = {vfat.TYPE: vfat.LABEL, btrfs.TYPE: DATA_LABEL, bcachefs.TYPE: DATA_LABEL}


# The (offset, length) pairs of bytes of a partition that `read` goes by.
DECISIVE = (*btrfs.DECISIVE, *bcachefs.DECISIVE, *vfat.DECISIVE)


def data_module(fstype: str) -> ModuleType:
    """The module of a data filesystem."""
    return {btrfs.TYPE: btrfs, bcachefs.TYPE: bcachefs}[fstype]


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """The superblock of one of our filesystems; `at(offset, length)` reads bytes of the partition."""
    found = (module.read(at) for module in (btrfs, bcachefs, vfat))
    return next((content for content in found if content), None)
