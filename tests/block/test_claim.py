import fcntl
import os
import stat
import threading
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import evolve
from support import disk, image_disk, sparse

from zosstorage.block import claim, sysfs
from zosstorage.errors import NotEmptyError
from zosstorage.facts import Partition
from zosstorage.model import Disk
from zosstorage.system import run, threads


@pytest.fixture
def current(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The disk that sysfs has now, as `disk`, and the nodes that are still to be checked, as `nodes`."""
    state: dict[str, Any] = {"disk": disk()}

    def read_disk(name: str, **_: object) -> Disk:
        assert name == "vda"
        if state["disk"] is None:
            raise FileNotFoundError(name)
        found: Disk = state["disk"]
        return found

    monkeypatch.setattr(sysfs, "read_disk", read_disk)
    state["nodes"] = [("/dev/vda", disk().number)]
    monkeypatch.setattr(claim, "check_node", lambda *words: state["nodes"].remove(words))
    return state


def test_the_disk_that_was_examined_passes(current: dict[str, Any]) -> None:
    claim.check(disk())
    assert current["nodes"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"number": "8:99"}, "device number"),
        ({"serial": "other"}, "serial"),
        ({"serial": ""}, "serial"),
        ({"wwn": "naa.1"}, "WWN"),
        ({"size_bytes": disk().size_bytes + 512}, "its size was"),
        ({"sector_size": 4096}, "sector size"),
        ({"diskseq": 4711}, "diskseq"),
        ({"diskseq": None}, "diskseq"),
    ],
    ids=str,
)
def test_a_changed_part_of_the_identity_is_refused(current: dict[str, Any], change: dict[str, Any], named: str) -> None:
    current["disk"] = evolve(disk(), **change)
    with pytest.raises(NotEmptyError, match="not the disk that was examined") as caught:
        claim.check(disk())
    assert named in caught.value.message
    assert caught.value.message.startswith("/dev/vda ")


@pytest.mark.parametrize("change", [{"model": "new firmware"}, {"links": ("/dev/disk/by-id/x",)}, {"removable": True}])
def test_attributes_outside_of_the_identity_may_change(current: dict[str, Any], change: dict[str, Any]) -> None:
    current["disk"] = evolve(disk(), **change)
    claim.check(disk())


def test_a_missing_disk_is_refused(current: dict[str, Any]) -> None:
    current["disk"] = None
    with pytest.raises(NotEmptyError, match="disappeared"):
        claim.check(disk())


def node_of(number: str) -> os.stat_result:
    """The stat result of the node of a block device."""
    major, minor = map(int, number.split(":"))
    words = [0] * 16
    words[0] = stat.S_IFBLK | 0o600
    return os.stat_result(words, {"st_rdev": os.makedev(major, minor)})


def test_a_node_with_another_device_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "stat", lambda _: node_of("8:1"))
    claim.check_node("/dev/sda1", "8:1")
    for number in ("8:2", "1:8"):
        with pytest.raises(NotEmptyError, match=f"/dev/sda1 is not the block device {number}"):
            claim.check_node("/dev/sda1", number)


@pytest.mark.parametrize(
    ("node", "expected"), [("/dev/nope", "cannot be examined"), ("/dev/null", "not the block device 1:3")]
)
def test_a_node_that_is_not_a_block_device_is_refused(node: str, expected: str) -> None:
    with pytest.raises(NotEmptyError, match=expected):
        claim.check_node(node, "1:3")


@pytest.fixture
def image(tmp_path: Path) -> Disk:
    return image_disk(sparse(tmp_path / "image", 4096))


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_lock_that_udev_respects_is_held(image: Disk, exclusive: bool) -> None:
    with Path(image.path).open("rb") as other:
        with claim.locked(image, exclusive=exclusive), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_disk_locked_by_another_program_is_refused(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "_LOCK_SECONDS", 0.05)
    with Path(image.path).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(NotEmptyError, match="holds the lock"), claim.locked(image, exclusive=False):
            pytest.fail("locked twice")


def test_an_error_in_the_block_is_not_reported_as_a_held_lock(image: Disk) -> None:
    with pytest.raises(BlockingIOError, match="no thread"), claim.locked(image, exclusive=False):
        raise BlockingIOError("no thread")


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_tool_that_writes_keeps_the_lock_after_it_is_released(image: Disk, exclusive: bool) -> None:
    with Path(image.path).open("rb") as other:
        with claim.locked(image, exclusive=exclusive):
            writer = run.start(["sleep", "1000"], writes=True)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        run.kill_all([writer])
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_tool_that_only_reads_does_not_keep_the_lock(image: Disk) -> None:
    with Path(image.path).open("rb") as other:
        with claim.locked(image, exclusive=False):
            reader = run.start(["sleep", "1000"])
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        run.kill_all([reader])


def test_locked_waits_for_a_short_lock_of_another_program(image: Disk) -> None:
    """udev takes such a lock after every change of a disk."""
    with Path(image.path).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        threading.Timer(0.1, lambda: fcntl.flock(other, fcntl.LOCK_UN)).start()
        with claim.locked(image, exclusive=False), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_locked_waits_for_a_short_claim_of_another_program(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    original = os.open
    refused: list[object] = []

    def busy_twice(*words: Any) -> int:
        if len(refused) < 2:
            refused.append(words)
            raise OSError(16, "Device or resource busy")
        return original(*words)

    monkeypatch.setattr(os, "open", busy_twice)
    with claim.locked(image, exclusive=True):
        assert len(refused) == 2


def test_only_an_exclusive_lock_claims_the_disk(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: list[int] = []
    original = os.open

    def record(path: str, how: int, *mode: int) -> int:
        flags.append(how)
        return original(path, how, *mode)

    monkeypatch.setattr(os, "open", record)
    for exclusive in (True, False):
        with claim.locked(image, exclusive=exclusive):
            pass
    assert [bool(how & os.O_EXCL) for how in flags] == [True, False]
    assert all(how & os.O_ACCMODE == os.O_RDONLY for how in flags)


def test_a_disk_in_use_cannot_be_claimed(image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> NoReturn:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "open", busy)
    with pytest.raises(NotEmptyError, match="cannot be claimed: Device or resource busy"):
        claim.locked(image, exclusive=True).__enter__()


def test_the_descriptor_is_closed_after_an_error(image: Disk) -> None:
    def handles() -> list[str]:
        return [link.name for link in Path("/proc/self/fd").iterdir()]

    before = len(handles())
    with pytest.raises(RuntimeError, match="work"), claim.locked(image, exclusive=True):
        raise RuntimeError("work")
    assert len(handles()) == before


def test_flush_includes_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition has a page cache of its own."""
    flushed: list[str] = []
    monkeypatch.setattr(threads, "flush", flushed.extend)
    monkeypatch.setattr(sysfs, "partitions", lambda of: {1: Partition(1, f"{of.path}1", "", "", "", 0, 512)})
    claim.flush([disk("sda"), disk("sdb")])
    assert flushed == ["/dev/sda", "/dev/sdb", "/dev/sda1", "/dev/sdb1"]
