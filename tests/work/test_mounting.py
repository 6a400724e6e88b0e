import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fakes import FakeTools
from support import disk, facts

from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.model import Disk
from zosstorage.planning.commands import commands
from zosstorage.system import mountinfo
from zosstorage.system.mountinfo import Mounted
from zosstorage.work import mounting
from zosstorage.work.mounting import Wanted

NAMES = ["system", "etc", "modules", "vm-meta"]
TIERS = (disk("sda"), disk("sdb", rotational=True))


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[Mounted]:
    """The lines of mountinfo; a later line hides an earlier one with the same target."""
    found: list[Mounted] = []
    monkeypatch.setattr(mountinfo, "at", lambda target: topmost(found, target))
    return found


def tops(
    tmp_path: Path, mode: str = "dual_independent", disks: tuple[Disk, ...] | None = None, **sections: Any
) -> list[Wanted]:
    return mounting.tops(facts(mode=mode, disks=disks, root=str(tmp_path), **sections))


def targets(
    tmp_path: Path, mode: str = "dual_independent", disks: tuple[Disk, ...] | None = None, **sections: Any
) -> list[Wanted]:
    known = facts(mode=mode, disks=disks, root=str(tmp_path), **sections)
    return mounting.targets(known.plan.data[0], known)


def topmost(found: Iterable[Mounted], target: str) -> Mounted | None:
    return next((one for one in reversed([*found]) if one.target == target), None)


def mounted(wanted: Wanted, **changes: Any) -> Mounted:
    """Return the line of mountinfo for a wanted mount, with some changes."""
    base = Mounted(
        "0:40",
        f"/{wanted.planned.subvolume}",
        os.path.realpath(wanted.target),
        wanted.filesystem.type,
        wanted.nodes[0],
        frozenset(["rw", *wanted.planned.options]),
    )
    return evolve(base, **changes)


# Wanted mounts.


def test_tops_are_below_the_data_root(tmp_path: Path) -> None:
    found = tops(tmp_path)
    uuids = [one.filesystem.uuid for one in found]
    assert [one.target for one in found] == [f"{tmp_path}/var/mounts/{uuid}" for uuid in uuids]
    assert [one.argv for one in found] == [
        ["mount", "-t", "btrfs", "-o", "subvolid=5,noatime", f"UUID={one.filesystem.uuid}", one.target] for one in found
    ]
    assert all(one.planned.subvolume == "" for one in found)


def test_targets_are_the_four_subvolumes_in_order(tmp_path: Path) -> None:
    found = targets(tmp_path)
    assert [one.planned.subvolume for one in found] == NAMES
    assert [one.target for one in found] == [f"{tmp_path}/var/cache/{name}" for name in NAMES]
    assert [one.mount.options for one in found] == [f"subvol={name},noatime" for name in NAMES]
    assert len({one.filesystem.uuid for one in found}) == 1


def test_bcachefs_is_mounted_by_its_members(tmp_path: Path) -> None:
    (top,) = tops(tmp_path, "ssd_hdd_bcachefs", TIERS)
    assert top.argv == ["mount", "-t", "bcachefs", "-o", "noatime", "/dev/sda2:/dev/sdb2", top.target]
    assert top.mount.source == f"UUID={top.filesystem.uuid}"
    options = [one.mount.options for one in targets(tmp_path, "ssd_hdd_bcachefs", TIERS)]
    assert options == [f"X-mount.subdir={name},noatime" for name in NAMES]


def test_targets_and_options_are_configurable(tmp_path: Path) -> None:
    sections: dict[str, Any] = {
        "mounts": {"data_root": "/data", "targets": {"etc": "/etc/zos"}},
        "filesystems": {"btrfs": {"compression": "zstd", "mount_options": ["nodev"]}},
    }
    assert tops(tmp_path, **sections)[0].target.startswith(f"{tmp_path}/data/")
    etc = targets(tmp_path, **sections)[1]
    assert (etc.target, etc.mount.options) == (f"{tmp_path}/etc/zos", "subvol=etc,nodev,compress=zstd")


def test_mount_options_may_be_empty(tmp_path: Path) -> None:
    found = tops(tmp_path, filesystems={"btrfs": {"mount_options": []}})
    assert found[0].argv[3:5] == ["-o", "subvolid=5"]


def test_bcachefs_without_options_has_an_empty_list(tmp_path: Path) -> None:
    (top,) = tops(tmp_path, "ssd_hdd_bcachefs", TIERS, filesystems={"bcachefs": {"mount_options": []}})
    assert top.argv[3:5] == ["-o", ""]  # mount accepts an empty list


@pytest.mark.parametrize(
    ("mode", "disks"),
    [("single", (disk("sda"),)), ("btrfs_raid1", (disk("sda"), disk("sdb"))), ("ssd_hdd_bcachefs", TIERS)],
)
def test_the_commands_are_those_of_the_plan(tmp_path: Path, mode: str, disks: tuple[Disk, ...] | None) -> None:
    known = facts(mode=mode, disks=disks, root=str(tmp_path))
    wanted = [*mounting.tops(known), *mounting.targets(known.plan.data[0], known)]
    planned = [one.argv for one in commands(known.plan) if one.argv[0] == "mount"]
    assert [tuple(one.argv) for one in wanted] == planned


# Comparison with mountinfo.


def test_a_mount_as_wanted_has_no_mismatch(tmp_path: Path, table: list[Mounted]) -> None:
    for wanted in [*tops(tmp_path), *targets(tmp_path), *tops(tmp_path, "ssd_hdd_bcachefs", TIERS)]:
        table[:] = [mounted(wanted)]
        assert mounting.mismatch(wanted) == ""


def test_members_of_bcachefs_may_be_shown_in_any_order(tmp_path: Path, table: list[Mounted]) -> None:
    (top,) = tops(tmp_path, "ssd_hdd_bcachefs", TIERS)
    table.append(mounted(top, source="/dev/sdb2:/dev/sda2"))
    assert mounting.mismatch(top) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"target": "/elsewhere"}, "nothing is mounted there"),
        ({"fstype": "ext4"}, "ext4 is mounted there"),
        ({"source": "/dev/sdz1"}, "/dev/sdz1 is mounted there, not /dev/sda2"),
        ({"source": "/dev/sda2:/dev/sdz1"}, "/dev/sda2:/dev/sdz1 is mounted there, not /dev/sda2"),
        ({"root": "/"}, "/ of the filesystem is mounted there, not /etc"),
        ({"root": "/etc/deeper"}, "/etc/deeper of the filesystem"),
        ({"options": frozenset(["rw"])}, "the mount lacks the options noatime"),
        ({"options": frozenset(["rw", "relatime"])}, "the mount lacks the options noatime"),
    ],
)
def test_describes_how_a_mount_differs(
    tmp_path: Path, table: list[Mounted], changes: dict[str, Any], expected: str
) -> None:
    wanted = targets(tmp_path)[1]
    table.append(mounted(wanted, **changes))
    assert expected in mounting.mismatch(wanted)


def test_only_the_topmost_mount_counts(tmp_path: Path, table: list[Mounted]) -> None:
    wanted = tops(tmp_path)[0]
    table += [mounted(wanted), mounted(wanted, fstype="tmpfs", source="tmpfs")]
    assert mounting.mismatch(wanted) == "tmpfs is mounted there"


@pytest.mark.parametrize(
    ("shown", "same"), [("compress=zstd:3", True), ("compress=zstd", True), ("compress=lzo", False), (None, False)]
)
def test_compression_is_shown_with_its_level(
    tmp_path: Path, table: list[Mounted], shown: str | None, same: bool
) -> None:
    wanted = tops(tmp_path, filesystems={"btrfs": {"compression": "zstd"}})[0]
    table.append(mounted(wanted, options=frozenset(["noatime", *([shown] if shown else [])])))
    assert (mounting.mismatch(wanted) == "") is same


def test_finds_a_mount_below_a_symbolic_link(tmp_path: Path, table: list[Mounted]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "var").symlink_to("real")
    wanted = tops(tmp_path)[0]
    table.append(mounted(wanted))
    assert f"{tmp_path}/real/" in table[0].target
    assert mounting.mismatch(wanted) == ""


def test_a_target_is_free_taken_or_mounted_as_wanted(tmp_path: Path, table: list[Mounted]) -> None:
    wanted = tops(tmp_path)[0]
    assert mounting.is_free(wanted)
    table.append(mounted(wanted))
    assert not mounting.is_free(wanted)
    table.append(mounted(wanted, fstype="tmpfs", source="tmpfs"))
    with pytest.raises(ToolError, match=f"{wanted.target} is taken: tmpfs is mounted there"):
        mounting.is_free(wanted)


# Mounting.


@pytest.fixture
def mounter(fake_tools: FakeTools, table: list[Mounted]) -> Callable[..., Callable[[], list[Mounted]]]:
    """Add a mount command, which makes the wanted mount or another one, and umount."""

    done = fake_tools.records / "mounted"

    def set_up(wanted: Wanted, *, status: int = 0, **changes: Any) -> Callable[[], list[Mounted]]:
        fake_tools("mount", body=f"echo > {done}", status=status)
        fake_tools("umount", body=f"/bin/rm -f {done}")
        line = mounted(wanted, **changes)
        return lambda: [line] if done.exists() else []

    return set_up


def reading(monkeypatch: pytest.MonkeyPatch, lines: Callable[[], list[Mounted]]) -> None:
    monkeypatch.setattr(mountinfo, "at", lambda target: topmost(lines(), target))


def test_a_mount_is_made_and_read_back(
    tmp_path: Path,
    fake_tools: FakeTools,
    mounter: Callable[..., Callable[[], list[Mounted]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = tops(tmp_path)[0]
    reading(monkeypatch, mounter(wanted))
    mounting.mount([wanted], [])
    assert fake_tools.calls == [wanted.argv]
    assert Path(wanted.target).is_dir()


def test_undoes_a_mount_whose_command_ignored_options(
    tmp_path: Path,
    fake_tools: FakeTools,
    mounter: Callable[..., Callable[[], list[Mounted]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mount of busybox mounts the top of a bcachefs instead of a subvolume and exits with 0."""
    wanted = targets(tmp_path, "ssd_hdd_bcachefs", TIERS)[0]
    reading(monkeypatch, mounter(wanted, root="/"))
    with pytest.raises(ToolError, match="but / of the filesystem is mounted there, not /system") as caught:
        mounting.mount([wanted], [])
    assert "busybox" in caught.value.hint
    assert fake_tools.calls == [wanted.argv, ["umount", wanted.target]]


def test_reports_a_failed_mount(tmp_path: Path, fake_tools: FakeTools, table: list[Mounted]) -> None:
    fake_tools("mount", status=32, stderr="wrong fs type")
    with pytest.raises(ToolError, match="wrong fs type"):
        mounting.mount(tops(tmp_path)[:1], [])
    assert len(fake_tools.calls) == 1


def test_undoes_a_mount_whose_command_failed(
    tmp_path: Path,
    fake_tools: FakeTools,
    mounter: Callable[..., Callable[[], list[Mounted]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = tops(tmp_path)[0]
    reading(monkeypatch, mounter(wanted, status=1))
    with pytest.raises(ToolError):
        mounting.mount([wanted], [])
    assert fake_tools.calls[-1] == ["umount", wanted.target]


def test_reports_a_mount_command_that_does_nothing(tmp_path: Path, fake_tools: FakeTools, table: list[Mounted]) -> None:
    fake_tools("mount")
    with pytest.raises(ToolError, match="but nothing is mounted there"):
        mounting.mount(tops(tmp_path)[:1], [])
    assert len(fake_tools.calls) == 1


def test_mounts_are_made_in_parallel(tmp_path: Path, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command waits for a file of the other: one after the other, the first would fail."""
    meet = f"""for last; do :; done; : > {tmp_path}/met.$$
    n=0; until [ "$(/bin/ls {tmp_path} | /bin/grep -c met)" = 2 ]; do
        n=$((n+1)); [ $n -gt 500 ] && exit 9; /bin/sleep 0.01; done; echo > "$last.done" """
    fake_tools("mount", body=meet)
    both = tops(tmp_path)
    reading(monkeypatch, lambda: [mounted(one) for one in both if Path(f"{one.target}.done").exists()])
    made: list[Wanted] = []
    mounting.mount(both, made)
    assert made == both


def test_a_failed_mount_leaves_other_mounts(
    tmp_path: Path, fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tops(tmp_path)
    fake_tools("mount", body=f'for last; do :; done; [ "$last" = {second.target} ] && echo bad >&2 && exit 32; true')
    reading(monkeypatch, lambda: [mounted(first)])
    made: list[Wanted] = []
    with pytest.raises(ToolError, match="bad"):
        mounting.mount([first, second], made)
    assert made == [first]
    assert [call[0] for call in fake_tools.calls] == ["mount", "mount"]


def test_mounts_are_undone_in_reverse_order(
    tmp_path: Path, fake_tools: FakeTools, caplog: pytest.LogCaptureFixture
) -> None:
    fake_tools("umount", status=32, stderr="target is busy\n")
    found = tops(tmp_path)
    with caplog.at_level(logging.WARNING, "zosstorage"):
        mounting.unmount(found)
    assert [call[1] for call in fake_tools.calls] == [one.target for one in reversed(found)]
    assert [vars(record)["reason"] for record in caplog.records] == ["target is busy"] * 2


# Scans for members.


def test_scans_the_members_of_several_devices(tmp_path: Path, fake_tools: FakeTools) -> None:
    fake_tools("btrfs")
    mounting.scan(tops(tmp_path, "btrfs_raid1", (disk("sda"), disk("sdb"))))
    assert fake_tools.calls == [["btrfs", "device", "scan", "/dev/sda2", "/dev/sdb2"]]


@pytest.mark.parametrize(("mode", "disks"), [("dual_independent", None), ("ssd_hdd_bcachefs", TIERS)])
def test_does_not_scan_other_filesystems(
    tmp_path: Path, fake_tools: FakeTools, mode: str, disks: tuple[Disk, ...] | None
) -> None:
    mounting.scan(tops(tmp_path, mode, disks))
    assert fake_tools.calls == []


# Profiles.


@pytest.fixture
def allocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write profiles of data and metadata to a fake /sys/fs/btrfs."""

    def moved(path: str) -> Path:
        return Path(str(path).replace("/sys/fs/btrfs", f"{tmp_path}/btrfs", 1))

    monkeypatch.setattr(mounting, "Path", moved)

    def write(uuid: str, **profiles: list[str]) -> None:
        for kind, names in profiles.items():
            folder = tmp_path / "btrfs" / uuid / "allocation" / kind
            folder.mkdir(parents=True)
            (folder / "total_bytes").write_text("1\n", "ascii")
            for name in names:
                (folder / name).mkdir()

    return write


def mirror(tmp_path: Path) -> Wanted:
    return tops(tmp_path, "btrfs_raid1", (disk("sda"), disk("sdb")))[0]


def test_accepts_a_mirror_with_the_profile_of_its_topology(tmp_path: Path, allocation: Callable[..., None]) -> None:
    top = mirror(tmp_path)
    allocation(top.filesystem.uuid, data=["raid1"], metadata=["raid1"])
    mounting.check_profile(top)


@pytest.mark.parametrize(
    ("data", "metadata", "expected"),
    [
        (["single"], ["raid1"], "the data profile of"),
        (["raid1"], ["dup"], "the metadata profile of"),
        (["raid1", "single"], ["raid1"], "raid1, single"),
    ],
)
def test_refuses_a_mirror_with_another_profile(
    tmp_path: Path, allocation: Callable[..., None], data: list[str], metadata: list[str], expected: str
) -> None:
    top = mirror(tmp_path)
    allocation(top.filesystem.uuid, data=data, metadata=metadata)
    with pytest.raises(NotEmptyError, match=expected):
        mounting.check_profile(top)


def test_other_topologies_may_have_any_profile(tmp_path: Path) -> None:
    for mode, disks in (("dual_independent", None), ("ssd_hdd_bcachefs", TIERS)):
        mounting.check_profile(tops(tmp_path, mode, disks)[0])
