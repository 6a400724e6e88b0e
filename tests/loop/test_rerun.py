"""A rerun of a machine on which nothing changed does nothing; whatever changed is seen, and the disks decide."""

import fcntl
import json
import os

import pytest
from disks import GIB, LoopDisk
from processes import output
from support import sparse

MESSAGE = "already done in this boot: every state still holds"


@pytest.fixture
def provisioned(machine):
    def make():
        """A mirror, with the log as it is by default."""
        found = machine(2, size=2 * GIB, topology={"mode": "btrfs_raid1"}, logging={}, fstab={"enabled": True})
        done = found("run")
        assert done.status == 0, done.stderr
        return found

    return make


@pytest.fixture
def one(provisioned):
    return provisioned()


def outcome(one):
    """(exit status, what it said)."""
    done = one("run")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    return done.status, [line["message"] for line in lines if line["event"] not in ("run.begin", "run.end")]


def nothing_to_do(one):
    """Whether a run finds all states done and holding, and says no more."""
    return outcome(one) == (0, [MESSAGE])


def test_nothing_changed(one):
    output("sync")
    before = [disk.sectors_written for disk in one.disks]
    report, files = one.report, sorted(path.name for path in one.run_dir.iterdir())
    assert [outcome(one) for _ in range(3)] == [(0, [MESSAGE])] * 3
    output("sync")
    assert [disk.sectors_written for disk in one.disks] == before
    assert one.report == report
    assert sorted(path.name for path in one.run_dir.iterdir()) == files


def test_work_on_the_filesystems_is_no_change(one):
    """New superblocks of btrfs, files in it and in the ESP's data area."""
    output(*one.inside("sh", "-c", f"echo kept > {one.root}/var/cache/system/file; sync"))
    assert nothing_to_do(one)


def test_a_log_of_another_kind_is_no_change(one):
    done = one("run", "--log-format", "text")
    assert (done.status, MESSAGE in done.stderr, done.stderr[0]) == (0, True, done.stderr.lstrip("{")[0])
    log = one.folder / "some.log"
    assert one("run", "--log-file", log).status == 0
    assert MESSAGE in log.read_text()


def unmount(one):
    output(*one.inside("umount", f"{one.root}/var/cache/etc"))


def mount_over(one):
    output(*one.inside("mount", "-t", "tmpfs", "tmpfs", f"{one.root}/var/cache/etc"))


def atime(one):
    output(*one.inside("mount", "-o", "remount,bind,strictatime", f"{one.root}/var/cache/etc"))


def at_partition(one, number, offset, data):
    """Write behind the back of all, on the whole disk."""
    handle = os.open(f"{one.disks[0].device}p{number}", os.O_WRONLY)
    try:
        os.pwrite(handle, data, offset)
        os.fsync(handle)
    finally:
        os.close(handle)


def other_esp(one):
    at_partition(one, 2, 67, b"\1\2\3\4")


def renamed_partition(one):
    output("sfdisk", "--no-tell-kernel", "--no-reread", "--part-label", one.disks[0].device, "3", "other")


def torn_backup(one):
    disk = one.disks[0]
    handle = os.open(disk.device, os.O_WRONLY)
    try:
        os.pwrite(handle, bytes(512), 2 * GIB - 512)
        os.fsync(handle)
    finally:
        os.close(handle)


def edited_report(one):
    (one.run_dir / "state.json").write_text("{}")


def edited_fstab(one):
    (one.root / "etc/fstab").write_text("")


def edited_checkpoint(one):
    document = one.checkpoint | {"boot_id": "other"}
    (one.run_dir / "checkpoint.json").write_text(json.dumps(document))


def other_configuration(one):
    one.settings["filesystems"] = {"btrfs": {"mount_options": ["noatime", "nodiratime"]}}


def lost_partition(one):
    output("partx", "--delete", "--nr", "1", one.disks[0].device)


def another_partition(one):
    output("addpart", one.disks[0].device, "9", "34", "8")


# What each change ends in: what is missing is made again, what is not ours is left alone and told.
CHANGES = {
    another_partition: 5,
    unmount: 0,
    mount_over: 3,
    atime: 6,
    other_esp: 0,
    renamed_partition: 5,
    torn_backup: 5,
    edited_report: 0,
    edited_fstab: 0,
    edited_checkpoint: 0,
    other_configuration: 6,
    lost_partition: 0,
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changed_is_seen(one, change):
    assert nothing_to_do(one)
    change(one)
    status, messages = outcome(one)
    assert messages[0] == "checkpoint not trusted, starting at discover"
    assert status == CHANGES[change], messages
    assert status or nothing_to_do(one)  # all is in its place again


def test_another_disk_that_the_configuration_names(provisioned, tmp_path):
    one = provisioned()
    more = LoopDisk(sparse(tmp_path / "more.img", 2 * GIB))
    more.attach()
    try:
        one.settings["devices"] = {"include": [*(disk.device for disk in one.disks), more.device]}
        assert one("run").status == 0
        assert nothing_to_do(one)
        number = more.device
        more.detach()
        assert not nothing_to_do(one)
        assert one("run").status == 0
        assert number not in json.dumps(one.report["disks"])
        assert nothing_to_do(one)
    finally:
        more.detach()


def test_steps_are_as_good_as_a_run(machine):
    one = machine(1, size=2 * GIB, logging={})
    for _ in range(6):
        assert one("step").status == 0
    assert nothing_to_do(one)


def test_run_options_are_no_change(one):
    """Where the report goes, the run directory, time limits, logging: none makes a checkpoint worthless."""
    assert one("run", "--set", "tools.timeout=5min", "--log-level", "debug").stderr.count("not trusted") == 0
    moved = one.folder / "moved"
    one.run_dir.rename(moved)
    done = one("run", "--run-dir", moved, "--report", moved / "state.json")
    assert done.status == 0
    assert MESSAGE in done.stderr
    moved.rename(one.run_dir)


def test_a_disk_that_becomes_eligible_later(machine, tmp_path):
    """It was rejected for want of a size, then as read-only: what it is rejected for now is looked at."""
    one = machine(1, size=2 * GIB, logging={})
    more = LoopDisk(sparse(tmp_path / "more.img", 2 * GIB))
    more.attach()
    name = more.device
    try:
        one.settings["devices"] = {"include": [one.disks[0].device, name], "expect": {"count": 1}}
        output("blockdev", "--setro", name)
        assert one("run").status == 0
        assert nothing_to_do(one)
        output("blockdev", "--setrw", name)
        assert not nothing_to_do(one)
        assert one("run").status == 4
    finally:
        output("blockdev", "--setrw", name)
        more.detach()


def test_a_sign_in_the_root_that_mountinfo_might_escape(machine):
    one = machine(1, size=2 * GIB, logging={})
    one.root = one.folder / "a #\\b"
    one.root.mkdir()
    assert one("run").status == 0
    assert nothing_to_do(one)
    output(*one.inside("umount", one.root / "var/cache/etc"))
    assert not nothing_to_do(one)
    assert one("run").status == 0
    output(*one.inside("mountpoint", one.root / "var/cache/etc"))
    for target in ("cache/system", "cache/etc", "cache/modules", "cache/vm-meta"):
        output(*one.inside("umount", one.root / "var" / target))
    (top,) = (one.root / "var/mounts").iterdir()
    output(*one.inside("umount", top))


def test_a_mistake_is_told_before_the_lock_is_asked_for(one):
    with (one.run_dir / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert one("run", "--set", "topology.mode=nonsense").status == 3


def test_another_zosstorage_holds_the_lock(one):
    with (one.run_dir / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert one("run").status == 7
