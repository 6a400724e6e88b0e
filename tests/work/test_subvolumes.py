import contextlib
import errno
import fcntl
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from fakes import FakeTools
from support import disk, facts, stopped

from zosstorage.errors import InterruptedRunError, ToolError
from zosstorage.filesystems import btrfs
from zosstorage.system import ioctl
from zosstorage.system.ioctl import Ioctl
from zosstorage.work import mounting, subvolumes
from zosstorage.work.mounting import Wanted

NAMES = ["system", "etc", "modules", "vm-meta"]


@pytest.fixture
def top(tmp_path: Path) -> Callable[[str], Wanted]:
    """Make the wanted mount of a filesystem by its type; it is mounted at a directory."""

    def mounted(fstype: str) -> Wanted:
        mode = {"btrfs": "single", "bcachefs": "bcachefs_single"}[fstype]
        (wanted,) = mounting.tops(facts(mode=mode, disks=(disk("sda"),)))
        return evolve(wanted, planned=evolve(wanted.planned, target=str(tmp_path)))

    return mounted


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Ioctl]]]:
    """The recorded calls of ioctl(2), by directory."""
    made = []

    def call(folder: str, calls: Iterable[Ioctl]) -> None:
        made.append((folder, list(calls)))

    monkeypatch.setattr(ioctl, "call", call)
    return made


@pytest.fixture
def roots(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The directories that are roots of btrfs subvolumes: stat returns inode 256 for them."""
    found: set[str] = set()
    real = Path.stat

    def seen(path: Path, **rest: Any) -> os.stat_result:
        status = real(path, **rest)
        if str(path) not in found:
            return status
        numbers: list[float] = [status.st_mode, btrfs.SUBVOLUME_INODE or 0, *status[2:]]
        return os.stat_result(numbers)

    monkeypatch.setattr(Path, "stat", seen)
    return found


def test_subvolumes_of_bcachefs_are_folders(top: Callable[[str], Wanted], tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "system").write_bytes(b"")
    (tmp_path / "modules").symlink_to("etc")
    assert subvolumes.present(top("bcachefs"), NAMES) == ["etc"]


def test_a_folder_on_btrfs_is_not_a_subvolume(top: Callable[[str], Wanted], tmp_path: Path, roots: set[str]) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
    assert subvolumes.present(top("btrfs"), NAMES) == []
    roots.add(f"{tmp_path}/etc")
    assert subvolumes.present(top("btrfs"), NAMES) == ["etc"]


def test_btrfs_makes_missing_subvolumes_by_ioctl(
    top: Callable[[str], Wanted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roots: set[str]
) -> None:
    (tmp_path / "etc").mkdir()
    roots.add(f"{tmp_path}/etc")
    asked = []

    def call(folder: str, calls: Iterable[Ioctl]) -> None:
        for one in calls:
            name = one.argument[8:].rstrip(b"\0").decode()
            asked.append((folder, hex(one.request), name))
            Path(folder, name).mkdir()
            roots.add(f"{folder}/{name}")

    monkeypatch.setattr(ioctl, "call", call)
    subvolumes.make(top("btrfs"), NAMES)
    assert asked == [(str(tmp_path), "0x5000940e", name) for name in ("system", "modules", "vm-meta")]


def test_bcachefs_makes_missing_subvolumes_by_its_tool(
    top: Callable[[str], Wanted], tmp_path: Path, fake_tools: FakeTools, calls: list[tuple[str, list[Ioctl]]]
) -> None:
    (tmp_path / "etc").mkdir()
    fake_tools("bcachefs", body='for path in "$@"; do :; done; /bin/mkdir "$path"')
    subvolumes.make(top("bcachefs"), NAMES)
    made = sorted(fake_tools.calls)
    assert made == [
        ["bcachefs", "subvolume", "create", f"{tmp_path}/{name}"] for name in ("modules", "system", "vm-meta")
    ]
    assert [made for _, made in calls] == [[]]


@pytest.mark.parametrize("fstype", ["btrfs", "bcachefs"])
def test_existing_subvolumes_are_not_made_again(
    top: Callable[[str], Wanted],
    tmp_path: Path,
    fake_tools: FakeTools,
    calls: list[tuple[str, list[Ioctl]]],
    roots: set[str],
    fstype: str,
) -> None:
    for name in NAMES:
        (tmp_path / name).mkdir()
        roots.add(f"{tmp_path}/{name}")
    subvolumes.make(top(fstype), NAMES)
    assert fake_tools.calls == []
    assert [made for _, made in calls] == [[]]


def test_reports_subvolumes_that_are_still_missing(
    top: Callable[[str], Wanted], calls: list[tuple[str, list[Ioctl]]]
) -> None:
    with pytest.raises(ToolError, match="are missing after they were made"):
        subvolumes.make(top("btrfs"), NAMES)
    assert len(calls) == 1


def test_reports_that_the_kernel_refuses(top: Callable[[str], Wanted], monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(ioctl, "call", call)
    with pytest.raises(ToolError, match="cannot be made: Read-only file system") as caught:
        subvolumes.make(top("btrfs"), NAMES)
    assert caught.value.hint


def test_reports_a_folder_without_support_for_subvolumes(top: Callable[[str], Wanted]) -> None:
    with pytest.raises(ToolError, match="cannot be made: "):
        subvolumes.make(top("btrfs"), NAMES)


def test_a_signal_stops_between_two_subvolumes(top: Callable[[str], Wanted], monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def create(_handle: int, request: int, _argument: bytearray) -> None:
        made.append(request)
        with contextlib.suppress(InterruptedRunError):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(fcntl, "ioctl", create)
    with stopped():
        subvolumes.make(top("btrfs"), NAMES)
    assert len(made) == 1


def test_reports_a_tool_that_fails(top: Callable[[str], Wanted], fake_tools: FakeTools) -> None:
    fake_tools("bcachefs", status=1, stderr="no")
    with pytest.raises(ToolError, match="subvolume create"):
        subvolumes.make(top("bcachefs"), NAMES)


def test_btrfs_is_synced_by_ioctl(
    top: Callable[[str], Wanted], calls: list[tuple[str, list[Ioctl]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sync", lambda: pytest.fail("all filesystems were synced"))
    subvolumes.sync([top("btrfs")])
    assert calls == [(top("btrfs").target, [btrfs.SYNC])]


def test_bcachefs_is_synced_by_sync(
    top: Callable[[str], Wanted], calls: list[tuple[str, list[Ioctl]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    monkeypatch.setattr(os, "sync", lambda: done.append("sync"))
    subvolumes.sync([top("bcachefs")])
    assert (done, calls) == (["sync"], [])


def test_reports_a_filesystem_that_cannot_be_synced(
    top: Callable[[str], Wanted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ioctl, "call", call)
    with pytest.raises(OSError, match="Input/output error"):
        subvolumes.sync([top("btrfs")])


def test_subvolumes_have_their_mode_whatever_the_umask(
    top: Callable[[str], Wanted], tmp_path: Path, fake_tools: FakeTools, calls: list[tuple[str, list[Ioctl]]]
) -> None:
    (tmp_path / "etc").mkdir(mode=0o700)
    fake_tools("bcachefs", body='umask 077; for path in "$@"; do :; done; /bin/mkdir "$path"')
    subvolumes.make(top("bcachefs"), NAMES)
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in NAMES] == 4 * [0o755]
