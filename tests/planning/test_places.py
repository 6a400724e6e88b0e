"""Where a run mounts and writes: what `observe` sees of real folders, links and files, and what is made of it."""

import os

import pytest
from machines import A, B
from support import FS_UUID, blank, config, finished

from zosstorage.errors import ConfigError, ExitCode
from zosstorage.planning import observe as observing

NAMES = ("system", "etc", "modules", "vm-meta")


@pytest.fixture
def problems(machine, tmp_path):
    """What is in the way of a plan below a folder."""

    def check(root=tmp_path, **sections):
        report = {"path": str(tmp_path / "state.json")}
        found = machine.problems(config(root=root, **({"report": report} | sections)))
        assert all(isinstance(problem, ConfigError) for problem in found)
        return found

    return check


def messages(found):
    return [problem.message for problem in found]


# Targets.


def test_free_targets_are_not_in_the_way_and_nothing_is_made(problems, tmp_path):
    assert problems() == []
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_is_taken(problems, machine, tmp_path):
    machine.mounted(f"{tmp_path}/var/cache/etc", "tmpfs")
    (problem,) = problems()
    assert problem.message == f"{tmp_path}/var/cache/etc is in use: tmpfs is mounted there"
    assert "umount" in problem.hint
    with pytest.raises(ConfigError, match="etc is in use"):
        machine.plan(config(root=tmp_path, report={"path": f"{tmp_path}/state.json"}))


def test_a_target_that_an_earlier_run_mounted(problems, machine, tmp_path):
    machine.mounted(f"{tmp_path}/var/cache/etc", "/dev/sda2")
    assert problems() == []


def test_a_member_beside_a_stranger_is_a_stranger(problems, machine, tmp_path):
    machine.mounted(f"{tmp_path}/var/cache/etc", "/dev/sda2:/dev/sdz1")
    assert len(problems()) == 1


def test_a_target_behind_a_link_is_found(problems, machine, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "var").symlink_to("real")
    machine.mounted(f"{tmp_path}/real/cache/etc", "tmpfs")
    assert len(problems()) == 1


@pytest.mark.parametrize("where", ["var", "var/cache/etc", "var/mounts"])
def test_a_file_in_the_way_of_a_folder(problems, tmp_path, where):
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    found = messages(problems())
    assert len(found) == {"var": 6, "var/cache/etc": 1, "var/mounts": 2}[where]
    assert all("is a file" in message and str(path) in message for message in found)


def read_only(monkeypatch):
    real = os.open

    def refuse(path, flags, *rest):
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest)

    monkeypatch.setattr(observing.os, "open", refuse)


def test_a_root_that_cannot_be_written(problems, tmp_path, monkeypatch):
    read_only(monkeypatch)
    told = messages(problems())
    assert len(told) == len(set(told)) == 7  # two filesystems, four targets, the report
    assert all("Read-only file system" in message for message in told)
    for name in NAMES:
        (tmp_path / "var/cache" / name).mkdir(parents=True)
    assert len(problems()) == 3  # what is there need not be made
    (tmp_path / "var/mounts").mkdir()
    assert len(problems()) == 3  # each filesystem still needs its folder in there


def test_a_link_that_leads_out_of_the_root(problems, tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "var").mkdir(parents=True)
    outside.mkdir()
    (root / "var/cache").symlink_to(outside)
    assert messages(problems(root)) == [
        f"{root}/var/cache/{name} leads out of {root}, to {outside}/{name}" for name in NAMES
    ]


def test_a_data_root_that_leads_out_of_the_root(problems, tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "var").mkdir(parents=True)
    outside.mkdir()
    (root / "var/mounts").symlink_to(outside)
    told = messages(problems(root))
    assert len(told) == 2
    assert all(f" leads out of {root}, to {outside}/" in message for message in told)


def test_a_root_that_is_a_link_itself_is_where_it_leads(problems, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    assert problems(tmp_path / "root") == []


# The folder of a filesystem that is there already.


@pytest.fixture
def adopted(machine, tmp_path):
    """The path where a finished filesystem is mounted as a whole."""
    machine.has((A, finished(A)), (B, blank(B)))
    return tmp_path / "var/mounts" / FS_UUID


def test_the_folder_of_a_finished_filesystem_may_be_there(problems, adopted, monkeypatch):
    assert problems() == []
    adopted.mkdir(parents=True)
    assert problems() == []
    read_only(monkeypatch)
    assert not any(str(adopted) in message for message in messages(problems()))


def test_a_finished_filesystem_whose_folder_cannot_be_made(problems, adopted, monkeypatch):
    read_only(monkeypatch)
    assert sum(f"{adopted} cannot be created: " in message for message in messages(problems())) == 1


def test_a_file_where_a_finished_filesystem_is_mounted(problems, adopted):
    adopted.parent.mkdir(parents=True)
    adopted.write_bytes(b"")
    assert messages(problems()) == [f"{adopted} cannot be a directory: {adopted} is a file"]


def test_a_link_out_of_the_root_where_a_finished_filesystem_is_mounted(problems, adopted, tmp_path):
    adopted.parent.mkdir(parents=True)
    adopted.symlink_to("/srv")
    assert messages(problems()) == [f"{adopted} leads out of {tmp_path}, to /srv"]


# Files.


@pytest.mark.parametrize("name", ["state.json", "run/deeper/state.json"])
def test_a_report_that_can_be_written(problems, tmp_path, name):
    assert problems(report={"path": str(tmp_path / name)}) == []
    (tmp_path / "state.json").write_text("an earlier one")
    assert problems() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state.json"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/proc/nope/state.json", "No such file or directory"),
        ("/dev/null", "it is not a regular file"),
        ("/proc", "it is not a regular file"),
        ("/proc/self/status/state.json", "/proc/self/status is a file"),
    ],
)
def test_a_report_that_cannot_be_written(problems, path, told):
    (problem,) = problems(report={"path": path})
    assert problem.exit_code is ExitCode.CONFIG
    assert problem.message.startswith(f"{path} cannot be written: ")
    assert told in problem.message
    assert "--report" in problem.hint


@pytest.fixture
def fstab(problems, tmp_path):
    def check(text):
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
def test_an_fstab_that_takes_our_lines(fstab, text):
    assert fstab(text) == []


@pytest.mark.parametrize(
    "line",
    [
        "UUID=x /var/cache/etc ext4 defaults 0 0",
        "/dev/sdz1 /var/cache/etc btrfs subvol=etc 0 0",
        "tmpfs /var/cache/etc",
    ],
)
def test_an_fstab_that_mounts_something_else_there(fstab, line):
    (problem,) = fstab(f"UUID=x / ext4 defaults 0 1\n{line}\n")
    assert line in problem.message
    assert "--no-fstab" in problem.hint


def test_an_fstab_that_is_a_folder_or_leads_out(problems, tmp_path):
    root = tmp_path / "root"
    (root / "etc/fstab").mkdir(parents=True)
    (problem,) = problems(root, fstab={"enabled": True})
    assert "it is not a regular file" in problem.message
    (root / "etc/fstab").rmdir()
    (root / "etc/fstab").symlink_to("/etc/fstab")
    assert any("leads out of" in message for message in messages(problems(root, fstab={"enabled": True})))


def test_an_fstab_behind_a_link_is_written_where_that_leads(problems, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").symlink_to("deeper/fstab")
    assert problems(fstab={"enabled": True}) == []
    (tmp_path / "etc/deeper").write_bytes(b"")
    (problem,) = problems(fstab={"enabled": True})
    assert problem.message == f"{tmp_path}/etc/deeper/fstab cannot be written: {tmp_path}/etc/deeper is a file"


@pytest.mark.parametrize("enabled", [False, True])
def test_an_fstab_is_looked_at_only_where_it_is_to_be_written(problems, machine, tmp_path, enabled):
    (tmp_path / "etc/fstab").mkdir(parents=True)
    assert len(problems(fstab={"enabled": enabled})) == enabled
    seen = machine.observe(config(root=tmp_path, fstab={"enabled": enabled}))
    assert (f"{tmp_path}/etc/fstab" in seen.places) is enabled


def test_nothing_is_left_behind(problems, tmp_path):
    problems(fstab={"enabled": True})
    assert list(tmp_path.iterdir()) == []
