import os
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support import disk, image_disk, sparse

from zosstorage.block import in_use, sysfs
from zosstorage.facts import Partition
from zosstorage.model import Disk
from zosstorage.system import mountinfo
from zosstorage.system.mountinfo import Mounted


@pytest.fixture
def image(tmp_path: Path) -> Disk:
    return image_disk(sparse(tmp_path / "image", 4096), name="image", number="7:77")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A machine on which nothing is in use; a test changes the items that it needs."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n", "ascii")
    monkeypatch.setattr(mountinfo, "PROC", proc)
    found: dict[str, Any] = {
        "mounts": [],
        "partitions": {},
        "holders": {},
        "slaves": (),
        "btrfs": frozenset(),
        "proc": proc,
    }
    monkeypatch.setattr(mountinfo, "every_namespace", lambda: tuple(found["mounts"]))
    monkeypatch.setattr(sysfs, "partitions", lambda _: found["partitions"])
    monkeypatch.setattr(sysfs, "device_number", lambda node: f"7:{len(node)}")
    monkeypatch.setattr(sysfs, "holders", lambda _: found["holders"])
    monkeypatch.setattr(sysfs, "slaves", lambda _: found["slaves"])
    monkeypatch.setattr(in_use, "_btrfs_devices", lambda: found["btrfs"])
    return found


def mounted(source: str, number: str = "0:0", target: str = "/mnt", fstype: str = "x") -> Mounted:
    return Mounted(number, "/", target, fstype, source, frozenset())


def partition(node: str, start: int = 0) -> Partition:
    """A partition as the kernel reports it."""
    return Partition(1, node, "", "", "", start, 512)


def findings(of: Disk) -> list[str]:
    found = in_use.Usage.read().evidence(of)
    assert all((one.check, one.offset) == ("in use", None) and one.hint for one in found)
    return [one.found for one in found]


def test_an_unused_disk_has_no_evidence(image: Disk) -> None:
    assert findings(image) == []


def test_a_mount_is_found_by_device_number(image: Disk, machine: dict[str, Any]) -> None:
    machine["mounts"] = [mounted("/dev/other", "7:77", "/a"), mounted("/dev/other", "7:77", "/b")]
    assert findings(image) == [f"{image.path} is mounted at /a, /b"]


def test_a_mount_of_btrfs_is_found_by_node(image: Disk, machine: dict[str, Any]) -> None:
    machine["mounts"] = [mounted(image.path, fstype="btrfs")]
    assert findings(image) == [f"{image.path} is mounted at /mnt"]


@pytest.mark.parametrize("fstype", ["tmpfs", "overlay", "nfs4", "fuse.sshfs"])
def test_the_source_of_other_filesystems_is_not_believed(image: Disk, machine: dict[str, Any], fstype: str) -> None:
    """Any user can mount a tmpfs with the name of a disk as its source, in a user namespace."""
    machine["mounts"] = [mounted(image.path, fstype=fstype), mounted(f"/a:{image.path}", fstype=fstype)]
    assert findings(image) == []


def test_a_member_of_a_mounted_bcachefs_is_in_use(image: Disk, machine: dict[str, Any]) -> None:
    machine["mounts"] = [mounted(f"/dev/sdz1:{image.path}", fstype="bcachefs")]
    assert findings(image) == [f"{image.path} is mounted at /mnt"]


def test_a_disk_with_a_mounted_partition_is_in_use(image: Disk, machine: dict[str, Any]) -> None:
    node = f"{image.path}p1"
    machine["partitions"] = {1: partition(node)}
    machine["mounts"] = [mounted("/dev/root", f"7:{len(node)}")]
    assert findings(image) == [f"{node} is mounted at /mnt"]


def test_swap_space_is_in_use(image: Disk, machine: dict[str, Any]) -> None:
    (machine["proc"] / "swaps").write_text(f"Filename Type Size\n{image.path} partition 1 0 -2\n", "ascii")
    assert findings(image) == [f"{image.path} is swap space"]


def test_a_kernel_without_swap_is_supported(image: Disk, machine: dict[str, Any]) -> None:
    (machine["proc"] / "swaps").unlink()
    assert findings(image) == []


def test_a_second_device_of_a_mounted_btrfs_is_in_use(image: Disk, machine: dict[str, Any]) -> None:
    machine["btrfs"] = frozenset(["image"])
    assert findings(image) == [f"{image.path} is a device of a mounted btrfs"]


def test_a_disk_with_holders_or_slaves_is_in_use(image: Disk, machine: dict[str, Any]) -> None:
    machine["holders"], machine["slaves"] = {image.path: ("dm-0", "md1")}, ("sdz",)
    assert findings(image) == [f"{image.path} is held by dm-0, md1", "it is stacked on sdz"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(16, "another program or the kernel holds it exclusively"), (6, "it cannot be opened: No such device or address")],
)
def test_a_disk_that_cannot_be_claimed_is_in_use(
    image: Disk, monkeypatch: pytest.MonkeyPatch, number: int, expected: str
) -> None:
    def refuse(path: str, flags: int, *_: object) -> NoReturn:
        assert flags & os.O_EXCL
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert findings(image) == [expected]


def test_evidence_without_a_claim_does_not_open_the_disk(
    image: Disk, machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine["slaves"] = ("sdz",)
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    assert [one.found for one in in_use.Usage.read().evidence(image, claim=False)] == ["it is stacked on sdz"]


def test_evidence_closes_its_descriptors(image: Disk) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names, not paths
    findings(image)
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_partition_removed_meanwhile_is_skipped(
    image: Disk, machine: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(node: str) -> NoReturn:
        raise FileNotFoundError(node)

    machine["partitions"] = {1: partition("/dev/imagep1")}
    monkeypatch.setattr(sysfs, "device_number", gone)
    assert findings(image) == []


def test_kernel_partitions_are_evidence(machine: dict[str, Any]) -> None:
    machine["partitions"] = {1: partition("/dev/sda1", 1048576)}
    (found,) = in_use.kernel_partitions(disk("sda"))
    assert (found.check, found.offset) == ("kernel partitions", 1048576)
    assert found.found == "the kernel has the partition /dev/sda1 of 512 bytes"
    assert "partx --delete /dev/sda" in found.hint
