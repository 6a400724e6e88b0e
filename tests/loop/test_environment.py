"""The program in surroundings that only root can make: bare initramfs namespaces, signals in the middle of a run."""

import json
import os
import signal
import subprocess
import sys

import pytest
from disks import GIB
from program import TOP
from toolwrappers import ToolWrappers

# What an initramfs has before anything is mounted; nothing of it outlives the namespace.
EMPTY = "for folder in {}; do mount -t tmpfs none $folder || exit 99; done; shift; "
PRIVATE = ("unshare", "--mount", "--propagation", "private")
EVERYTHING = ("/proc", "/sys", "/dev", "/run")


def bare(*words, without=EVERYTHING, redirect=""):
    """The program in a mount namespace in which some folders are empty."""
    script = f'{EMPTY.format(" ".join(without))} exec "$@" {redirect}'
    done = subprocess.run(
        [*PRIVATE, "sh", "-c", script, "sh", "-", sys.executable, "-m", "zosstorage", *words],
        cwd=TOP,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    for ugly in ("Traceback", "a defect of", "Exception ignored"):
        assert ugly not in done.stderr, done.stderr
    return done


@pytest.mark.parametrize("command", ["run", "step", "plan"])
@pytest.mark.parametrize(
    ("without", "told", "hint"),
    [
        (EVERYTHING, "/proc is not mounted", "mount -t proc proc /proc"),
        (["/proc"], "/proc is not mounted", "mount -t proc proc /proc"),
        (["/sys", "/run"], "/sys is not mounted", "mount -t sysfs sysfs /sys"),
    ],
    ids=["everything", "proc", "sys"],
)
def test_work_needs_proc_and_sys(command, without, told, hint):
    done = bare(command, without=without)
    assert (done.returncode, done.stdout) == (6, "")
    line = json.loads(done.stderr)
    assert (line["message"], line["hint"], line["exit_code"]) == (told, hint, 6)


def test_a_kernel_command_line_of_ones_own_is_no_proc():
    done = bare("--cmdline", str(TOP / "LICENSE"), "run")
    assert (done.returncode, json.loads(done.stderr)["message"]) == (6, "/proc is not mounted")


@pytest.mark.parametrize(
    "words",
    [
        "--version",
        "--help",
        "graph",
        "graph --format dot",
        "schema",
        "config show --origins",
    ],
)
def test_what_only_prints_needs_neither(words):
    done = bare(*words.split())
    assert (done.returncode, done.stderr) == (4 if words.startswith("status") else 0, "")
    assert done.stdout


@pytest.mark.parametrize("words", ["status", "status --json"])
def test_status_without_a_checkpoint_says_so(words):
    done = bare(*words.split())
    assert done.returncode == 4, done.stderr
    assert done.stdout


def test_a_file_is_checked_and_a_checkpoint_forgotten_without_proc(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("version: 1\n")
    assert bare("config", "check", str(path)).stdout == f"{path}: valid\n"
    done = bare("reset")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", ["run", "config show"])
def test_a_kernel_command_line_that_was_named_must_be_there(words):
    done = bare("--cmdline", "/proc/cmdline", *words.split())
    assert (done.returncode, done.stdout) == (3, "")
    said = json.loads(done.stderr)
    assert said["message"] == "kernel command line: cannot read /proc/cmdline: No such file or directory"
    assert said["hint"] == "mount /proc, or name a file with --cmdline"


@pytest.mark.parametrize(("words", "status"), [("--version", 0), ("--force", 8), ("run", 6)])
def test_closed_streams_where_there_is_no_dev_null(words, status):
    assert bare(words, redirect="<&- >&- 2>&-").returncode == status


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_a_run_does_not_need_its_streams(machine, tmp_path, redirect):
    one = machine(1, size=2 * GIB)
    argv = ["sh", "-c", f'exec "$@" {redirect}', "sh", *map(str, one.argv("run"))]
    done = subprocess.run(argv, cwd=TOP, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0
    assert [record["status"] for record in one.checkpoint["states"]] == ["done"] * 6
    assert one("run").status == 0


def test_a_refusal_that_nobody_reads_stays_one(machine):
    one = machine(1, size=2 * GIB)
    one.disks[0].image.write_bytes(b"data" * 4096)
    with one.disks[0].image.open("r+b") as file:
        file.truncate(2 * GIB)
    for words in (["plan"], ["plan", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(one.argv(*words), cwd=TOP, stdout=writing, stderr=writing, timeout=60, check=False)
        os.close(writing)
        assert done.returncode == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_a_run_with_its_number(machine, tmp_path, number):
    one = machine(1, size=2 * GIB)
    wrappers = ToolWrappers(tmp_path / "wrappers")
    process = one.start("run", env=wrappers.install("before", "true", "mkfs.btrfs"))
    assert wrappers.wait_for_stop(process), one.log.read_text()
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    error = next(record["error"] for record in one.checkpoint["states"] if record["name"] == "format")
    assert (error["exit_code"], error["message"]) == (128 + number, f"stopped by {number.name}")
    assert "Traceback" not in one.log.read_text()
    assert one("run").status == 0
