"""Writes and flushes that fail below the tools and below the program: nothing is lost, and the next run finishes.

strace makes a system call on the disk fail instead of carrying it out. It counts the calls of each thread for itself.
A disk image on a full tmpfs fails as a medium does: the write ends in the page cache, and the flush reports the error.
"""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checks import check_provisioned
from disks import GIB, Machine, Result
from processes import output
from toolwrappers import ToolWrappers

MIB = 1 << 20
WRITES = "write,pwrite64,writev,pwritev,pwritev2"
FLUSHES = "fsync,fdatasync,sync_file_range"
# retval=0 is a short write of the kernel: it takes no byte, and reports no error.
WRITE_FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "short": "retval=0"}
FLUSH_FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC"}
KINDS = {"write": (WRITES, WRITE_FAULTS), "flush": (FLUSHES, FLUSH_FAULTS)}
# Which calls fail. sfdisk makes a table by 5 writes and 6 flushes; mkfs.fat and mkfs.btrfs make hundreds of writes, of
# which these are the first, some in between, and those near the end.
CALLS = {
    ("sfdisk", "write"): range(1, 6),
    ("sfdisk", "flush"): range(1, 7),
    ("mkfs.fat", "write"): (1, 2, 40, 1000, 2000),
    ("mkfs.fat", "flush"): (1,),
    ("mkfs.btrfs", "write"): (1, 2, 20, 40, 60),
    ("mkfs.btrfs", "flush"): (1, 2, 10),
}
TOOL_CASES = [
    pytest.param(tool, kind, fault, calls, id=f"{tool}-{kind}-{fault}")
    for (tool, kind), calls in CALLS.items()
    for fault in KINDS[kind][1]
]


def tracer(machine: Machine, log: Path, kind: str, fault: str, when: str) -> list[str]:
    """The strace command in which some calls of a kind, on the disk or on a partition, fail."""
    device = machine.disks[0].device
    paths = [word for node in ("", "p1", "p2", "p3") for word in ("-P", f"{device}{node}")]
    calls, faults = KINDS[kind]
    inject = f"inject={calls}:{faults[fault]}:when={when}"
    return ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}", "-e", inject, *paths]


def check_ended(machine: Machine, done: Result, refusals: tuple[int, ...] = ()) -> None:
    """The run has made everything, or it has failed cleanly with exit 6; then the next run makes everything.

    The next run may also refuse, with one of `refusals`, and then leaves every byte as it was.
    """
    if done.status != 0:
        assert done.status == 6, done.stderr
        assert not (machine.run_dir / "state.json").exists()
        assert machine.mounts == {}
    check_next_run(machine, done, refusals)


def check_next_run(machine: Machine, done: Result, refusals: tuple[int, ...] = ()) -> None:
    """The next run makes everything, or refuses with one of `refusals` and leaves every byte as it was."""
    assert "Traceback" not in done.stderr
    before = machine.digests()
    again = machine("run")
    assert again.status in (0, *refusals), f"{done.stderr}\nnext run:\n{again.stderr}"
    if again.status != 0:
        assert machine.digests() == before
        return
    report = check_provisioned(machine, "single", status=machine.report["status"])
    machine.reboot()
    for part in report["disks"][0]["partitions"][-2:]:
        check = ["fsck.fat", "-n"] if part["name"] == "zosboot" else ["btrfs", "check", "--readonly"]
        with machine.disks[0].part(part["start_bytes"], part["size_bytes"]) as node:
            output(*check, node)


def was_injected(log: Path) -> bool:
    return log.exists() and "(INJECTED)" in log.read_text()


@pytest.mark.parametrize(("tool", "kind", "fault", "calls"), TOOL_CASES)
def test_a_call_of_a_tool_fails(
    machine: Callable[..., Machine], tmp_path: Path, tool: str, kind: str, fault: str, calls: tuple[int, ...]
) -> None:
    """One call fails, in the first process of the tool: it is started again, or did what was asked all the same."""
    one = machine(1, size=2 * GIB)
    wrappers, log = ToolWrappers(tmp_path / "wrappers"), tmp_path / "trace"
    for call in calls:
        one.blank()
        log.unlink(missing_ok=True)
        words = " ".join(tracer(one, log, kind, fault, str(call)))
        done = one("run", env=wrappers.install(f'exec {words} "$real" "$@"', "[ $nth = 1 ]", tool))
        assert was_injected(log), f"{tool} makes no {kind} number {call}"
        # A table of which one write in the middle is missing is none that a power loss leaves: it is refused.
        check_ended(one, done, refusals=(5,) if (tool, fault) == ("sfdisk", "short") else ())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("call", [1, 3, 5, 6, 20])
def test_every_call_from_one_on_fails(machine: Callable[..., Machine], tmp_path: Path, kind: str, call: int) -> None:
    """A disk that goes on failing: in every process, each call after some that succeed."""
    one, log = machine(1, size=2 * GIB), tmp_path / "trace"
    process = one.start("run", before=tracer(one, log, kind, "EIO", f"{call}+"))
    process.wait()
    done = Result(process.returncode, "", one.log.read_text())
    assert was_injected(log) or (kind == "flush" and call == 20), "nothing failed"  # no process flushes so often
    check_ended(one, done)


@pytest.mark.parametrize("fault", WRITE_FAULTS)
@pytest.mark.parametrize("call", range(1, 5))
def test_a_write_that_clears_a_flag_fails(
    machine: Callable[..., Machine], tmp_path: Path, fault: str, call: int
) -> None:
    one, log = machine(1, size=2 * GIB), tmp_path / "trace"
    assert one("step", "--until", "format").status == 0
    process = one.start("run", before=tracer(one, log, "write", fault, str(call)))
    process.wait()
    assert was_injected(log)
    assert process.returncode == 6, one.log.read_text()
    check_ended(one, Result(6, "", one.log.read_text()))


@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC"])
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_file_of_the_run_directory_cannot_be_written(
    machine: Callable[..., Machine], tmp_path: Path, call: str, fault: str
) -> None:
    """Every call in turn by which the program saves a checkpoint or the report."""
    one, log = machine(1, size=2 * GIB), tmp_path / "trace"
    number = 0
    while True:
        number += 1
        one.blank()
        log.unlink(missing_ok=True)
        inject = f"inject={call}:{fault}:when={number}"
        # Without -f: only the thread that saves the files, and none of the tools.
        process = one.start("run", before=["strace", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", inject])
        process.wait()
        if not was_injected(log):
            break
        assert process.returncode in (3, 6), one.log.read_text()
        check_next_run(one, Result(process.returncode, "", one.log.read_text()))
    assert process.returncode == 0
    assert number > 6  # a checkpoint after each state


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a tmpfs of a number of bytes, or change its size."""
    folder = tmp_path / "small"
    folder.mkdir()

    def resize(size: int) -> Path:
        options = f"remount,size={size}" if folder.is_mount() else f"size={size}"
        output("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
        return folder

    yield resize
    subprocess.run(["umount", "--lazy", folder], check=False)


# What a run puts on a disk of 2 GiB: a table of 68 KiB, an ESP of about 2 MiB, a btrfs of about 0.5 MiB, subvolumes.
@pytest.mark.parametrize("size", [8 << 10, 64 << 10, 512 << 10, 2 * MIB, 2200 << 10, 2600 << 10])
def test_a_medium_takes_only_so_many_bytes(
    small: Callable[[int], Path], machine: Callable[..., Machine], size: int
) -> None:
    """The backing file of the disk has no room: the kernel reports I/O errors when it writes the page cache."""
    one = machine(1, size=2 * GIB)
    one.shutdown()
    disk = one.disks[0]
    disk.image = small(size) / disk.image.name
    with disk.image.open("wb") as file:
        file.truncate(2 * GIB)
    one.boot()
    done = one("run")
    small(256 * MIB)
    assert done.status == 6, done.stderr
    check_ended(one, done)
