"""Checks of filesystems on recorded output of blkid, btrfs and bcachefs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from recorded import Recorded

from zosstorage.output.report import ReportedFilesystem
from zosstorage.verification import content, mounts
from zosstorage.verification.content import Promised
from zosstorage.verification.mounts import Mounts, Seen

UUID = "aaaaaaaa-0000-4000-8000-000000000001"
DEVICES = ("/dev/sda3", "/dev/sdb3")
NAMES = ("system", "etc", "modules", "vm-meta")
TOP = f"/var/mounts/{UUID}"
MOUNTED = Mounts((Seen(1, TOP, ("/dev/sda3",), "btrfs", "/", ("rw",), ("rw",)),))
BLKID = f"DEVNAME=/dev/sda3\nLABEL=ZOSDATA\nUUID={UUID}\nTYPE=btrfs\nUSAGE=filesystem\n"
SHOW = f"""Label: 'ZOSDATA'  uuid: {UUID}
\tTotal devices 2 FS bytes used 212992
\tdevid    1 size 10197401600 used 1350565888 path /dev/sda3
\tdevid    2 size 10197401600 used 1350565888 path /dev/sdb3

"""
DF = """Data, RAID1: total=1073741824, used=0
System, RAID1: total=8388608, used=16384
Metadata, RAID1: total=268435456, used=196608
GlobalReserve, single: total=5767168, used=0
"""
LIST = "".join(f"ID {number} gen 7 top level 5 path {name}\n" for number, name in enumerate(NAMES, 256))
STATS = "".join(
    f"[{device}].{kind}_errs    0\n"
    for device in DEVICES
    for kind in ("write_io", "read_io", "flush_io", "corruption", "generation")
)
BySeen = Callable[[Any], dict[str, tuple[bool, str]]]


@pytest.fixture(autouse=True)
def _mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "_mount_id", lambda _: 1)


@pytest.fixture
def raid1(recorded: Recorded) -> Promised:
    for start, stdout in (
        ("blkid -p -o export", BLKID),
        ("btrfs filesystem show", SHOW),
        ("btrfs filesystem df", DF),
        ("btrfs subvolume list", LIST),
        ("btrfs device stats", STATS),
    ):
        recorded.add(start, stdout)
    filesystem = ReportedFilesystem(UUID, "ZOSDATA", "btrfs", DEVICES, TOP, primary=True)
    return Promised(filesystem, DEVICES, TOP, NAMES, content.topology("btrfs_raid1"))


def check(promised: Promised, tools: Recorded, all_mounts: Mounts = MOUNTED) -> list[Any]:
    return list(content.check(promised, content.superblocks(promised.devices, tools), all_mounts, tools))


def test_a_btrfs_as_promised(raid1: Promised, recorded: Recorded, seen: BySeen) -> None:
    found = seen(check(raid1, recorded))
    assert all(ok for ok, _ in found.values())
    profiles = [f"profile of {kind}" for kind in ("data", "metadata", "system")]
    assert list(found) == ["type", "label", "UUID", "members", *profiles, "subvolumes"]


@pytest.mark.parametrize(
    ("start", "stdout", "failed", "told"),
    [
        ("blkid -p -o export /dev/sdb3", BLKID.replace("ZOSDATA", r"MY\ DATA"), "label", "MY DATA on /dev/sdb3"),
        ("blkid -p -o export /dev/sdb3", BLKID.replace("LABEL=ZOSDATA\n", ""), "label", "none on /dev/sdb3"),
        ("blkid -p -o export /dev/sda3", BLKID.replace("aaaa", "bbbb", 1), "UUID", "on /dev/sda3"),
        ("btrfs filesystem show", SHOW.replace("path /dev/sdb3", "path /dev/sdb3 MISSING"), "members", ", 1 missing"),
        ("btrfs filesystem show", SHOW.replace("path /dev/sdb3", "path <missing disk>"), "members", "/dev/sda3"),
        ("btrfs filesystem show", SHOW.replace("/dev/sdb3", "/dev/sdc3"), "members", "/dev/sda3 /dev/sdc3"),
        ("btrfs filesystem df", f"{DF}Data, single: total=1, used=0\n", "profile of data", "raid1, single"),
        ("btrfs filesystem df", DF.replace("Metadata, RAID1", "Metadata, DUP"), "profile of metadata", "dup"),
        ("btrfs subvolume list", LIST.replace("path etc", "path system/etc"), "subvolumes", "system modules vm-meta"),
        (
            "btrfs subvolume list",
            LIST.replace("level 5 path etc", "level 256 path etc"),
            "subvolumes",
            "system modules",
        ),
    ],
)
def test_a_btrfs_that_differs(
    raid1: Promised, recorded: Recorded, start: str, stdout: str, failed: str, told: str
) -> None:
    recorded.add(start, stdout)
    (red,) = [one for one in check(raid1, recorded) if not one.ok]
    assert (red.name, red.check) == (UUID, failed)
    assert told in red.seen


@pytest.mark.parametrize(
    ("start", "failed"),
    [
        ("blkid -p -o export /dev/sda3", {"type", "label", "UUID"}),
        ("btrfs filesystem show", {"members"}),
        ("btrfs filesystem df", {"profile of data", "profile of metadata", "profile of system"}),
        ("btrfs subvolume list", {"subvolumes"}),
    ],
)
def test_a_tool_that_fails_is_what_is_seen(raid1: Promised, recorded: Recorded, start: str, failed: set[str]) -> None:
    recorded.add(start, stderr="Input/output error", status=1)
    red = [one for one in check(raid1, recorded) if not one.ok]
    assert {one.check for one in red} == failed
    assert all("Input/output error" in one.seen for one in red)


def test_a_device_without_a_filesystem(raid1: Promised, recorded: Recorded, seen: BySeen) -> None:
    recorded.add("blkid -p -o export /dev/sdb3", status=2)
    assert seen(check(raid1, recorded))["type"] == (False, "no filesystem on /dev/sdb3")


def test_what_needs_the_mount_fails_without_it(raid1: Promised, recorded: Recorded) -> None:
    """The tools are not asked: they would tell of the filesystem that has the directory."""
    recorded.answers = {start: said for start, said in recorded.answers.items() if TOP not in start}
    other = Mounts((Seen(1, TOP, ("/dev/sdz1",), "btrfs", "/", ("rw",), ("rw",)),))
    red = [one for one in check(raid1, recorded, other) if not one.ok]
    assert {one.seen for one in red} == {f"not mounted at {TOP}"}
    assert len(red) == 4
    assert content.device_errors(raid1, other, recorded) == ([], [])


def test_a_btrfs_without_a_promised_profile_may_have_any(raid1: Promised, recorded: Recorded, seen: BySeen) -> None:
    dual = evolve(raid1, topology=content.topology("dual_independent"), subvolumes=())
    assert list(seen(check(dual, recorded))) == ["type", "label", "UUID", "members"]
    assert content.topology("of a later version") is None


def test_error_counters(raid1: Promised, recorded: Recorded) -> None:
    counters, checks = content.device_errors(raid1, MOUNTED, recorded)
    assert len(counters) == 10
    assert [(one.ok, one.seen, one.warning) for one in checks] == [(True, "none", "")] * 2
    recorded.add("btrfs device stats", STATS.replace("sdb3].read_io_errs    0", "sdb3].read_io_errs    7"))
    counters, (good, bad) = content.device_errors(raid1, MOUNTED, recorded)
    assert [(one.device, one.kind, one.count) for one in counters if one.count] == [("/dev/sdb3", "read_io", 7)]
    assert (good.warning, bad.ok, bad.seen) == ("", True, "read_io 7")
    assert "kernel log" in bad.warning
    recorded.add("btrfs device stats", stderr="ERROR: no", status=1)
    assert [(one.ok, one.seen) for one in content.device_errors(raid1, MOUNTED, recorded)[1]] == [(False, "ERROR: no")]


def test_an_esp(recorded: Recorded, seen: BySeen) -> None:
    filesystem = ReportedFilesystem("F2F6-0EA4", "ZOSBOOT", "vfat", ("/dev/sda2",), None, primary=False)
    promised = Promised(filesystem, ("/dev/sda2",), None, (), content.topology("single"))
    said = "LABEL=ZOSBOOT\nUUID=F2F6-0EA4\nVERSION=FAT32\nTYPE=vfat\n"
    recorded.add("blkid", said)
    assert all(ok for ok, _ in seen(check(promised, recorded)).values())
    recorded.add("blkid", said.replace("FAT32", "FAT16"))
    assert seen(check(promised, recorded))["FAT"] == (False, "FAT16 on /dev/sda2")


@pytest.fixture
def tiers(recorded: Recorded, show_super: str, tmp_path: Path) -> Promised:
    devices = ("/dev/sda3", "/dev/sdb3", "/dev/sdc3")
    recorded.add("blkid", BLKID.replace("btrfs", "bcachefs"))
    recorded.add("bcachefs show-super", show_super)
    for name in NAMES:
        (tmp_path / name).mkdir()
    filesystem = ReportedFilesystem(UUID, "ZOSDATA", "bcachefs", devices, str(tmp_path), primary=True)
    return Promised(filesystem, devices, str(tmp_path), NAMES, content.topology("bcachefs_2copy"))


def test_a_bcachefs_as_promised(tiers: Promised, recorded: Recorded, seen: BySeen) -> None:
    found = seen(check(tiers, recorded))
    assert all(ok for ok, _ in found.values()), found
    assert (found["members"], found["replicas of data"]) == ((True, "3"), (True, "2"))
    assert [name for name in found if name.endswith("target")] == [
        "foreground target",
        "promote target",
        "background target",
    ]


@pytest.mark.parametrize(
    ("old", "new", "failed"),
    [
        ("  data_replicas:                           2", "  data_replicas:    1", {"replicas of data"}),
        ("  metadata_replicas:                       2", "  metadata_replicas:    1", {"replicas of metadata"}),
        ("  foreground_target:                       ssd", "  foreground_target:   none", {"foreground target"}),
        ("  background_target:                       hdd\n", "", {"background target"}),
        ("  promote_target:                          ssd", "  promote_target:      hdd", {"promote target"}),
        ("Devices:                                   3", "Devices:             2", {"members"}),
        ("External UUID:                             aaaa", "External UUID:    bbbb", {"UUID by bcachefs"}),
        ("  State:                                   rw", "  State:    failed", {"states of members"}),
    ],
)
def test_a_bcachefs_that_differs(
    tiers: Promised, recorded: Recorded, show_super: str, old: str, new: str, failed: set[str]
) -> None:
    assert old in show_super
    recorded.add("bcachefs show-super /dev/sdb3", show_super.replace(old, new, 1))
    assert {one.check for one in check(tiers, recorded) if not one.ok} == failed


def test_more_copies_than_the_topology_needs_are_enough(
    tiers: Promised, recorded: Recorded, show_super: str, seen: BySeen
) -> None:
    recorded.add("bcachefs show-super", show_super.replace("_replicas:                           2", "_replicas:  3"))
    assert seen(check(tiers, recorded))["replicas of data"] == (True, "3")


def test_a_bcachefs_that_cannot_be_read(tiers: Promised, recorded: Recorded) -> None:
    recorded.add("bcachefs show-super /dev/sdb3", stderr="Error opening /dev/sdb3: Invalid argument", status=1)
    red = [one for one in check(tiers, recorded) if not one.ok]
    assert {"members", "UUID by bcachefs", "replicas of data", "foreground target"} <= {one.check for one in red}


def test_a_subvolume_of_a_bcachefs_that_is_gone(
    tiers: Promised, recorded: Recorded, seen: BySeen, tmp_path: Path
) -> None:
    (tmp_path / "etc").rmdir()
    assert seen(check(tiers, recorded))["subvolumes"] == (False, "system modules vm-meta")
