import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support import FS_UUID, bcachefs_block, disk, facts

from zosstorage.errors import UnreadableFilesystemError
from zosstorage.filesystems import bcachefs
from zosstorage.model import Role
from zosstorage.planned import PlannedMount

ONE = [("/dev/sda2", Role.DATA)]
TIERS = [("/dev/sda2", Role.BACKING), ("/dev/nvme0n1p2", Role.CACHE), ("/dev/sdb2", Role.BACKING)]
START = ["bcachefs", "format", "--quiet", "-L", "ZOSDATA", f"--uuid={FS_UUID}"]
LABELLED = [
    *("--label=hdd.0", "/dev/sda2", "--label=ssd.0", "/dev/nvme0n1p2", "--label=hdd.1", "/dev/sdb2"),
    *("--foreground_target=ssd", "--promote_target=ssd", "--background_target=hdd"),
]


def plan(topology, **options):
    """The plan of a topology with options of the configuration."""
    tiers = (disk("sda", rotational=True), disk("sdb", rotational=True), disk("nvme0n1"))
    disks = (disk("sda"),) if topology == "bcachefs_single" else tiers
    return facts(mode=topology, disks=disks, filesystems={"bcachefs": options}).plan


def argv(topology, members, *, force=False, **options):
    """The format command for a topology with options of the configuration."""
    filesystem = evolve(plan(topology, **options).data[0], uuid=FS_UUID)
    return bcachefs.mkfs_argv(filesystem, members, force=force)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (argv("bcachefs_single", ONE), [*START, "/dev/sda2"]),
        (argv("bcachefs_single", ONE, force=True), [*START[:3], "--force", *START[3:], "/dev/sda2"]),
        (argv("ssd_hdd_bcachefs", TIERS), [*START, *LABELLED]),
        (argv("bcachefs_2copy", TIERS), [*START, "--replicas=2", *LABELLED]),
        (argv("ssd_hdd_bcachefs", TIERS, replicas=3), [*START, "--replicas=3", *LABELLED]),
        (argv("ssd_hdd_bcachefs", TIERS, compression="zstd:5"), [*START, "--compression=zstd:5", *LABELLED]),
        (
            argv("bcachefs_2copy", TIERS, compression="lz4"),
            [*START, "--compression=lz4", "--replicas=2", *LABELLED],
        ),
        (
            argv("bcachefs_single", ONE, mkfs_options=["--block_size=4096"]),
            [*START, "--block_size=4096", "/dev/sda2"],
        ),
    ],
)
def test_the_format_command(found, expected):
    assert found == expected


@pytest.mark.parametrize(
    ("options", "expected"), [({}, ("noatime",)), ({"mount_options": []}, ()), ({"compression": "zstd"}, ("noatime",))]
)
def test_mount_options(options, expected):
    """Compression is a property of the filesystem here, not of a mount."""
    found = plan("bcachefs_single", **options)
    assert found.data[0].top.options == expected
    assert {mount.subvolume: mount.options for mount in found.targets}["etc"] == ("X-mount.subdir=etc", *expected)


def test_a_filesystem_is_mounted_by_its_members():
    mount = PlannedMount("/mnt/etc", "/etc", "etc", ("X-mount.subdir=etc", "noatime"))
    assert bcachefs.mount_argv(FS_UUID, mount, ["/dev/a", "/dev/b"]) == [
        *("mount", "-t", "bcachefs", "-o", "X-mount.subdir=etc,noatime"),
        "/dev/a:/dev/b",
        "/mnt/etc",
    ]


def test_no_members_are_scanned_for():
    assert bcachefs.scan_argv(["/dev/a", "/dev/b"]) is None


def test_a_subvolume_is_made_by_a_command():
    assert bcachefs.create_subvolume("/mnt", "etc") == ["bcachefs", "subvolume", "create", "/mnt/etc"]


def test_a_crash_at_exit_is_no_failure():
    assert set(bcachefs.FORMAT_STATUS) == {0, 139, -11}


@pytest.mark.parametrize(("devices", "replicas", "index"), [(1, 1, 0), (3, 2, 2), (255, 3, 254)])
def test_a_superblock_is_read(devices, replicas, index):
    found = bcachefs.read(lambda *_: bcachefs_block(devices=devices, replicas=replicas, index=index))
    assert (found.type, found.label, found.uuid) == ("bcachefs", "ZOSDATA", FS_UUID)
    assert (found.devices, found.replicas) == (devices, replicas)
    assert found.member == f"device {index}"


def test_the_superblock_is_read_where_it_is():
    places = []
    bcachefs.read(lambda offset, length: (places.append((offset, length)), bytes(length))[1])
    assert places == [(4096, 512)]


def test_a_bcache_is_no_bcachefs():
    block = bytearray(bcachefs_block())
    block[24:40] = bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")
    assert bcachefs.read(lambda *_: bytes(block)) is None


@given(st.binary(min_size=512, max_size=512))
def test_any_bytes_behind_the_magic_can_be_read(data):
    block = data[:24] + bcachefs_block()[24:40] + data[40:]
    assert bcachefs.read(lambda *_: block).type == "bcachefs"
    assert bcachefs.read(lambda *_: data) is None


# What `bcachefs list` of bcachefs-tools 1.12 prints.
LISTED = "u64s 8 type dirent {}:4047073431812382135:U32_MAX len 0 ver 0: {}"
LOST = LISTED.format(4096, "lost+found -> 4097 type dir")
SUBVOLUMES = ("system", "etc", "modules", "vm-meta")


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([], ""),
        ([(4096, "etc -> 1 -> 2 type subvol"), (4096, "vm-meta -> 1 -> 3 type subvol")], ""),
        ([(4096, "file -> 4099 type reg")], "file"),
        ([(4096, "home -> 1 -> 2 type subvol")], "home"),  # another's subvolume or snapshot
        ([(4096, "etc -> 4099 type dir")], "etc"),
        ([(4097, "recovered -> 4099 type reg")], "recovered"),
        ([(5000, "hosts -> 4099 type reg")], "hosts"),
        ([(4096, "lost+found -> 7 -> 4099 type dir")], "lost+found -> 7"),
        ([(4096, "etc -> 7 -> 1 -> 2 type subvol")], "etc -> 7"),
        ([(4096, "a -> b -> 4099 type lnk")], "a -> b"),
    ],
)
def test_what_a_listing_shows_besides_ours(entries, told):
    lines = ["starting version 1.13: x opts=ro,nochanges", LOST, *(LISTED.format(*entry) for entry in entries), "done"]
    found = bcachefs.listed_use("\n".join(lines), SUBVOLUMES)
    assert found == (f"a file or directory '{told}'" if told else "")


@pytest.mark.parametrize(
    "listing", ["", "starting version 1.13", f"{LOST}\nu64s 8 type dirent of another form", f"{LOST} and more"]
)
def test_a_listing_that_cannot_be_understood(listing):
    with pytest.raises(UnreadableFilesystemError):
        bcachefs.listed_use(listing, SUBVOLUMES)


def test_only_an_initialized_filesystem_needs_the_tool():
    block = bytearray(8192)
    assert bcachefs.use([lambda offset, length: bytes(block[offset : offset + length])], SUBVOLUMES) == ""
    block[4096 + 144] = 1
    with pytest.raises(UnreadableFilesystemError):
        bcachefs.use([lambda offset, length: bytes(block[offset : offset + length])], SUBVOLUMES)
