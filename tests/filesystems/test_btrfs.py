"""btrfs: superblock and commands; test_btrfs_trees.py has the content."""

import os
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from superblocks import RecordingReader
from support import FS_UUID, MIB, btrfs_block, disk, facts, sparse

from zosstorage.filesystems import btrfs
from zosstorage.model import Content, Role
from zosstorage.planned import Plan, PlannedMount
from zosstorage.system.ioctl import Ioctl

DISKS = {"single": (disk("sda"),)}


def plan(topology: str = "single", **options: Any) -> Plan:
    """The plan of a topology with options of the configuration."""
    disks = DISKS.get(topology, (disk("sda"), disk("sdb")))
    return facts(mode=topology, disks=disks, filesystems={"btrfs": options}).plan


def argv(
    topology: str = "single", nodes: Sequence[str] = ("/dev/sda2",), *, force: bool = False, **options: Any
) -> list[str]:
    """The mkfs command for a topology with options of the configuration."""
    filesystem = evolve(plan(topology, **options).data[0], uuid=FS_UUID)
    return btrfs.mkfs_argv(filesystem, [(node, Role.DATA) for node in nodes], force=force)


START = ["mkfs.btrfs", "-q", "-L", "ZOSDATA", "-U", FS_UUID, "--nodiscard"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (argv(), [*START, "/dev/sda2"]),
        (argv("dual_independent"), [*START, "/dev/sda2"]),
        (
            argv("btrfs_raid1", ("/dev/sda2", "/dev/sdb2")),
            [*START, "-d", "raid1", "-m", "raid1", "/dev/sda2", "/dev/sdb2"],
        ),
        (argv(discard=True), [*(word for word in START if word != "--nodiscard"), "/dev/sda2"]),
        (argv(data_profile="dup"), [*START, "-d", "dup", "/dev/sda2"]),
        (argv(metadata_profile="single"), [*START, "-m", "single", "/dev/sda2"]),
        (argv(data_profile="single", metadata_profile="dup"), [*START, "-d", "single", "-m", "dup", "/dev/sda2"]),
        (argv(mkfs_options=["-n", "16384"]), [*START, "-n", "16384", "/dev/sda2"]),
        (
            argv("btrfs_raid1", ("/dev/sda2",), data_profile="single", mkfs_options=["-n", "16384"]),
            [*START, "-d", "single", "-m", "raid1", "-n", "16384", "/dev/sda2"],
        ),
        (argv(force=True), [*START, "/dev/sda2"]),
    ],
)
def test_the_mkfs_command(found: list[str], expected: list[str]) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("noatime",)),
        ({"mount_options": []}, ()),
        ({"mount_options": ["noatime", "ssd"]}, ("noatime", "ssd")),
        ({"compression": "zstd:3"}, ("noatime", "compress=zstd:3")),
    ],
    ids=str,
)
def test_mount_options(options: dict[str, Any], expected: tuple[str, ...]) -> None:
    found = plan(**options)
    assert found.data[0].top
    assert found.data[0].top.options == ("subvolid=5", *expected)
    assert {mount.subvolume: mount.options for mount in found.targets}["vm-meta"] == ("subvol=vm-meta", *expected)


def test_the_mount_command_names_the_uuid() -> None:
    mount = PlannedMount("/mnt/etc", "/etc", "etc", ("subvol=etc", "noatime"))
    assert btrfs.mount_argv(FS_UUID, mount, ["/dev/a", "/dev/b"]) == [
        *("mount", "-t", "btrfs", "-o", "subvol=etc,noatime"),
        f"UUID={FS_UUID}",
        "/mnt/etc",
    ]


def test_a_command_registers_the_members_of_several_devices() -> None:
    assert btrfs.scan_argv(["/dev/a", "/dev/b"]) == ["btrfs", "device", "scan", "/dev/a", "/dev/b"]
    assert btrfs.scan_argv(["/dev/a"]) is None


def test_an_ioctl_creates_a_subvolume() -> None:
    """_IOW(0x94, 14, struct btrfs_ioctl_vol_args): a file descriptor of 8 bytes, a name of 4088 (linux/btrfs.h)."""
    found = btrfs.create_subvolume("/mnt", "vm-meta")
    assert isinstance(found, Ioctl)
    assert found == Ioctl(0x40000000 | 4096 << 16 | 0x94 << 8 | 14, struct.pack("<q4088s", 0, b"vm-meta"))
    assert len(found.argument) == 4096


def test_an_ioctl_syncs_a_filesystem() -> None:
    assert Ioctl(0x94 << 8 | 8) == btrfs.SYNC


def made(tmp_path: Path, topology: str, count: int) -> list[Content]:
    """The superblocks on image files that mkfs.btrfs formats."""
    paths = [str(sparse(tmp_path / f"image{number}", 256 * MIB)) for number in range(count)]
    subprocess.run(argv(topology, paths), check=True, capture_output=True)
    return [read(path) for path in paths]


def read(path: str) -> Content:
    handle = os.open(path, os.O_RDONLY)
    try:
        found = btrfs.read(lambda offset, length: os.pread(handle, length, offset))
    finally:
        os.close(handle)
    assert found
    return found


def test_reads_the_superblock_that_mkfs_makes(tmp_path: Path) -> None:
    (found,) = made(tmp_path, "single", 1)
    assert (found.type, found.label, found.uuid, found.devices) == ("btrfs", "ZOSDATA", FS_UUID, 1)
    assert found.member not in ("", FS_UUID)


def test_reads_the_superblocks_of_both_members_of_a_mirror(tmp_path: Path) -> None:
    one, other = made(tmp_path, "btrfs_raid1", 2)
    assert one.uuid == other.uuid == FS_UUID
    assert (one.devices, other.devices) == (2, 2)
    assert one.member != other.member


def test_a_temporary_superblock_is_not_read() -> None:
    """mkfs.btrfs first writes a temporary magic, and the real one last."""
    block = bytearray(btrfs_block())
    block[0x40:0x48] = b"!BHRfS_M"
    assert btrfs.read(lambda *_: bytes(block)) is None


def test_reads_the_superblock_at_its_offset() -> None:
    reader = RecordingReader()
    btrfs.read(reader)
    assert reader.calls == [(65536, 4096)]


@given(st.binary(min_size=576, max_size=576))
def test_any_superblock_with_the_magic_is_read(data: bytes) -> None:
    data = data.ljust(4096, b"\xff")
    block = data[:0x40] + b"_BHRfS_M" + data[0x48:]
    found = btrfs.read(lambda *_: block)
    assert found
    assert found.type == "btrfs"
    assert btrfs.read(lambda *_: data) is None or data[0x40:0x48] == b"_BHRfS_M"
