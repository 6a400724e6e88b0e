"""Blank disks that somebody uses, and disks that fail: refused."""

import contextlib
import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from disks import GIB, output
from test_foreign import refuse


@contextlib.contextmanager
def held_exclusively(disk):
    handle = os.open(disk.device, os.O_RDONLY | os.O_EXCL)
    yield
    os.close(handle)


@contextlib.contextmanager
def loop_on_top(disk):
    """A loop device over the disk does not claim it; a mount of it does."""
    upper = output("losetup", "--find", "--show", disk.device).strip()
    handle = os.open(disk.device, os.O_RDONLY | os.O_EXCL)
    yield
    os.close(handle)
    output("losetup", "--detach", upper)


@contextlib.contextmanager
def stale_partition(disk):
    output("addpart", disk.device, "1", "2048", "4096")
    yield
    output("delpart", disk.device, "1")


LOOP_CTL_ADD = 0x4C80  # linux/loop.h
USES = {
    "held-exclusively": (held_exclusively, "holds it exclusively"),
    "claimed-below-a-loop": (loop_on_top, "holds it exclusively"),
    "stale-kernel-partition": (stale_partition, "the kernel has the partition"),
}


@pytest.mark.parametrize("use", USES)
def test_a_blank_disk_in_use_is_refused(machine, use):
    using, word = USES[use]
    one = machine(1, size=2 * GIB)
    with using(one.disks[0]):
        refuse(one, one.disks[0].device, word, None)
    assert one("run").status == 0


def test_a_filesystem_mounted_elsewhere_is_told(machine):
    """In another mount namespace, where our own mountinfo does not show it."""
    one = machine(1, size=2 * GIB)
    device = one.disks[0].device
    output("mkfs.ext4", "-q", device)
    script = f"mount {device} {one.folder} && echo up && exec sleep 60"
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as other:
        other.stdout.readline()
        done = one("run")
        other.kill()
    assert done.status == 5
    assert f"{device} is mounted at {one.folder}" in done.stderr


def test_a_lock_on_the_disk_is_respected(machine):
    """As udev and other partitioners take it: checked right before the first write."""
    one = machine(2, size=2 * GIB)
    with Path(one.disks[1].device).open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        done = one("run")
    assert done.status == 5
    assert f"another program holds the lock of {one.disks[1].device}" in done.stderr
    assert [disk.image.stat().st_blocks for disk in one.disks] == [0, 0]
    assert one("run").status == 0


def test_a_read_only_disk_is_not_eligible(machine):
    one = machine(1, size=2 * GIB)
    one.shutdown()
    one.disks[0].read_only = True
    one.boot()
    done = one("run")
    assert done.status == 4
    assert f"{one.disks[0].device} (read-only)" in done.stderr


@pytest.mark.parametrize("left", [GIB, 3 * 4096, 0], ids=["half", "a-bit", "nothing"])
def test_a_disk_whose_reads_fail_is_refused(machine, left):
    """The file is cut off below its loop device: reads behind its end fail."""
    one = machine(2, size=2 * GIB)
    bad = one.disks[1]
    os.truncate(bad.image, left)
    done = one("run")
    assert done.status == 5, done.stderr
    assert f"{bad.device}: " in done.stderr
    assert "check: read" in done.stderr
    assert one.disks[0].image.stat().st_blocks == 0


def test_a_disk_written_between_plan_and_first_write(machine):
    """Validate is done; a byte turns up before Partition: the checkpoint's verdict is not believed."""
    one = machine(2, size=2 * GIB)
    assert one("step", "--until", "validate").status == 0
    with Path(one.disks[1].device).open("r+b") as file:
        file.seek(4096)
        file.write(b"mine")
    done = one("step")
    assert done.status in (0, 5)
    done = one("run")
    assert done.status == 5
    assert "6d 69 6e 65" in done.stderr
    assert one.disks[0].image.stat().st_blocks == 0


def test_another_disk_under_the_same_name(machine):
    """Validate is done; another disk is put in the place of the first: another diskseq, everything begins again."""
    one = machine(1, size=2 * GIB)
    disk = one.disks[0]
    disk.detach()
    with Path("/dev/loop-control").open("rb") as control:
        number = 500 + os.getpid() % 400  # a node that nobody else is given while it is free
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
    disk.device = f"/dev/loop{number}"
    output("losetup", disk.device, disk.image)
    assert one("step", "--until", "validate").status == 0
    output("losetup", "--detach", disk.device)
    output("losetup", disk.device, disk.image)
    done = one("run")
    assert done.status == 0
    assert "what the state discover made is no longer there as it was" in done.stderr
