"""Checks of mounts and of fstab on recorded output of findmnt."""

from collections.abc import Callable
from typing import Any

import pytest
from recorded import Recorded
from support import disk, facts

from zosstorage.facts import Mount
from zosstorage.output import report
from zosstorage.verification import mounts
from zosstorage.verification.mounts import Mounts, Seen

UUID = "UUID=11111111-2222-4333-8444-555555555555"
SYSTEM = Mount(UUID, "/var/cache/system", "btrfs", "subvol=system,noatime")
DEVICES = ("/dev/sda3", "/dev/sdb3")
BySeen = Callable[[Any], dict[str, tuple[bool, str]]]


def row(**changes: Any) -> dict[str, Any]:
    """A mount in the form of findmnt --json."""
    return {
        "id": 68,
        "target": "/var/cache/system",
        "source": "/dev/sda3",
        "fstype": "btrfs",
        "fsroot": "/system",
        "vfs-options": "rw,noatime",
        "fs-options": "rw,discard=async,space_cache=v2,subvolid=256,subvol=/system",
        **changes,
    }


def one(monkeypatch: pytest.MonkeyPatch, recorded: Recorded, *rows: dict[str, Any], on: int | None = 68) -> Mounts:
    """Mounts as findmnt tells them; the path is on the mount with the ID `on`."""
    recorded.add("findmnt --kernel", {"filesystems": rows})
    monkeypatch.setattr(mounts, "_mount_id", lambda _: on)
    return mounts.read(recorded)


def test_a_mount_as_promised(monkeypatch: pytest.MonkeyPatch, recorded: Recorded, seen: BySeen) -> None:
    found = seen(mounts.check(SYSTEM, SYSTEM.target, DEVICES, one(monkeypatch, recorded, row())))
    assert [name for name, (ok, _) in found.items() if ok] == ["mounted", "subvolume", "read-write", "options"]


@pytest.mark.parametrize(
    ("changes", "failed", "told"),
    [
        ({"source": "/dev/sdz3"}, "mounted", "/dev/sdz3 (btrfs)"),
        ({"fstype": "ext4"}, "mounted", "/dev/sda3 (ext4)"),
        ({"source": None}, "mounted", "(btrfs)"),
        ({"fsroot": "/etc"}, "subvolume", "/etc"),
        ({"vfs-options": "ro,noatime"}, "read-write", "ro (this mount)"),
        ({"fs-options": "ro,space_cache=v2"}, "read-write", "ro (the whole filesystem)"),
        ({"vfs-options": "rw,relatime"}, "options", "rw,relatime"),
    ],
)
def test_a_mount_that_differs(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded, changes: dict[str, Any], failed: str, told: str
) -> None:
    found = mounts.check(SYSTEM, SYSTEM.target, DEVICES, one(monkeypatch, recorded, row(**changes)))
    (red,) = [check for check in found if not check.ok]
    assert (red.check, told in red.seen) == (failed, True)
    assert bool(red.warning) is (failed == "read-write")


def test_a_filesystem_that_no_device_carries_any_more_is_not_mounted(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded, seen: BySeen
) -> None:
    found = seen(mounts.check(SYSTEM, SYSTEM.target, (), one(monkeypatch, recorded, row())))
    assert found == {"mounted": (False, "/dev/sda3 (btrfs)")}


@pytest.mark.parametrize(
    ("asked", "listed", "ok"),
    [
        ("compress=zstd", "compress=zstd:3", True),
        ("compress=zstd", "compress=lzo", False),
        ("compress=zstd", "space_cache=v2", False),
        ("compress=no", "space_cache=v2", True),
        ("commit=60", "space_cache=v2", True),  # the kernel lists it only if it is not the default
        ("commit=60", "commit=90", False),
        ("autodefrag", "space_cache=v2", True),
        ("nosuid", "space_cache=v2", False),
    ],
)
def test_options_that_the_kernel_lists(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded, seen: BySeen, asked: str, listed: str, ok: bool
) -> None:
    mount = Mount(UUID, SYSTEM.target, "btrfs", f"subvol=system,{asked}")
    all_mounts = one(monkeypatch, recorded, row(**{"fs-options": f"rw,{listed}"}))
    assert seen(mounts.check(mount, mount.target, DEVICES, all_mounts))["options"][0] is ok


def test_a_bcachefs_has_several_sources_and_its_subvolume_as_its_root(
    monkeypatch: pytest.MonkeyPatch, recorded: Recorded, seen: BySeen
) -> None:
    mount = Mount(UUID, SYSTEM.target, "bcachefs", "X-mount.subdir=system,noatime")
    all_mounts = one(monkeypatch, recorded, row(source="/dev/sdb3:/dev/sda3", fstype="bcachefs"))
    assert all(ok for ok, _ in seen(mounts.check(mount, mount.target, DEVICES, all_mounts)).values())
    assert seen(mounts.check(mount, mount.target, DEVICES[:1], all_mounts))["mounted"][0] is False


def test_nothing_is_mounted(monkeypatch: pytest.MonkeyPatch, recorded: Recorded, seen: BySeen) -> None:
    root = row(id=1, target="/", fsroot="/")
    for on in (1, None):
        all_mounts = one(monkeypatch, recorded, root, on=on)
        assert seen(mounts.check(SYSTEM, SYSTEM.target, DEVICES, all_mounts)) == {"mounted": (False, "nothing")}


def test_a_hidden_mount(monkeypatch: pytest.MonkeyPatch, recorded: Recorded, seen: BySeen) -> None:
    over = row(id=99, target="/var", fstype="tmpfs", source="tmpfs", fsroot="/")
    all_mounts = one(monkeypatch, recorded, row(), over, on=99)
    found = seen(mounts.check(SYSTEM, SYSTEM.target, DEVICES, all_mounts))
    assert found == {"mounted": (False, "hidden by tmpfs at /var")}


@pytest.mark.parametrize("said", ["", "[]", '{"filesystems": [{"id": 1}]}', '{"filesystems": [{"id": "x"}]}'])
def test_output_of_findmnt_that_cannot_be_read(recorded: Recorded, seen: BySeen, said: str) -> None:
    recorded.add("findmnt --kernel", said)
    found = seen(mounts.check(SYSTEM, SYSTEM.target, DEVICES, mounts.read(recorded)))
    assert found["mounted"][0] is False
    assert found["mounted"][1].startswith("findmnt printed")


def test_the_mount_of_a_path_is_the_one_that_the_kernel_says() -> None:
    number = mounts._mount_id("/proc/self/no/such/path")
    assert number == mounts._mount_id("/proc")
    assert number != mounts._mount_id("/")


def test_writable_needs_the_mount_and_the_filesystem() -> None:
    def seen(flags: str, options: str) -> bool:
        return Seen(1, "/", ("x",), "btrfs", "/", (flags,), (options,)).is_writable

    assert (seen("rw", "rw"), seen("ro", "rw"), seen("rw", "ro")) == (True, False, False)


def fstab(recorded: Recorded, rows: list[dict[str, Any]]) -> list[tuple[bool, str]]:
    built = report.build(facts(mode="single", disks=(disk("sda"),), fstab="/etc/fstab"))
    recorded.add("findmnt --fstab --tab-file /etc/fstab", {"filesystems": rows})
    inside = {mount.target: mount.target for mount in built.mounts}
    return [(check.ok, check.seen) for check in mounts.check_fstab(built, "/etc/fstab", inside, recorded)]


def test_lines_of_fstab(recorded: Recorded) -> None:
    built = report.build(facts(mode="single", disks=(disk("sda"),), fstab="/etc/fstab"))
    rows = [
        {"source": m.source, "target": m.target, "fstype": m.fstype, "options": m.options} for m in built.mounts[1:]
    ]
    assert [ok for ok, _ in fstab(recorded, rows)] == [True] * 4
    assert [ok for ok, _ in fstab(recorded, [*rows, rows[0]])] == [False, True, True, True]  # twice
    assert fstab(recorded, rows[1:])[0] == (False, "no line")
    assert fstab(recorded, [{**rows[0], "options": "ro"}, *rows[1:]])[0][0] is False


def test_an_fstab_that_cannot_be_read(recorded: Recorded) -> None:
    built = report.build(facts(mode="single", disks=(disk("sda"),), fstab="/etc/fstab"))
    recorded.add("findmnt --fstab", stderr="findmnt: can't read /etc/fstab", status=1)
    inside = {mount.target: mount.target for mount in built.mounts}
    found = list(mounts.check_fstab(built, "/etc/fstab", inside, recorded))
    assert [(check.ok, check.seen) for check in found] == [(False, "findmnt: can't read /etc/fstab")] * 4
