"""Blank disks that somebody uses, and disks that fail: refused."""

import contextlib
import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from disks import GIB
from processes import output, wait_until
from test_foreign import refuse_alone_and_as_the_second


@contextlib.contextmanager
def held_exclusively(disk):
    handle = os.open(disk.device, os.O_RDONLY | os.O_EXCL)
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def loop_on_top(disk):
    """A loop device over the disk does not claim it; a mount of it does."""
    with disk.part(0, 2 * GIB), held_exclusively(disk):
        yield


@contextlib.contextmanager
def stale_partition(disk):
    output("addpart", disk.device, "1", "2048", "4096")
    try:
        yield
    finally:
        disk.forget_partitions()


LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81  # linux/loop.h
USES = {
    "held-exclusively": (held_exclusively, "holds it exclusively"),
    "claimed-below-a-loop": (loop_on_top, "holds it exclusively"),
    "stale-kernel-partition": (stale_partition, "the kernel has the partition"),
}


@pytest.mark.parametrize("use", USES)
def test_a_blank_disk_in_use_is_refused_alone_and_as_the_second(machine, use):
    using, word = USES[use]
    one = machine(2, size=2 * GIB)
    with using(one.disks[1]):
        refuse_alone_and_as_the_second(one, word)
    assert one("run").status == 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_filesystem_mounted_elsewhere_is_told(machine, count):
    """In another mount namespace, where our own mountinfo does not show it."""
    one = machine(count, size=2 * GIB)
    device = one.disks[-1].device
    output("mkfs.ext4", "-q", device)
    before = [disk.image.stat().st_blocks for disk in one.disks[:-1]]
    script = f"mount {device} {one.folder} && echo up && exec sleep infinity"
    other = subprocess.Popen(["unshare", "-m", "sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True)
    try:
        other.stdout.readline()
        done = one("run")
    finally:
        other.kill()
        other.communicate()
    assert done.status == 5
    assert f"{device} is mounted at {one.folder}" in done.stderr
    assert [disk.image.stat().st_blocks for disk in one.disks[:-1]] == before == [0] * (count - 1)


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


def write_data(disk):
    with Path(disk.device).open("r+b") as file:
        file.seek(4096)
        file.write(b"mine")


def test_a_disk_written_between_two_steps(machine):
    """Validate is done; a byte turns up before Partition: what it found is not believed, and a step is the first."""
    one = machine(2, size=2 * GIB)
    assert one("step", "--until", "validate").status == 0
    write_data(one.disks[1])
    done = one("step")
    assert done.status == 0
    assert "the result of the state validate is gone or has changed" in done.stderr
    assert [record["status"] for record in one.checkpoint["states"]] == ["done"] + ["pending"] * 5
    done = one("run")
    assert done.status == 5
    assert "6d 69 6e 65" in done.stderr
    assert one.disks[0].image.stat().st_blocks == 0


@contextlib.contextmanager
def at_the_last_moment(one, result):
    """A run up to where Partition waits for the lock of the first disk: Validate is done, and nothing is written."""
    with Path(one.disks[0].device).open("rb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        process = one.start("run")
        wait_until(lambda: "state 3/6 partition: started" in one.log.read_text(), "no Partition")
        yield
    result.append(process.wait())


def test_a_disk_written_right_before_the_first_write(machine):
    one, result = machine(2, size=2 * GIB), []
    with at_the_last_moment(one, result):
        write_data(one.disks[1])
    assert result == [5], one.log.read_text()
    assert "6d 69 6e 65" in one.log.read_text()
    assert one.checkpoint["states"][2]["status"] == "failed"
    assert one.disks[0].image.stat().st_blocks == 0


def test_a_disk_that_vanishes_right_before_the_first_write(machine):
    one, result = machine(2, size=2 * GIB), []
    gone = one.disks[1].device
    with at_the_last_moment(one, result):
        one.disks[1].pull()
    assert result == [5], one.log.read_text()
    assert gone in one.log.read_text().splitlines()[-1]
    assert one.checkpoint["states"][2]["status"] == "failed"
    assert [disk.image.stat().st_blocks for disk in one.disks] == [0, 0]


@pytest.mark.parametrize("until", ["discover", "validate"])
def test_a_disk_that_vanishes_between_two_steps(machine, until):
    one = machine(2, size=2 * GIB, devices={"expect": {"count": 2}})
    assert one("step", "--until", until).status == 0
    gone = one.disks[1].device
    one.disks[1].pull()
    done = one("run")
    assert done.status == 4, done.stderr
    assert "the result of the state discover is gone or has changed" in done.stderr
    assert "devices.expect.count is 2, found 1" in done.stderr
    assert f"{gone} (" in done.stderr
    assert [disk.image.stat().st_blocks for disk in one.disks] == [0, 0]


def swap(disk):
    """Another disk in its place: the same bytes, another diskseq."""
    disk.pull()
    disk.attach()


def test_another_disk_under_the_same_name(machine):
    """Validate is done; another disk is put in the place of the first: another diskseq, everything begins again."""
    one = machine(1, size=2 * GIB)
    assert one("step", "--until", "validate").status == 0
    swap(one.disks[0])
    done = one("run")
    assert done.status == 0
    assert "the result of the state discover is gone or has changed" in done.stderr


def test_another_disk_under_the_same_name_right_before_the_first_write(machine):
    one, result = machine(2, size=2 * GIB), []
    with at_the_last_moment(one, result):
        swap(one.disks[1])
    assert result == [5], one.log.read_text()
    assert "is not the disk that was examined: its diskseq was" in one.log.read_text()
    assert [disk.image.stat().st_blocks for disk in one.disks] == [0, 0]
