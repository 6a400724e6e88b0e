"""A rerun of a machine on which nothing changed asks no state; whatever changed, all are asked, and decide."""

import fcntl
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from disks import GIB, TOP, LoopDisk, output
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


def quick(one):
    """Whether a run would ask no state: it is asked in the machine's mount namespace, by the same words."""
    program = """
import sys
from zosstorage import cli, witness
from zosstorage.config import sources
merged = sources.merge(cli.parse(sys.argv[1:]))
kept = witness.kept(merged.run_dir, merged.told)
print(kept is not None and witness.holds(kept))
"""
    words = one.argv("run")
    at = words.index("-m")
    argv = [*words[:at], "-c", program, *words[at + 2 :]]
    return subprocess.run(argv, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True).stdout == "True\n"


def outcome(one):
    """(exit status, what it said)."""
    done = one("run")
    return done.status, [json.loads(line)["message"] for line in done.stderr.splitlines()]


def test_nothing_changed(one):
    output("sync")
    before = [disk.sectors_written for disk in one.disks]
    report, files = one.report, sorted(path.name for path in one.run_dir.iterdir())
    assert [outcome(one) for _ in range(3)] == [(0, [MESSAGE])] * 3
    assert quick(one)
    output("sync")
    assert [disk.sectors_written for disk in one.disks] == before
    assert one.report == report
    assert sorted(path.name for path in one.run_dir.iterdir()) == files
    assert (one.run_dir / "witness.json").stat().st_mode & 0o777 == 0o600


def test_work_on_the_filesystems_is_no_change(one):
    """New superblocks of btrfs, files in it and in the ESP's data area."""
    output(*one.inside("sh", "-c", f"echo kept > {one.root}/var/cache/system/file; sync"))
    assert quick(one)


def test_no_witness_or_a_damaged_one(one):
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"\0"), lambda path: path.write_text("[]")):
        spoil(one.run_dir / "witness.json")
        assert not quick(one)
        assert outcome(one) == (0, [MESSAGE])  # every state was asked, and said the same
        assert quick(one)


def test_a_log_of_another_kind_is_written_by_its_own_formatter(one):
    done = one("run", "--log-format", "text")
    assert (done.status, MESSAGE in done.stderr, done.stderr[0]) == (0, True, done.stderr.lstrip("{")[0])
    log = one.folder / "some.log"
    assert one("run", "--log-file", log).status == 0
    assert MESSAGE in log.read_text()


def unmount(one):
    output(*one.inside("umount", f"{one.root}/var/cache/etc"))


def mount_over(one):
    output(*one.inside("mount", "-t", "tmpfs", "tmpfs", f"{one.root}/var/cache/etc"))


def read_only(one):
    """An option of the mount; no state asks for rw, which is the default."""
    output(*one.inside("mount", "-o", "remount,bind,ro", f"{one.root}/var/cache/etc"))


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


CHANGES = (
    another_partition,
    unmount,
    mount_over,
    read_only,
    atime,
    other_esp,
    renamed_partition,
    torn_backup,
    edited_report,
    edited_fstab,
    edited_checkpoint,
    other_configuration,
    lost_partition,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_seen(provisioned, change):
    """Beside a machine that was changed likewise, and has no witness: states are asked there in any case."""
    one, other = provisioned(), provisioned()
    assert quick(one)
    for machine in (one, other):
        change(machine)
    (other.run_dir / "witness.json").unlink()
    assert not quick(one)
    ends = [machine("run") for machine in (one, other)]
    assert ends[0].status == ends[1].status
    assert said(ends[0]) == said(ends[1])
    assert ends[0].status or quick(one)  # all is in its place again, and was seen


def said(done):
    lines = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    return [re.sub(r"machine\d|/dev/loop\d+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", line) for line in lines]


def test_another_disk_that_the_configuration_names(provisioned, tmp_path):
    one = provisioned()
    more = LoopDisk(sparse(tmp_path / "more.img", 2 * GIB))
    more.attach()
    try:
        one.settings["devices"] = {"include": [*(disk.device for disk in one.disks), more.device]}
        assert one("run").status == 0
        assert quick(one)
        number = more.device
        more.detach()
        assert not quick(one)
        assert one("run").status == 0
        assert number not in json.dumps(one.report["disks"])
        assert quick(one)
    finally:
        more.detach()


def test_what_changes_while_it_is_kept_is_not_kept(provisioned, tmp_path):
    """Something is unmounted after the last state has seen it, before the witness looks."""
    one = provisioned()
    (one.run_dir / "witness.json").unlink()
    program = """
import subprocess, sys
from zosstorage import __main__, machine
real = machine.Provisioner.looks
def looks(self):
    subprocess.run(["umount", sys.argv[1]], check=True)
    return real(self)
machine.Provisioner.looks = looks
sys.exit(__main__.main(sys.argv[2:]))
"""
    words = one.argv("run")
    at = words.index("-m")
    done = subprocess.run(
        [*words[:at], "-c", program, f"{one.root}/var/cache/etc", *words[at + 2 :]], cwd=TOP, check=False
    )
    assert done.returncode == 0
    assert not (one.run_dir / "witness.json").exists()
    assert one("run").status == 0
    assert "/var/cache/etc" in one.mounts


def test_steps_leave_a_witness_too(machine):
    one = machine(1, size=2 * GIB, logging={})
    for _ in range(6):
        assert one("step").status == 0
    assert quick(one)


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
        assert quick(one)
        output("blockdev", "--setrw", name)
        assert not quick(one)
        assert one("run").status == 4
    finally:
        output("blockdev", "--setrw", name)
        more.detach()


def test_a_sign_in_the_root_that_mountinfo_might_escape(machine):
    one = machine(1, size=2 * GIB, logging={})
    one.root = one.folder / "a #\\b"
    one.root.mkdir()
    assert one("run").status == 0
    assert quick(one)
    output(*one.inside("umount", one.root / "var/cache/etc"))
    assert not quick(one)
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
