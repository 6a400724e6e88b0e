import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FS_UUID, bcachefs_block, config

from zosstorage.filesystems import bcachefs
from zosstorage.model import PlannedFilesystem, Role

DATA = PlannedFilesystem("bcachefs", "ZOSDATA", FS_UUID, ("p",), primary=True, make=True)
ONE = [("/dev/sda2", Role.DATA)]
TIERS = [("/dev/sda2", Role.BACKING), ("/dev/nvme0n1p2", Role.CACHE), ("/dev/sdb2", Role.BACKING)]
START = ["bcachefs", "format", "--quiet", "-L", "ZOSDATA", f"--uuid={FS_UUID}"]
LABELLED = [
    *("--label=hdd.0", "/dev/sda2", "--label=ssd.0", "/dev/nvme0n1p2", "--label=hdd.1", "/dev/sdb2"),
    *("--foreground_target=ssd", "--promote_target=ssd", "--background_target=hdd"),
]


def settings(**options):
    return config(filesystems={"bcachefs": options})


def argv(topology, devices, *, force=False, **options):
    return bcachefs.mkfs_argv(DATA, devices, settings(**options), topology=topology, force=force)


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
def test_argv(found, expected):
    assert found == expected


@pytest.mark.parametrize(
    ("options", "expected"), [({}, ["noatime"]), ({"mount_options": []}, []), ({"compression": "zstd"}, ["noatime"])]
)
def test_mount_options(options, expected):
    """Compression is a property of the filesystem here, not of a mount."""
    assert bcachefs.top_options(settings(**options)) == expected
    assert bcachefs.subvolume_options("etc", settings(**options)) == ["X-mount.subdir=etc", *expected]


def test_commands(fake_tools):
    fake_tools("bcachefs")
    bcachefs.create_subvolumes("/mnt", ["etc", "system"])
    assert sorted(fake_tools.calls) == [
        ["bcachefs", "subvolume", "create", f"/mnt/{name}"] for name in ("etc", "system")
    ]


def test_a_crash_at_exit_is_no_failure():
    assert set(bcachefs.FORMAT_STATUS) == {0, 139, -11}


@pytest.mark.parametrize(("devices", "replicas", "index"), [(1, 1, 0), (3, 2, 2), (255, 3, 254)])
def test_reads_a_superblock(devices, replicas, index):
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
