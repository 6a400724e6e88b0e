import os
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FS_UUID, MIB, btrfs_block, config, sparse

from zosstorage.errors import ToolError
from zosstorage.filesystems import btrfs
from zosstorage.model import PlannedFilesystem

DATA = PlannedFilesystem("btrfs", "ZOSDATA", FS_UUID, ("p",), primary=True, make=True)


def settings(**options):
    return config(filesystems={"btrfs": options})


def argv(topology="single", devices=("/dev/sda2",), **options):
    return btrfs.mkfs_argv(DATA, devices, settings(**options), topology=topology)


START = ["mkfs.btrfs", "-q", "-L", "ZOSDATA", "-U", FS_UUID]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (argv(), [*START, "/dev/sda2"]),
        (argv("dual_independent"), [*START, "/dev/sda2"]),
        (
            argv("btrfs_raid1", ("/dev/sda2", "/dev/sdb2")),
            [*START, "-d", "raid1", "-m", "raid1", "/dev/sda2", "/dev/sdb2"],
        ),
        (argv(data_profile="dup"), [*START, "-d", "dup", "/dev/sda2"]),
        (argv(metadata_profile="single"), [*START, "-m", "single", "/dev/sda2"]),
        (argv(data_profile="single", metadata_profile="dup"), [*START, "-d", "single", "-m", "dup", "/dev/sda2"]),
        (argv(mkfs_options=["-n", "16384"]), [*START, "-n", "16384", "/dev/sda2"]),
    ],
)
def test_argv(found, expected):
    assert found == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["noatime"]),
        ({"mount_options": []}, []),
        ({"mount_options": ["noatime", "ssd"]}, ["noatime", "ssd"]),
        ({"compression": "zstd:3"}, ["noatime", "compress=zstd:3"]),
    ],
    ids=str,
)
def test_mount_options(options, expected):
    assert btrfs.top_options(settings(**options)) == ["subvolid=5", *expected]
    assert btrfs.subvolume_options("vm-meta", settings(**options)) == ["subvol=vm-meta", *expected]


def test_commands():
    assert btrfs.scan_argv(["/dev/a", "/dev/b"]) == ["btrfs", "device", "scan", "/dev/a", "/dev/b"]


def test_subvolumes_where_none_can_be_made(tmp_path):
    with pytest.raises(ToolError, match="cannot be made: "):
        btrfs.create_subvolumes(str(tmp_path), ["etc"])


def made(tmp_path, topology, count):
    paths = [str(sparse(tmp_path / f"image{number}", 256 * MIB)) for number in range(count)]
    argv = btrfs.mkfs_argv(DATA, paths, config(), topology=topology)
    subprocess.run(argv, check=True, capture_output=True)
    return [read(path) for path in paths]


def read(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        return btrfs.read(lambda offset, length: os.pread(handle, length, offset))
    finally:
        os.close(handle)


def test_reads_what_mkfs_made(tmp_path):
    (found,) = made(tmp_path, "single", 1)
    assert (found.type, found.label, found.uuid, found.devices) == ("btrfs", "ZOSDATA", FS_UUID, 1)
    assert found.member not in ("", FS_UUID)


def test_reads_both_members_of_a_mirror(tmp_path):
    one, other = made(tmp_path, "btrfs_raid1", 2)
    assert one.uuid == other.uuid == FS_UUID
    assert (one.devices, other.devices) == (2, 2)
    assert one.member != other.member


def test_an_unfinished_superblock_is_nothing():
    """mkfs.btrfs writes its magic last: a temporary one stands there before."""
    block = bytearray(btrfs_block())
    block[0x40:0x48] = b"!BHRfS_M"
    assert btrfs.read(lambda *_: bytes(block)) is None


def test_the_superblock_is_read_where_it_is():
    places = []
    btrfs.read(lambda offset, length: (places.append((offset, length)), bytes(length))[1])
    assert places == [(65536, 4096)]


@given(st.binary(min_size=576, max_size=576))
def test_any_bytes_behind_the_magic_can_be_read(data):
    data = data.ljust(4096, b"\xff")
    block = data[:0x40] + b"_BHRfS_M" + data[0x48:]
    assert btrfs.read(lambda *_: block).type == "btrfs"
    assert btrfs.read(lambda *_: data) is None or data[0x40:0x48] == b"_BHRfS_M"
