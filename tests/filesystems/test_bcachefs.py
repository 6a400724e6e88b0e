"""bcachefs: superblock, content and commands."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from superblocks import RecordingReader
from support import FS_UUID, bcachefs_block, disk, facts

from zosstorage.errors import UnreadableFilesystemError
from zosstorage.filesystems import bcachefs
from zosstorage.model import Role
from zosstorage.planned import Plan, PlannedMount

ONE = [("/dev/sda2", Role.DATA)]
TIERS = [("/dev/sda2", Role.BACKING), ("/dev/nvme0n1p2", Role.CACHE), ("/dev/sdb2", Role.BACKING)]
START = ["bcachefs", "format", "--quiet", "-L", "ZOSDATA", f"--uuid={FS_UUID}"]
DEVICES = [
    *("--label=hdd.0", "/dev/sda2", "--label=ssd.0", "/dev/nvme0n1p2", "--label=hdd.1", "/dev/sdb2"),
    *("--foreground_target=ssd", "--promote_target=ssd", "--background_target=hdd"),
]


def plan(topology: str, **options: Any) -> Plan:
    """The plan of a topology with options of the configuration."""
    tiers = (disk("sda", rotational=True), disk("sdb", rotational=True), disk("nvme0n1"))
    disks = (disk("sda"),) if topology == "bcachefs_single" else tiers
    return facts(mode=topology, disks=disks, filesystems={"bcachefs": options}).plan


def argv(topology: str, members: Sequence[tuple[str, Role]], *, force: bool = False, **options: Any) -> list[str]:
    """The format command for a topology with options of the configuration."""
    filesystem = evolve(plan(topology, **options).data[0], uuid=FS_UUID)
    return bcachefs.mkfs_argv(filesystem, members, force=force)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (argv("bcachefs_single", ONE), [*START, "/dev/sda2"]),
        (argv("bcachefs_single", ONE, force=True), [*START[:3], "--force", *START[3:], "/dev/sda2"]),
        (argv("ssd_hdd_bcachefs", TIERS), [*START, *DEVICES]),
        (argv("bcachefs_2copy", TIERS), [*START, "--replicas=2", *DEVICES]),
        (argv("ssd_hdd_bcachefs", TIERS, replicas=3), [*START, "--replicas=3", *DEVICES]),
        (argv("ssd_hdd_bcachefs", TIERS, compression="zstd:5"), [*START, "--compression=zstd:5", *DEVICES]),
        (
            argv("bcachefs_2copy", TIERS, compression="lz4"),
            [*START, "--compression=lz4", "--replicas=2", *DEVICES],
        ),
        (
            argv("bcachefs_single", ONE, mkfs_options=["--block_size=4096"]),
            [*START, "--block_size=4096", "/dev/sda2"],
        ),
    ],
)
def test_the_format_command(found: list[str], expected: list[str]) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("options", "expected"), [({}, ("noatime",)), ({"mount_options": []}, ()), ({"compression": "zstd"}, ("noatime",))]
)
def test_mount_options(options: dict[str, Any], expected: tuple[str, ...]) -> None:
    """Compression is an option of mkfs, not of mount."""
    found = plan("bcachefs_single", **options)
    assert found.data[0].top
    assert found.data[0].top.options == expected
    assert {mount.subvolume: mount.options for mount in found.targets}["etc"] == ("X-mount.subdir=etc", *expected)


def test_the_mount_command_names_the_members() -> None:
    mount = PlannedMount("/mnt/etc", "/etc", "etc", ("X-mount.subdir=etc", "noatime"))
    assert bcachefs.mount_argv(FS_UUID, mount, ["/dev/a", "/dev/b"]) == [
        *("mount", "-t", "bcachefs", "-o", "X-mount.subdir=etc,noatime"),
        "/dev/a:/dev/b",
        "/mnt/etc",
    ]


def test_no_command_registers_members() -> None:
    assert bcachefs.scan_argv(["/dev/a", "/dev/b"]) is None


def test_a_command_creates_a_subvolume() -> None:
    assert bcachefs.create_subvolume("/mnt", "etc") == ["bcachefs", "subvolume", "create", "/mnt/etc"]


def test_a_crash_of_format_at_exit_is_accepted() -> None:
    assert set(bcachefs.FORMAT_STATUS) == {0, 139, -11}


@pytest.mark.parametrize(("devices", "replicas", "index"), [(1, 1, 0), (3, 2, 2), (255, 3, 254)])
def test_reads_a_superblock(devices: int, replicas: int, index: int) -> None:
    found = bcachefs.read(lambda *_: bcachefs_block(devices=devices, replicas=replicas, index=index))
    assert found
    assert (found.type, found.label, found.uuid) == ("bcachefs", "ZOSDATA", FS_UUID)
    assert (found.devices, found.replicas) == (devices, replicas)
    assert found.member == f"device {index}"


def test_reads_the_superblock_at_its_offset() -> None:
    reader = RecordingReader()
    bcachefs.read(reader)
    assert reader.calls == [(4096, 512)]


def test_a_bcache_is_not_a_bcachefs() -> None:
    block = bytearray(bcachefs_block())
    block[24:40] = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
    assert bcachefs.read(lambda *_: bytes(block)) is None


@given(st.binary(min_size=512, max_size=512))
def test_any_superblock_with_the_magic_is_read(data: bytes) -> None:
    block = data[:24] + bcachefs_block()[24:40] + data[40:]
    found = bcachefs.read(lambda *_: block)
    assert found
    assert found.type == "bcachefs"
    assert bcachefs.read(lambda *_: data) is None


# Lines as `bcachefs list` of bcachefs-tools 1.12 prints them.
LISTED = "u64s 8 type dirent {}:4047073431812382135:U32_MAX len 0 ver 0: {}"
LOST = LISTED.format(4096, "lost+found -> 4097 type dir")
SUBVOLUMES = ("system", "etc", "modules", "vm-meta")


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ([], ""),
        ([(4096, "etc -> 1 -> 2 type subvol"), (4096, "vm-meta -> 1 -> 3 type subvol")], ""),
        ([(4096, "file -> 4099 type reg")], "file"),
        ([(4096, "home -> 1 -> 2 type subvol")], "home"),  # a subvolume or snapshot with another name
        ([(4096, "etc -> 4099 type dir")], "etc"),
        ([(4097, "recovered -> 4099 type reg")], "recovered"),
        ([(5000, "hosts -> 4099 type reg")], "hosts"),
        ([(4096, "lost+found -> 7 -> 4099 type dir")], "lost+found -> 7"),
        ([(4096, "etc -> 7 -> 1 -> 2 type subvol")], "etc -> 7"),
        ([(4096, "a -> b -> 4099 type lnk")], "a -> b"),
    ],
)
def test_a_listing_with_other_entries_is_a_sign_of_use(entries: list[tuple[int, str]], name: str) -> None:
    lines = ["starting version 1.13: x opts=ro,nochanges", LOST, *(LISTED.format(*entry) for entry in entries), "done"]
    found = bcachefs.listed_use("\n".join(lines), SUBVOLUMES)
    assert found == (f"a file or directory '{name}'" if name else "")


# Another thread printed the first half of a log line right before an entry.
LOG = "missing backpointer for "
LOG_END = "btree=accounting l=1 u64s 11 type btree_ptr_v2 SPOS_MAX len 0 ver 0: seq 57 written 4"


def test_an_entry_may_follow_half_a_log_line() -> None:
    own = f"{LOG}{LOST}\n{LOG_END}\n  want:  u64s 9 type backpointer 0:7: btree=dirents, fixing\n"
    assert bcachefs.listed_use(own, SUBVOLUMES) == ""
    mine = LISTED.format(4096, "mine -> 4099 type reg")
    assert bcachefs.listed_use(f"{LOST}\n{LOG}{mine}\n{LOG_END}", SUBVOLUMES) == "a file or directory 'mine'"


@pytest.mark.parametrize(
    "listing", ["", "starting version 1.13", f"{LOST}\nu64s 8 type dirent of another form", f"{LOST} and more"]
)
def test_a_listing_of_an_unknown_form_is_unreadable(listing: str) -> None:
    with pytest.raises(UnreadableFilesystemError):
        bcachefs.listed_use(listing, SUBVOLUMES)


def test_only_a_completely_formatted_filesystem_needs_the_tool() -> None:
    block = bytearray(8192)
    assert bcachefs.use([lambda offset, length: bytes(block[offset : offset + length])], SUBVOLUMES) == ""
    block[4096 + 144] = 1
    with pytest.raises(UnreadableFilesystemError):
        bcachefs.use([lambda offset, length: bytes(block[offset : offset + length])], SUBVOLUMES)
