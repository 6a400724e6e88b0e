"""The modules of the filesystems have one interface, and are found by type."""

from collections.abc import Callable
from types import ModuleType

import pytest
from support import bcachefs_block, btrfs_block, fat_sector

from zosstorage import filesystems
from zosstorage.filesystems import bcachefs, btrfs, vfat
from zosstorage.topologies import TOPOLOGIES


def partition(**blocks: bytes) -> Callable[[int, int], bytes]:
    """A reader of a partition with blocks at byte offsets (`at0`, `at4096`)."""
    offsets = {int(name.removeprefix("at")): block for name, block in blocks.items()}
    return lambda offset, length: offsets.get(offset, b"").ljust(length, b"\0")[:length]


@pytest.mark.parametrize(
    ("blocks", "found"),
    [
        ({}, None),
        ({"at0": fat_sector()}, "vfat"),
        ({"at4096": bcachefs_block()}, "bcachefs"),
        ({"at65536": btrfs_block()}, "btrfs"),
        ({"at0": fat_sector(), "at65536": btrfs_block()}, "btrfs"),
    ],
    ids=str,
)
def test_finds_the_filesystem_of_a_partition(blocks: dict[str, bytes], found: str | None) -> None:
    content = filesystems.read(partition(**blocks))
    assert (content.type if content else None) == found


def test_each_type_has_a_label() -> None:
    assert filesystems.LABELS == {"vfat": "ZOSBOOT", "btrfs": "ZOSDATA", "bcachefs": "ZOSDATA"}
    assert filesystems.CACHE_LABEL == "ZOSCACHE"


def test_each_type_has_a_module() -> None:
    assert [filesystems.module(one) for one in ("btrfs", "bcachefs", "vfat")] == [btrfs, bcachefs, vfat]
    with pytest.raises(KeyError):
        filesystems.module("ext4")


def test_an_esp_is_not_a_data_filesystem() -> None:
    assert {"btrfs", "bcachefs"} == filesystems.DATA_TYPES
    assert {row.filesystem for row in TOPOLOGIES.values()} == filesystems.DATA_TYPES


# The interface of a module, as the docstring of `zosstorage.filesystems` describes it.
NAMES = ("TYPE", "LABEL", "TOOLS", "FORMAT_STATUS", "read", "use", "mkfs_argv")
DATA_NAMES = (
    *("mount_options", "top_options", "subvolume_options", "mount_argv", "scan_argv", "create_subvolume"),
    *("mkfs_options", "SUBVOLUME_INODE", "SYNC", "MOUNT_VERSION"),
)


@pytest.mark.parametrize("module", [vfat, btrfs, bcachefs], ids=lambda module: module.TYPE)
def test_a_module_has_the_interface(module: ModuleType) -> None:
    names = (*NAMES, *(DATA_NAMES if module.TYPE in filesystems.DATA_TYPES else ()))
    assert [name for name in names if not hasattr(module, name)] == []
    assert 0 in module.FORMAT_STATUS
