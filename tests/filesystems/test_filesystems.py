import pytest
from support import bcachefs_block, btrfs_block, fat_sector

from zosstorage import filesystems
from zosstorage.filesystems import bcachefs, btrfs, data_module, vfat


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
def test_read(blocks, found):
    content = filesystems.read(partition(**blocks))
    assert (content.type if content else None) == found


def test_labels():
    assert filesystems.LABELS == {"vfat": "ZOSBOOT", "btrfs": "ZOSDATA", "bcachefs": "ZOSDATA"}
    assert filesystems.CACHE_LABEL == "ZOSCACHE"


def test_data_modules():
    assert data_module("btrfs") is btrfs
    assert data_module("bcachefs") is bcachefs
    with pytest.raises(KeyError):
        data_module(vfat.TYPE)
