"""Paths that a run mounts on or writes: what `observe` finds on a real filesystem, and the problems that follow."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from fake_machine import FakeMachine
from machines import A, B
from support import FS_UUID, blank, config, finished

from zosstorage.errors import ConfigError, ExitCode, ZosstorageError

# Return the problems of a plan below a directory.
Problems = Callable[..., list[ZosstorageError]]
NAMES = ("system", "etc", "modules", "vm-meta")


@pytest.fixture
def problems(machine: FakeMachine, tmp_path: Path) -> Problems:
    """Return the problems of a plan whose root prefix is a directory, `tmp_path` by default."""

    def check(root: Path = tmp_path, **sections: Any) -> list[ZosstorageError]:
        report = {"path": str(tmp_path / "state.json")}
        found = machine.problems(config(root=root, **({"report": report} | sections)))
        assert all(isinstance(problem, ConfigError) for problem in found)
        return found

    return check


def messages(found: Iterable[ZosstorageError]) -> list[str]:
    return [problem.message for problem in found]


# Targets.


def test_free_targets_are_no_problem_and_nothing_is_created(problems: Problems, tmp_path: Path) -> None:
    assert problems() == []
    assert list(tmp_path.iterdir()) == []


def test_a_target_in_use_is_a_problem(problems: Problems, machine: FakeMachine, tmp_path: Path) -> None:
    machine.mounted(f"{tmp_path}/var/cache/etc", "tmpfs")
    (problem,) = problems()
    assert problem.message == f"{tmp_path}/var/cache/etc is in use: tmpfs is mounted there"
    assert "umount" in problem.hint
    with pytest.raises(ConfigError, match="etc is in use"):
        machine.plan(config(root=tmp_path, report={"path": f"{tmp_path}/state.json"}))


@pytest.mark.parametrize("where", ["var/cache/etc", "var/cache/etc/run", "link/run"])
def test_a_run_directory_below_a_target_is_a_problem(problems: Problems, tmp_path: Path, where: str) -> None:
    (tmp_path / "link").symlink_to("var/cache/vm-meta")
    (problem,) = problems(run_dir=str(tmp_path / where))
    assert problem.message.startswith(f"the run directory {tmp_path}/{where} is below {tmp_path}/var/cache/")


def test_a_target_that_an_earlier_run_mounted_is_no_problem(
    problems: Problems, machine: FakeMachine, tmp_path: Path
) -> None:
    machine.mounted(f"{tmp_path}/var/cache/etc", "/dev/sda2")
    assert problems() == []


def test_a_mount_with_a_member_outside_the_plan_is_a_problem(
    problems: Problems, machine: FakeMachine, tmp_path: Path
) -> None:
    machine.mounted(f"{tmp_path}/var/cache/etc", "/dev/sda2:/dev/sdz1")
    assert len(problems()) == 1


def test_a_mount_behind_a_link_is_a_problem(problems: Problems, machine: FakeMachine, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "var").symlink_to("real")
    machine.mounted(f"{tmp_path}/real/cache/etc", "tmpfs")
    assert len(problems()) == 1


@pytest.mark.parametrize("where", ["var", "var/cache/etc", "var/mounts"])
def test_a_file_instead_of_a_directory_is_a_problem(problems: Problems, tmp_path: Path, where: str) -> None:
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    found = messages(problems())
    assert len(found) == {"var": 6, "var/cache/etc": 1, "var/mounts": 2}[where]
    assert all("is a file" in message and str(path) in message for message in found)


def make_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every attempt to create a file fail as on a read-only filesystem."""
    real = os.open

    def refuse(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)


def test_a_read_only_root_is_a_problem_for_each_missing_path(
    problems: Problems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_read_only(monkeypatch)
    found = messages(problems())
    assert len(found) == len(set(found)) == 7  # two filesystems, four targets, the report
    assert all("Read-only file system" in message for message in found)
    for name in NAMES:
        (tmp_path / "var/cache" / name).mkdir(parents=True)
    assert len(problems()) == 3  # existing directories need not be created
    (tmp_path / "var/mounts").mkdir()
    assert len(problems()) == 3  # each filesystem still needs its directory there


def test_a_link_out_of_the_root_is_a_problem(problems: Problems, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "var").mkdir(parents=True)
    outside.mkdir()
    (root / "var/cache").symlink_to(outside)
    assert messages(problems(root)) == [
        f"{root}/var/cache/{name} leads out of {root}, to {outside}/{name}" for name in NAMES
    ]


def test_a_data_root_out_of_the_root_is_a_problem(problems: Problems, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "var").mkdir(parents=True)
    outside.mkdir()
    (root / "var/mounts").symlink_to(outside)
    found = messages(problems(root))
    assert len(found) == 2
    assert all(f" leads out of {root}, to {outside}/" in message for message in found)


def test_a_root_that_is_a_link_is_no_problem(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    assert problems(tmp_path / "root") == []


# The mount point of a finished filesystem.


@pytest.fixture
def adopted(machine: FakeMachine, tmp_path: Path) -> Path:
    """The mount point of a finished filesystem."""
    machine.set_disks((A, finished(A)), (B, blank(B)))
    return tmp_path / "var/mounts" / FS_UUID


def test_an_existing_mount_point_of_a_finished_filesystem_is_no_problem(
    problems: Problems, adopted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems() == []
    adopted.mkdir(parents=True)
    assert problems() == []
    make_read_only(monkeypatch)
    assert not any(str(adopted) in message for message in messages(problems()))


def test_a_mount_point_that_cannot_be_created_is_a_problem(
    problems: Problems, adopted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_read_only(monkeypatch)
    assert sum(f"{adopted} cannot be created: " in message for message in messages(problems())) == 1


def test_a_file_instead_of_a_mount_point_is_a_problem(problems: Problems, adopted: Path) -> None:
    adopted.parent.mkdir(parents=True)
    adopted.write_bytes(b"")
    assert messages(problems()) == [f"{adopted} cannot be a directory: {adopted} is a file"]


def test_a_mount_point_that_is_a_link_out_of_the_root_is_a_problem(
    problems: Problems, adopted: Path, tmp_path: Path
) -> None:
    adopted.parent.mkdir(parents=True)
    adopted.symlink_to("/srv")
    assert messages(problems()) == [f"{adopted} leads out of {tmp_path}, to /srv"]


# Files.


@pytest.mark.parametrize("name", ["state.json", "run/deeper/state.json"])
def test_a_report_that_can_be_written_is_no_problem(problems: Problems, tmp_path: Path, name: str) -> None:
    assert problems(report={"path": str(tmp_path / name)}) == []
    (tmp_path / "state.json").write_text("an earlier one")
    assert problems() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/proc/nope/state.json", "No such file or directory"),
        ("/dev/null", "it is not a regular file"),
        ("/proc", "it is not a regular file"),
        ("/proc/self/status/state.json", "/proc/self/status is a file"),
    ],
)
def test_a_report_that_cannot_be_written_is_a_problem(problems: Problems, path: str, reason: str) -> None:
    (problem,) = problems(report={"path": path})
    assert problem.exit_code is ExitCode.CONFIG
    assert problem.message.startswith(f"{path} cannot be written: ")
    assert reason in problem.message
    assert "--report" in problem.hint


@pytest.fixture
def fstab(problems: Problems, tmp_path: Path) -> Callable[[str], list[ZosstorageError]]:
    """Return the problems of a plan on a machine with an fstab of this text."""

    def check(text: str) -> list[ZosstorageError]:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/fstab").write_text(text)
        return problems(fstab={"enabled": True})

    return check


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UUID=x / ext4 defaults 0 1\n# UUID=y /var/cache/etc ext4 defaults 0 0\n",
        "UUID=old /var/cache/etc btrfs subvol=etc,noatime 0 0\n",
        "UUID=old /var/cache/vm-meta bcachefs X-mount.subdir=vm-meta\n",
    ],
)
def test_an_fstab_without_other_mounts_at_targets_is_no_problem(
    fstab: Callable[[str], list[ZosstorageError]], text: str
) -> None:
    assert fstab(text) == []


@pytest.mark.parametrize(
    "line",
    [
        "UUID=x /var/cache/etc ext4 defaults 0 0",
        "/dev/sdz1 /var/cache/etc btrfs subvol=etc 0 0",
        "tmpfs /var/cache/etc",
    ],
)
def test_an_fstab_that_mounts_something_else_at_a_target_is_a_problem(
    fstab: Callable[[str], list[ZosstorageError]], line: str
) -> None:
    (problem,) = fstab(f"UUID=x / ext4 defaults 0 1\n{line}\n")
    assert line in problem.message
    assert "--no-fstab" in problem.hint


def test_an_fstab_that_is_a_directory_or_out_of_the_root_is_a_problem(problems: Problems, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc/fstab").mkdir(parents=True)
    (problem,) = problems(root, fstab={"enabled": True})
    assert "it is not a regular file" in problem.message
    (root / "etc/fstab").rmdir()
    (root / "etc/fstab").symlink_to("/etc/fstab")
    assert any("leads out of" in message for message in messages(problems(root, fstab={"enabled": True})))


def test_an_fstab_that_is_a_link_is_checked_at_its_target(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").symlink_to("deeper/fstab")
    assert problems(fstab={"enabled": True}) == []
    (tmp_path / "etc/deeper").write_bytes(b"")
    (problem,) = problems(fstab={"enabled": True})
    assert problem.message == f"{tmp_path}/etc/deeper/fstab cannot be written: {tmp_path}/etc/deeper is a file"


@pytest.mark.parametrize("enabled", [False, True])
def test_fstab_is_observed_only_if_it_is_written(
    problems: Problems, machine: FakeMachine, tmp_path: Path, enabled: bool
) -> None:
    (tmp_path / "etc/fstab").mkdir(parents=True)
    assert len(problems(fstab={"enabled": enabled})) == enabled
    seen = machine.observe(config(root=tmp_path, fstab={"enabled": enabled}))
    assert (f"{tmp_path}/etc/fstab" in seen.places) is enabled


def test_no_file_is_left_behind(problems: Problems, tmp_path: Path) -> None:
    problems(fstab={"enabled": True})
    assert list(tmp_path.iterdir()) == []
