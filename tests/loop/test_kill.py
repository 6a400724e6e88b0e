"""Killed anywhere, the next run finishes the job: in the same boot and after a reboot, one disk and three."""

import itertools
import signal
import time

import pytest
from checks import check_provisioned
from disks import GIB
from processes import PATIENCE, kill_tree
from toolwrappers import ToolWrappers

TOPOLOGIES = {"one": (1, "single"), "three": (3, "dual_independent"), "mirror": (3, "btrfs_raid1")}
POINTS = 30


class Victim:
    """A machine whose run is killed; blank again for each kill."""

    def __init__(self, machine, tmp_path, disks):
        self.count, self.topology = TOPOLOGIES[disks]
        self.machine = machine(self.count, size=2 * GIB, topology={"mode": self.topology})
        self.wrappers = ToolWrappers(tmp_path / "wrappers")

    def finish(self, boot, what):
        """The next run: it must end well, and the machine must be all that it should be."""
        if boot == "reboot":
            self.machine.reboot()
        done = self.machine("run")
        assert done.status == 0, f"{what}: {done.stderr}"
        status = self.machine.report["status"]
        check_provisioned(self.machine, self.topology, status=status)


# One filesystem over three disks adds what a command leaves that is cut short on one of them. After a command is before
# the next one, but for what the program does in between: on one disk, that is tried too.
KILLS = [*itertools.product(("one", "three"), ("before", "during")), ("one", "after"), ("mirror", "during")]


@pytest.mark.parametrize("boot", ["same-boot", "reboot"])
@pytest.mark.parametrize(("disks", "when"), KILLS)
def test_killed_at_every_command(machine, tmp_path, disks, when, boot):
    victim = Victim(machine, tmp_path, disks)
    number = 0
    while True:
        number += 1
        victim.machine.blank()
        env = victim.wrappers.install(when, f"[ $call = {number} ]")
        process = victim.machine.start("run", env=env)
        if not victim.wrappers.wait_for_stop(process):
            break
        tool = victim.wrappers.tool(number)
        kill_tree(process)
        victim.finish(boot, f"killed {when} command {number}, {tool}")
    assert process.returncode == 0, victim.machine.log.read_text()
    assert number > 12  # as many commands as there are at least: each was a kill


# The writes of a disk by which its marks are cleared: backup entries, backup header, primary entries, primary header.
CLEARING = 4


@pytest.mark.parametrize("boot", ["same-boot", "reboot"])
@pytest.mark.parametrize("disks", TOPOLOGIES)
@pytest.mark.parametrize("write", range(1, CLEARING + 2))
def test_killed_at_every_write_that_clears_marks(machine, tmp_path, disks, write, boot):
    """The kernel sends SIGKILL as the first thread that writes to a disk comes to its nth write."""
    victim = Victim(machine, tmp_path, disks)
    log = tmp_path / "trace"
    inject = f"inject=pwrite64:signal=SIGKILL:when={write}"
    disks = [word for disk in victim.machine.disks for word in ("-P", disk.device)]
    tracer = ["strace", "-f", "-qq", "-o", log, "-e", "trace=pwrite64", "-e", inject, *disks]
    process = victim.machine.start("run", before=tracer)
    process.wait(PATIENCE)
    if write > CLEARING:
        assert process.returncode == 0, victim.machine.log.read_text()
        assert log.read_text().count("pwrite64(") == CLEARING * victim.count  # there are no others
        return
    assert process.returncode == -signal.SIGKILL
    kill_tree(process)
    victim.finish(boot, f"killed at write {write}")


@pytest.mark.parametrize("boot", ["same-boot", "reboot"])
@pytest.mark.parametrize("disks", ["one", "three"])
@pytest.mark.parametrize("part", range(5))
def test_killed_at_even_points_in_time(machine, tmp_path, disks, boot, part):
    victim = Victim(machine, tmp_path, disks)
    began = time.monotonic()
    assert victim.machine("run").status == 0
    seconds = time.monotonic() - began
    for point in range(part, POINTS, 5):
        victim.machine.blank()
        process = victim.machine.start("run")
        time.sleep(seconds * point / POINTS)
        kill_tree(process)
        victim.finish(boot, f"killed after {seconds * point / POINTS:.3f} s")
