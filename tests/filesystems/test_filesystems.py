import pytest
from support import bcachefs_block, btrfs_block, fat_sector

from zosstorage import filesystems
from zosstorage.filesystems import bcachefs, btrfs, vfat
from zosstorage.topologies import TOPOLOGIES


def partition(**blocks):
    """A reader over a partition with blocks at byte offsets (`at0`, `at4096`)."""
    places = {int(name.removeprefix("at")): block for name, block in blocks.items()}
    return lambda offset, length: places.get(offset, b"").ljust(length, b"\0")[:length]


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
def test_the_filesystem_of_a_partition(blocks, found):
    content = filesystems.read(partition(**blocks))
    assert (content.type if content else None) == found


def test_labels_of_each_type():
    assert filesystems.LABELS == {"vfat": "ZOSBOOT", "btrfs": "ZOSDATA", "bcachefs": "ZOSDATA"}
    assert filesystems.CACHE_LABEL == "ZOSCACHE"


def test_the_module_of_each_type():
    assert [filesystems.module(one) for one in ("btrfs", "bcachefs", "vfat")] == [btrfs, bcachefs, vfat]
    with pytest.raises(KeyError):
        filesystems.module("ext4")


def test_an_esp_is_no_data_filesystem():
    assert {"btrfs", "bcachefs"} == filesystems.DATA_TYPES
    assert {row.filesystem for row in TOPOLOGIES.values()} == filesystems.DATA_TYPES


# What `zosstorage.filesystems` says that a module has.
NAMES = ("TYPE", "LABEL", "TOOLS", "FORMAT_STATUS", "read", "mkfs_argv")
DATA_NAMES = (
    *("mount_options", "top_options", "subvolume_options", "mount_argv", "scan_argv", "create_subvolume"),
    *("mkfs_options", "SUBVOLUME_INODE", "SYNC", "MOUNT_VERSION"),
)


@pytest.mark.parametrize("module", [vfat, btrfs, bcachefs], ids=lambda module: module.TYPE)
def test_a_module_has_everything_that_others_ask_of_it(module):
    wanted = (*NAMES, *(DATA_NAMES if module.TYPE in filesystems.DATA_TYPES else ()))
    assert [name for name in wanted if not hasattr(module, name)] == []
    assert 0 in module.FORMAT_STATUS
