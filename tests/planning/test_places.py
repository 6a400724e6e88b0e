import os

import pytest
from attrs import evolve
from support import config, facts

from zosstorage.errors import ConfigError, ExitCode
from zosstorage.planning import places
from zosstorage.system import mountinfo
from zosstorage.system.mountinfo import Mounted


def plan():
    return facts().plan


@pytest.fixture
def mounted(monkeypatch):
    """What is mounted, by target."""
    found = {}
    monkeypatch.setattr(mountinfo, "at", found.get)
    return lambda target, source: found.update({target: Mounted("8:1", "/", target, "btrfs", source, frozenset())})


def targets(tmp_path, **mounts):
    settings = config(mounts=mounts, report={"path": str(tmp_path / "state.json")})
    return places.check(plan(), evolve(settings, root=str(tmp_path)))


def test_free_targets(tmp_path, mounted):
    assert targets(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_taken(tmp_path, mounted):
    mounted(f"{tmp_path}/var/cache/etc", "tmpfs")
    (problem,) = targets(tmp_path)
    assert isinstance(problem, ConfigError)
    assert problem.message == f"{tmp_path}/var/cache/etc is taken: tmpfs is mounted there"
    assert "umount" in problem.hint


def test_a_target_that_an_earlier_run_mounted(tmp_path, mounted):
    mounted(f"{tmp_path}/var/cache/etc", "/dev/sda2")
    assert targets(tmp_path) == []


def test_a_member_beside_a_stranger_is_a_stranger(tmp_path, mounted):
    mounted(f"{tmp_path}/var/cache/etc", "/dev/sda2:/dev/sdz1")
    assert len(targets(tmp_path)) == 1


def test_a_target_behind_a_link_is_found(tmp_path, mounted):
    (tmp_path / "real").mkdir()
    (tmp_path / "var").symlink_to("real")
    mounted(f"{tmp_path}/real/cache/etc", "tmpfs")
    assert len(targets(tmp_path)) == 1


@pytest.mark.parametrize("where", ["var", "var/cache/etc", "var/mounts"])
def test_a_file_in_the_way(tmp_path, mounted, where):
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    problems = targets(tmp_path)
    assert problems
    assert all("is a file" in problem.message and str(path) in problem.message for problem in problems)


def test_a_root_that_cannot_be_written(tmp_path, mounted, monkeypatch):
    real = os.open

    def refuse(path, flags, *rest):
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest)

    monkeypatch.setattr(places.os, "open", refuse)
    told = [problem.message for problem in targets(tmp_path)]
    assert len(told) == len(set(told)) == 7  # two filesystems, four targets, the report
    assert all("Read-only file system" in message for message in told)
    for name in ("system", "etc", "modules", "vm-meta"):
        (tmp_path / "var/cache" / name).mkdir(parents=True)
    assert len(targets(tmp_path)) == 3  # what is there need not be made


def test_a_link_that_leads_out_of_the_root(tmp_path, mounted):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "var").mkdir(parents=True)
    outside.mkdir()
    (root / "var/cache").symlink_to(outside)
    told = [problem.message for problem in targets(root)]
    assert told == [
        f"{root}/var/cache/{name} leads out of {root}, to {outside}/{name}"
        for name in ("system", "etc", "modules", "vm-meta")
    ]


# Files.


def files(tmp_path, **sections):
    settings = config(**({"report": {"path": str(tmp_path / "state.json")}} | sections))
    return places.check(plan(), evolve(settings, root=str(tmp_path)))


@pytest.mark.parametrize("name", ["state.json", "run/deeper/state.json"])
def test_a_report_that_can_be_written(tmp_path, mounted, name):
    assert files(tmp_path, report={"path": str(tmp_path / name)}) == []
    (tmp_path / "state.json").write_text("an earlier one")
    assert files(tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/proc/nope/state.json", "No such file or directory"),
        ("/dev/null", "it is no file"),
        ("/proc", "it is no file"),
        ("/proc/self/status/state.json", "/proc/self/status is a file"),
    ],
)
def test_a_report_that_cannot_be_written(tmp_path, mounted, path, told):
    (problem,) = files(tmp_path, report={"path": path})
    assert problem.exit_code is ExitCode.CONFIG
    assert problem.message.startswith(f"{path} cannot be written: ")
    assert told in problem.message
    assert "--report" in problem.hint


def fstab(tmp_path, text):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text(text)
    return files(tmp_path, fstab={"enabled": True})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UUID=x / ext4 defaults 0 1\n# UUID=y /var/cache/etc ext4 defaults 0 0\n",
        "UUID=old /var/cache/etc btrfs subvol=etc,noatime 0 0\n",
        "UUID=old /var/cache/vm-meta bcachefs X-mount.subdir=vm-meta\n",
    ],
)
def test_an_fstab_that_takes_our_lines(tmp_path, mounted, text):
    assert fstab(tmp_path, text) == []


@pytest.mark.parametrize(
    "line",
    [
        "UUID=x /var/cache/etc ext4 defaults 0 0",
        "/dev/sdz1 /var/cache/etc btrfs subvol=etc 0 0",
        "tmpfs /var/cache/etc",
    ],
)
def test_an_fstab_that_mounts_something_else_there(tmp_path, mounted, line):
    (problem,) = fstab(tmp_path, f"UUID=x / ext4 defaults 0 1\n{line}\n")
    assert line in problem.message
    assert "--no-fstab" in problem.hint


def test_an_fstab_that_is_a_folder_or_leads_out(tmp_path, mounted):
    root = tmp_path / "root"
    (root / "etc/fstab").mkdir(parents=True)
    (problem,) = files(root, fstab={"enabled": True})
    assert "it is no file" in problem.message
    (root / "etc/fstab").rmdir()
    (root / "etc/fstab").symlink_to("/etc/fstab")
    assert any("leads out of" in problem.message for problem in files(root, fstab={"enabled": True}))


def test_nothing_is_left_behind(tmp_path, mounted):
    files(tmp_path, fstab={"enabled": True})
    assert list(tmp_path.iterdir()) == []
