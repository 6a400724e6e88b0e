"""Others at work while a run is under way: what they put into our partitions, nodes and targets is not ours."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

import pytest
from disks import GIB
from processes import output
from toolwrappers import ToolWrappers

MADE = {
    "btrfs": ("mkfs.btrfs", "-q"),
    "btrfs of another label": ("mkfs.btrfs", "-q", "-L", "home"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "vfat": ("mkfs.fat", "-F", "32"),
    "swap": ("mkswap",),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("number", [2, 3], ids=["esp", "data"])
def test_what_somebody_made_in_a_marked_partition_is_kept(machine, name, number):
    """Partition is done and its checkpoint holds, so that no verdict is taken again."""
    one = machine(2, size=2 * GIB, partitions={"firmware": "bios"})
    assert one("step", "--until", "partition").status == 0
    node = f"{one.disks[1].device}p{number}"
    output(*MADE[name], node)
    before = one.digests()
    done = one("run")
    assert done.status == 5, done.stderr
    assert node in done.stderr
    assert one.digests() == before


def test_a_node_that_leads_to_another_disk(machine):
    """As in a static /dev, where the number of a partition that went was given to another device."""
    one = machine(2, size=2 * GIB, partitions={"firmware": "bios"})
    ours, other = one.disks
    one.settings["devices"] = {"include": [ours.device]}
    with Path(other.device).open("r+b") as file:
        file.write(b"raw data without a signature")
    assert one("step", "--until", "partition").status == 0
    node, before = f"{ours.device}p3", one.digests()
    output(*one.inside("mount", "--bind", other.device, node))
    done = one("run")
    output(*one.inside("umount", node))
    assert done.status == 5, done.stderr
    assert f"{node} is not the block device" in done.stderr
    assert one.digests() == before
    assert one("run").status == 0


def test_what_somebody_mounts_at_a_target_meanwhile_stays(machine):
    one = machine(size=2 * GIB)
    folder, real = one.folder / "bin", shutil.which("mount")
    folder.mkdir()
    script = f"""#!/bin/sh
for target; do :; done
case "$*" in *subvol=etc*)
    if mkdir {folder}/once; then
        {real} -t tmpfs theirs "$target"
        echo precious >"$target/data"
        exit 32
    fi ;;
esac
exec {real} "$@"
"""
    (folder / "mount").write_text(script)
    (folder / "mount").chmod(0o755)
    done = one("run", env={"PATH": f"{folder}:{os.environ['PATH']}"})
    assert done.status == 6, done.stderr
    assert one.mounts["/var/cache/etc"][-2] == "theirs"
    assert output(*one.inside("cat", one.root / "var/cache/etc/data")) == "precious\n"
    output(*one.inside("umount", one.root / "var/cache/etc"))
    assert one("run").status == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_while_facts_are_held_against_the_machine(machine, tmp_path, number):
    """Nothing that handles failures may take it for one, and go on to write."""
    one = machine(2, size=2 * GIB)
    with uncounted(one.disks):  # then Validate has the probers look again
        assert one("step", "--until", "validate").status == 0
        wrappers = ToolWrappers(tmp_path / "wrappers")
        process = one.start("run", env=wrappers.install("before", "true", "blkid"))
        assert wrappers.wait_for_stop(process)
        process.send_signal(number)
        assert process.wait(60) == 128 + number, one.log.read_text()
        assert [disk.image.stat().st_blocks for disk in one.disks] == [0, 0], one.log.read_text()
        assert one("run").status == 0


@contextlib.contextmanager
def uncounted(disks):
    """Disks of which the kernel does not count what is written to them."""
    switches = [Path(f"/sys/block/{Path(disk.device).name}/queue/iostats") for disk in disks]
    try:
        for switch in switches:
            switch.write_text("0")
        yield
    finally:
        for switch in switches:
            switch.write_text("1")


@pytest.mark.parametrize("counted", [True, False])
def test_what_was_written_between_two_steps_is_never_overwritten(machine, counted):
    """Not even what is in the page cache alone, its writer still at it."""
    one = machine(1, size=2 * GIB, validate={"scan": "full"})
    disk = one.disks[0]
    with contextlib.nullcontext() if counted else uncounted(one.disks):
        assert one("step", "--until", "validate").status == 0
        handle = os.open(disk.device, os.O_RDWR)
        try:
            os.pwrite(handle, b"precious", GIB)
            assert one("step").status == 0
            assert one("run").status == 5
        finally:
            os.close(handle)
