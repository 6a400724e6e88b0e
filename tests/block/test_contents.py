"""Reading the superblock of a filesystem of ours from a device."""

import os
from pathlib import Path
from typing import NoReturn

import pytest
from support import MIB, btrfs_block, fat_sector, poke, sparse

from zosstorage.block import contents
from zosstorage.errors import ToolError


@pytest.fixture
def device(tmp_path: Path) -> str:
    return str(sparse(tmp_path / "partition", MIB))


def test_a_device_with_a_filesystem_of_ours(device: str) -> None:
    poke(device, 65536, btrfs_block())
    found = contents.read_content(device)
    assert found is not None
    assert found.type == "btrfs"


def test_a_device_without_a_filesystem(device: str) -> None:
    assert contents.read_content(device) is None


def test_a_device_that_ends_before_the_place_of_a_superblock(device: str) -> None:
    os.truncate(device, 512)
    poke(device, 0, fat_sector())
    found = contents.read_content(device)
    assert found is not None
    assert found.type == "vfat"


def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(ToolError, match="/dev/nonexistent cannot be opened: No such file"):
        contents.read_content("/dev/nonexistent")


def test_a_device_that_cannot_be_read_is_an_error(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError(5, "Input/output error")

    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names, not paths
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(ToolError, match=f"{device} cannot be read: Input/output error"):
        contents.read_content(device)
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
