"""Files and limits that a run cannot use, on real filesystems: told before the first write, by `plan` as by `run`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from disks import Machine
from processes import output


def small(one: Machine, folder: Path) -> None:
    """A filesystem of 64 KiB, smaller than the report that is tried."""
    output(*one.inside("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder))


def read_only(one: Machine, folder: Path) -> None:
    output(*one.inside("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder))


def few_inodes(one: Machine, folder: Path) -> None:
    output(*one.inside("mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", folder))


FOLDERS = {"No space left on device": (small, few_inodes), "Read-only file system": (read_only,)}


@pytest.mark.parametrize("file", ["report", "fstab"])
@pytest.mark.parametrize(("reason", "make"), [(reason, make) for reason, makes in FOLDERS.items() for make in makes])
def test_a_folder_that_takes_no_file(
    machine: Any, reason: str, make: Callable[[Machine, Path], None], file: str
) -> None:
    one: Machine = machine(size=2 << 30)
    folder = one.root / "etc" if file == "fstab" else one.folder / "reports"
    folder.mkdir()
    make(one, folder)
    if file == "fstab":
        one.settings["fstab"] = {"enabled": True}
    else:
        one.settings["report"] = {"path": str(folder / "state.json")}
    refused(one, reason)


def test_a_filesystem_without_fallocate(machine: Any) -> None:
    """A ramfs, as the root of an initramfs is, takes a report."""
    one: Machine = machine(size=2 << 30)
    folder = one.folder / "reports"
    folder.mkdir()
    output(*one.inside("mount", "-t", "ramfs", "ramfs", folder))
    one.settings["report"] = {"path": str(folder / "state.json")}
    assert one("run").status == 0


def immutable(path: Path) -> None:
    output("chattr", "+i", path)


def append_only(path: Path) -> None:
    output("chattr", "+a", path)


@pytest.mark.parametrize("file", ["report", "fstab"])
@pytest.mark.parametrize(("reason", "make"), [("immutable", immutable), ("append-only", append_only)])
def test_a_file_with_an_attribute(machine: Any, reason: str, make: Callable[[Path], None], file: str) -> None:
    one: Machine = machine(size=2 << 30)
    path = _file(one, file)
    make(path)
    try:
        refused(one, reason)
    finally:
        output("chattr", "-ia", path)


@pytest.mark.parametrize("file", ["report", "fstab"])
def test_a_file_that_is_a_bind_mount(machine: Any, file: str) -> None:
    one: Machine = machine(size=2 << 30)
    path, other = _file(one, file), one.folder / "other"
    other.touch()
    output(*one.inside("mount", "--bind", other, path))
    refused(one, "a bind mount")


def _file(one: Machine, kind: str) -> Path:
    path = one.root / "etc/fstab" if kind == "fstab" else one.folder / "state.json"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    one.settings |= {"fstab": {"enabled": True}} if kind == "fstab" else {"report": {"path": str(path)}}
    return path


def refused(one: Machine, reason: str, status: int = 3) -> None:
    """Check that plan and run refuse with that reason, and that no disk was written."""
    before = one.digests()
    for command in ("plan", "run"):
        done = one(command)
        assert done.status == status, done.stderr
        assert reason in done.stderr
    assert one.digests() == before


def test_a_limit_of_open_files(machine: Any) -> None:
    one: Machine = machine(4, size=2 << 30)
    before = one.digests()
    for command in ("plan", "run"):
        argv = one.argv(command, before=["prlimit", "--nofile=100:100"])
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == 6, done.stderr
        assert "at most 100 files may be open" in done.stderr
    assert one.digests() == before
    argv = one.argv("run", before=["prlimit", "--nofile=40:4096"])
    assert subprocess.run(argv, capture_output=True, check=False, cwd=Path(__file__).parents[2]).returncode == 0


def test_a_limit_of_threads(machine: Any) -> None:
    """The control group allows the program, the processes that it starts while it looks, and not a thread a disk."""
    one: Machine = machine(4, size=2 << 30)
    before = one.digests()
    group = Path("/sys/fs/cgroup/pids" if Path("/sys/fs/cgroup/pids").is_dir() else "/sys/fs/cgroup")
    group /= f"zosstorage-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "pids.max").write_text("3")
        join = ["sh", "-c", f'echo $$ >{group}/cgroup.procs; exec "$@"', "sh"]
        argv = one.argv("run", before=join)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    finally:
        group.rmdir()
    assert done.returncode == 6, done.stderr
    assert "no thread can be started" in done.stderr
    assert one.digests() == before
