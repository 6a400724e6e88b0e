"""The program is killed alone, and a tool that it started lives on: no later run works beside that tool.

A tool is held up before it is executed, at one of its writes, or at its flush, while the program is killed. The next
run waits for the tool, and names it where it does not end; and whenever the tool ends, the run after that finishes the
system, or finds it finished.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from checks import check_provisioned
from disks import GIB
from processes import PATIENCE, reads, wait_until
from toolwrappers import ToolWrappers

# Held before it is executed, until the test lets it go.
_BEFORE = (
    ": >{calls}/stopped; while [ -d {calls} ] && [ ! -e {calls}/continue ]; do /bin/sleep 0.02; done; "
    "[ -d {calls} ] || exit 1"
)
# Held by strace at the entry of a system call on a disk, for longer than a test lasts; it goes on without strace.
_AT = (
    "exec strace -f -qq -o {{calls}}/trace -e trace={calls} -e inject={calls}:delay_enter=1000000000:when={when} "
    '{paths} "$real" "$@"'
)
_WRITES = "write,pwrite64,writev,pwritev"
MOMENTS = {
    "sfdisk": ("before", f"{_WRITES} 1", f"{_WRITES} 3", "fsync 1"),
    "partx": ("before", "ioctl 1"),
    "mkfs.fat": ("before", f"{_WRITES} 1", f"{_WRITES} 5", "fsync 1"),
    "mkfs.btrfs": ("before", "pwrite64 2", "pwrite64 12", "fsync 1"),
    "mount": ("before",),
}
TOPOLOGIES = {1: "single", 3: "dual_independent"}
CASES = [(tool, moment) for tool, moments in MOMENTS.items() for moment in moments]


class Orphan:
    """A run that was killed while one of its tools was held up."""

    def __init__(self, one, wrappers: ToolWrappers, tool: str, moment: str, condition: str = "[ $nth = 1 ]") -> None:
        self.one, self.calls = one, wrappers.calls
        env = wrappers.install(_action(one, moment), condition, tool)
        process = one.start("run", env=env)
        wait_until(lambda: self.is_held() or process.poll() is not None, f"{tool} is not held up at {moment}")
        assert process.poll() is None, f"{tool} was not held up at {moment}: {one.log.read_text()}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

    def is_held(self) -> bool:
        """A tracer that waits for the end of a delay has armed a timer (timer_create(2))."""
        return (self.calls / "stopped").exists() or any(
            "ID:" in reads(Path(f"/proc/{pid}/timers")) for pid in self._tracers()
        )

    def _tracers(self) -> list[int]:
        """The tracers of the tool of this test: several, where it runs on several disks."""
        return [pid for pid in _processes("strace") if str(self.calls) in _command(pid)]

    def release(self) -> None:
        (self.calls / "continue").touch()
        for pid in self._tracers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait_for_its_end(self) -> None:
        lock = (self.one.run_dir / "lock").stat()
        wait_until(lambda: not _have_open(lock), "the tool does not end after it was let go")


def _action(one, moment: str) -> str:
    if moment == "before":
        return _BEFORE
    calls, when = moment.split()
    nodes = [disk.device + part for disk in one.disks for part in ("", "p1", "p2", "p3")]
    return _AT.format(calls=calls, when=when, paths=" ".join(f"-P {node}" for node in nodes))


def _processes(name: str = "") -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if reads(Path(f"/proc/{pid}/comm")).strip() == name or not name]


def _command(pid: int) -> str:
    return reads(Path(f"/proc/{pid}/cmdline"))


def _have_open(wanted: os.stat_result) -> list[int]:
    found = []
    for pid in _processes():
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.path.samestat(link.stat(), wanted):
                        found.append(pid)
    return found


@pytest.fixture
def orphaned(machine, tmp_path):
    """Make a machine whose run was killed; whatever happens, its tools are let go before the machine is taken down."""
    made = []

    def make(tool, moment, *, count=1, condition="[ $nth = 1 ]", prepare=None):
        one = machine(count, size=2 * GIB, topology={"mode": TOPOLOGIES[count]})
        if prepare:
            prepare(one)
        orphan = Orphan.__new__(Orphan)
        made.append(orphan)
        orphan.__init__(one, ToolWrappers(tmp_path / "wrappers"), tool, moment, condition)
        return one, orphan

    yield make
    for orphan in made:
        orphan.release()
        orphan.wait_for_its_end()


def check_kept_away(one, orphan: Orphan, tool: str, topology: str) -> None:
    refused = one("run")
    assert refused.status == 7, refused.stderr
    assert tool in refused.stderr
    orphan.release()
    orphan.wait_for_its_end()
    finish(one, topology)


def finish(one, topology: str) -> None:
    done = one("run")
    assert done.status == 0, done.stderr
    check_provisioned(one, topology, status=one.report["status"])
    before = one.digests()
    one.reboot()
    assert one.digests() == before
    assert one("run").status == 0
    check_provisioned(one, topology, status="already_provisioned")


@pytest.mark.parametrize(("tool", "moment"), CASES)
def test_a_tool_that_outlives_its_run_keeps_the_next_run_away(orphaned, tool, moment):
    one, orphan = orphaned(tool, moment)
    check_kept_away(one, orphan, tool, "single")


@pytest.mark.parametrize(
    ("tool", "moment"), [("sfdisk", "fsync 1"), ("mkfs.fat", "fsync 1"), ("mkfs.btrfs", "pwrite64 12")]
)
def test_tools_on_three_disks_that_outlive_their_run(orphaned, tool, moment):
    one, orphan = orphaned(tool, moment, count=3, condition="true")
    check_kept_away(one, orphan, tool, "dual_independent")


def test_wipefs_that_outlives_its_run(orphaned):
    """It erases what mkfs.btrfs left of a filesystem that was never finished."""

    def leave_unfinished(one):
        assert one("step", "--until", "format").status == 0
        one.reboot()

    one, orphan = orphaned("wipefs", "before", condition='[ "$1" = --all ]', prepare=leave_unfinished)
    check_kept_away(one, orphan, "wipefs", "single")


@pytest.mark.parametrize(
    ("tool", "moment"), [("sfdisk", f"{_WRITES} 3"), ("mkfs.fat", "before"), ("mkfs.btrfs", "fsync 1")]
)
def test_the_next_run_goes_on_as_soon_as_the_tool_has_ended(orphaned, tool, moment):
    one, orphan = orphaned(tool, moment)
    process = one.start("run")
    wait_until(
        lambda: one.log.exists() and process.pid in _have_open((one.run_dir / "lock").stat()), "it does not wait"
    )
    orphan.release()
    assert process.wait(PATIENCE) == 0, one.log.read_text()
    finish(one, "single")


@pytest.mark.parametrize("tool", ["sfdisk", "mkfs.btrfs"])
def test_a_run_with_another_run_directory_is_kept_off_the_disk(orphaned, tool):
    one, orphan = orphaned(tool, "before")
    lock = (one.run_dir / "lock").stat()
    wait_until(lambda: not any("mkfs.fat" in _command(pid) for pid in _have_open(lock)), "mkfs.fat does not end")
    one.settings["run_dir"] = str(one.folder / "other")
    before = one.digests()
    refused = one("run")
    assert refused.status == 5, refused.stderr
    assert one.digests() == before
    del one.settings["run_dir"]
    orphan.release()
    orphan.wait_for_its_end()
    finish(one, "single")
