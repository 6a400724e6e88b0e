"""What `observe` reads of a machine, from real files and with fake tools."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import evolve
from fake_machine import FakeMachine
from machines import HDD_B, U1, A, B, raid, tiers
from support import blank, config, data_content, disk, finished, foreign, unfinished

from zosstorage.block import emptiness, sysfs
from zosstorage.errors import NoDiskError, ToolError
from zosstorage.model import Depth, Discovery, Disk, Rejected, Verdict
from zosstorage.observed import ObservedDisk, ObservedTool
from zosstorage.planning import observe as observing
from zosstorage.planning import preflight
from zosstorage.system import reading

# Tools.


def test_finds_each_tool(machine: FakeMachine) -> None:
    seen = machine.observe()
    names = {"blkid", "wipefs", *preflight.ALWAYS_NEEDED, "mkfs.fat", "mkfs.btrfs", "btrfs"}
    assert seen.tools == {name: ObservedTool(str(machine.tools.bin / name)) for name in names}
    assert machine.tools.calls == []
    assert machine.problems() == []


@pytest.mark.parametrize("names", [["sfdisk"], ["mkfs.fat", "umount"]], ids=str)
def test_a_missing_tool_is_a_problem(machine: FakeMachine, names: list[str]) -> None:
    for name in names:
        (machine.tools.bin / name).unlink()
    seen = machine.observe()
    assert [name for name, tool in seen.tools.items() if tool.path is None] == sorted(names, key=list(seen.tools).index)
    assert {problem.message for problem in machine.problems()} == {f"the tool {name} was not found" for name in names}


@pytest.mark.parametrize(("banner", "name"), [(b"BusyBox v1.36.1", "busybox"), (b"toybox 0.8.9", "toybox")])
def test_an_applet_is_refused(machine: FakeMachine, banner: bytes, name: str) -> None:
    path = machine.tools("umount", banner=banner)
    assert machine.observe().tools["umount"] == ObservedTool(str(path), name)
    with pytest.raises(ToolError, match=f"{path} is an applet of {name}"):
        machine.plan()


@pytest.mark.parametrize("names", [["blkid"], ["blkid", "wipefs"]], ids=str)
def test_all_missing_probers_are_reported_and_no_disk_is_read(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    for name in names:
        (machine.tools.bin / name).unlink()
    monkeypatch.setattr(emptiness, "observe", lambda *_: pytest.fail("a disk was read"))
    with pytest.raises(ToolError) as caught:
        machine.observe()
    assert caught.value.message == "; ".join(f"the tool {name} was not found" for name in names)
    assert caught.value.hint.startswith("install ")


def test_a_prober_that_is_an_applet_is_refused(machine: FakeMachine) -> None:
    machine.tools("blkid", banner=b"BusyBox v1.36.1")
    with pytest.raises(ToolError, match="blkid is an applet of busybox"):
        machine.observe()


# The kernel.


def test_modprobe_does_not_run_for_a_filesystem_that_the_kernel_has(machine: FakeMachine) -> None:
    machine.kernel("btrfs", "ext4")
    machine.tools("modprobe")
    assert machine.observe().kernel.filesystems == {"proc", "btrfs", "ext4"}
    assert machine.plan().data
    assert machine.tools.calls == []


def test_modprobe_loads_a_missing_filesystem(machine: FakeMachine) -> None:
    path = machine.kernel("ext4")
    machine.tools("modprobe", body=f"printf '\\tbtrfs\\n' >> {path}")
    assert machine.plan().data
    assert machine.tools.calls == [["modprobe", "btrfs"]]


@pytest.mark.parametrize(
    ("installed", "result"), [(True, "modprobe btrfs ended with status 1"), (False, "modprobe was not found")]
)
def test_a_filesystem_that_modprobe_cannot_load_is_a_problem(
    machine: FakeMachine, installed: bool, result: str
) -> None:
    machine.kernel("ext4")
    if installed:
        machine.tools("modprobe", status=1)
    seen = machine.observe()
    assert (seen.kernel.tried, "btrfs" in seen.kernel.filesystems) == ({"btrfs": result}, False)
    (problem,) = machine.problems()
    assert problem.message == f"this kernel has no btrfs ({result})"


def test_a_machine_without_proc_has_no_filesystem(machine: FakeMachine) -> None:
    machine.kernel().unlink()
    assert machine.observe().kernel.filesystems == frozenset()
    assert len(machine.problems()) == 1


LOADED: dict[str, tuple[list[tuple[Disk, Verdict | None]], dict[str, Any], list[str]]] = {
    "blank SSD": ([(A, None)], {}, ["btrfs"]),
    "blank SSD and HDD": ([(A, None), (HDD_B, None)], {}, ["bcachefs"]),
    "mode bcachefs_single": ([(A, None)], {"topology": {"mode": "bcachefs_single"}}, ["bcachefs"]),
    "unfinished": ([(A, unfinished(A))], {}, ["btrfs"]),
    "unfinished bcachefs in another mode": ([(A, unfinished(A, data=data_content(fstype="bcachefs")))], {}, ["btrfs"]),
    "finished btrfs on SSD and HDD": (
        [(A, finished(A)), (HDD_B, finished(HDD_B, tag=2, data=data_content(U1)))],
        {},
        ["btrfs"],
    ),
    "finished bcachefs": ([*zip((A, B), tiers(), strict=True)], {}, ["bcachefs"]),
    "finished bcachefs and btrfs": (
        [(A, finished(A)), (B, raid(B, 2, devices=1, fstype="bcachefs"))],
        {},
        ["bcachefs", "btrfs"],
    ),
    "too few disks": ([(A, None)], {"topology": {"mode": "bcachefs_2copy"}}, []),
}


@pytest.mark.parametrize(("pairs", "sections", "types"), LOADED.values(), ids=LOADED)
def test_only_filesystems_that_the_plan_can_use_are_loaded(
    machine: FakeMachine, pairs: list[tuple[Disk, Verdict | None]], sections: dict[str, Any], types: list[str]
) -> None:
    machine.set_disks(*pairs)
    machine.kernel("ext4")
    machine.tools("modprobe", status=1)
    seen = machine.observe(config(**sections))
    assert machine.tools.of("modprobe") == [["modprobe", fstype] for fstype in types]
    assert sorted(seen.kernel.tried) == types
    assert ("bcachefs" in seen.tools, "mkfs.btrfs" in seen.tools) == ("bcachefs" in types, "btrfs" in types)


def test_no_disk_at_all_is_refused(machine: FakeMachine) -> None:
    machine.set_disks()
    machine.kernel()
    with pytest.raises(NoDiskError):
        machine.plan()


def test_the_version_of_mount_is_read_for_bcachefs_only(machine: FakeMachine) -> None:
    assert machine.observe().kernel.mount_version == ""
    assert machine.tools.calls == []
    settings = config(topology={"mode": "bcachefs_single"})
    machine.set_disks((A, None))
    assert machine.observe(settings).kernel.mount_version.startswith("mount from util-linux 2.41")
    assert [call[1:] for call in machine.tools.of("mount")] == [["--version"]]
    assert machine.plan(settings).data


def test_an_old_mount_is_refused_for_bcachefs(machine: FakeMachine) -> None:
    machine.tools("mount", stdout="mount from util-linux 2.38.1 (libmount 2.38.1)")
    machine.set_disks((A, None))
    with pytest.raises(ToolError, match=r"too old .* needed is util-linux 2\.39"):
        machine.plan(config(topology={"mode": "bcachefs_single"}))


@pytest.mark.parametrize("banner", [None, b"BusyBox v1.36.1"])
def test_a_missing_mount_or_an_applet_is_not_run_for_its_version(machine: FakeMachine, banner: bytes | None) -> None:
    (machine.tools.bin / "mount").unlink()
    if banner:
        machine.tools("mount", banner=banner)
    machine.set_disks((A, None))
    settings = config(topology={"mode": "bcachefs_single"})
    assert machine.observe(settings).kernel.mount_version == ""
    assert machine.tools.calls == []
    (problem,) = machine.problems(settings)
    assert "mount" in problem.message


# Disks.


def test_disks_are_scanned_to_the_configured_depth(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    real = emptiness.observe

    def recorded(*args: Any) -> tuple[ObservedDisk, ...]:
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(emptiness, "observe", recorded)
    machine.observe(config(validate={"scan": "full"}, partitions={"esp_size": "300MiB"}))
    assert calls == [((A, B), Depth.FULL, 300 << 20)]


# Copies of filesystems on other devices.


def test_a_copy_of_a_finished_filesystem_is_a_problem(machine: FakeMachine) -> None:
    kept = data_content()
    machine.set_disks((A, finished(A)))
    machine.contents |= {"/dev/sda2": kept, "/dev/sr0": ToolError("no medium"), "/dev/sdz": None, "/dev/sdy1": kept}
    assert machine.observe().contents == {"/dev/sda2": kept, "/dev/sdy1": kept}
    (problem,) = machine.problems()
    assert problem.message.startswith(f"/dev/sdy1 carries a copy of the filesystem {kept.uuid}")


@pytest.mark.parametrize("verdict", [blank(A), unfinished(A, data=data_content()), foreign(A)], ids=str)
def test_other_devices_are_not_read_if_nothing_is_finished(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    machine.set_disks((A, verdict))
    monkeypatch.setattr(sysfs, "devices", lambda: pytest.fail("devices were listed"))
    assert machine.observe().contents == {}


def test_the_devices_of_this_machine_have_nodes() -> None:
    assert all(device.startswith("/dev/") for device in sysfs.devices())


# fstab.


def test_fstab_is_read_only_if_it_is_written(machine: FakeMachine, tmp_path: Path) -> None:
    settings = config(root=tmp_path, fstab={"enabled": True})
    assert machine.observe(settings).fstab == ()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_bytes(b"# one\n/dev/\xff /srv\n")
    assert machine.observe(settings).fstab == ("# one", "/dev/\udcff /srv")
    assert machine.observe(evolve(settings, fstab=config().fstab)).fstab == ()


# Rejected disks.


@pytest.fixture
def rejected(machine: FakeMachine) -> Discovery:
    """A discovery with a rejected disk, and with a rejected drive that is too small to read."""
    stick, drive = disk("sdz"), disk("sr0", size_bytes=0)
    return evolve(machine.discovery, rejected=(Rejected(stick, "removable"), Rejected(drive, "a CD-ROM drive")))


@pytest.mark.parametrize(("scan", "depth"), [("signatures", "signatures"), ("sampled", "sampled"), ("full", "sampled")])
def test_rejected_disks_are_read_without_a_full_scan_and_without_a_claim(
    rejected: Discovery, monkeypatch: pytest.MonkeyPatch, scan: str, depth: str
) -> None:
    calls = []

    def observe(disks: Sequence[Disk], depth: Depth, esp_size: int, *, claim: bool = True) -> tuple[ObservedDisk, ...]:
        calls.append((list(disks), depth, esp_size, claim))
        return (ObservedDisk(disks[0]),)

    monkeypatch.setattr(emptiness, "observe", observe)
    monkeypatch.setattr(reading, "each", lambda work, items, _: [work(item) for item in items])
    (found,) = observing.observe_rejected(rejected, config(validate={"scan": scan}))
    assert found.disk.path == "/dev/sdz"
    assert calls == [([found.disk], Depth(depth), 512 << 20, False)]


def test_a_rejected_disk_that_cannot_be_examined_is_foreign(
    rejected: Discovery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, claim: bool) -> NoReturn:
        assert not claim
        raise ToolError("blkid failed")

    monkeypatch.setattr(emptiness, "observe", fail)
    (found,) = observing.observe_rejected(rejected, config())
    verdict = emptiness.verdict(found)
    assert (verdict.path, verdict.kind) == ("/dev/sdz", "foreign")
    assert verdict.evidence[0].found == "it cannot be examined: blkid failed"


def test_rejected_disks_are_not_read_without_probers(
    rejected: Discovery, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.tools.bin / "blkid").unlink()
    monkeypatch.setattr(emptiness, "observe", lambda *_, **__: pytest.fail("a disk was read"))
    assert observing.observe_rejected(rejected, config()) == ()
