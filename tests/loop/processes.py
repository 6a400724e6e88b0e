"""Processes of a test: tools of its own, waits that a loaded machine cannot fail, whole trees killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 300  # seconds for what a loaded machine does late; only a failure waits so long


def wait_until(ready: Callable[[], object], told: str) -> None:
    """Look again and again; the test fails, and says `told`, when it was in vain."""
    end = time.monotonic() + PATIENCE
    while not ready():
        assert time.monotonic() < end, told
        time.sleep(0.002)


def output(*argv: object) -> str:
    """What a tool of the test's own prints; the test fails if it does."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, f"{argv} failed: {done.stderr}"
    return done.stdout


def reads(path: Path) -> str:
    """The text of a file of /proc or /sys; empty where it is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the program and to every tool that it started (they have sessions of their own); all are gone then.

    Who was told to stop does not fork any more: when a look finds nobody new, nobody is missing. A killed tool may
    hang on to its disk until a write of its ends.
    """
    stopped: set[int] = set()
    while found := {process.pid, *_descendants(process.pid)} - stopped:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= found
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not any(map(_lives, stopped)), "a killed tool does not end")


def _lives(pid: int) -> bool:
    """A zombie has let go of all it had."""
    status = reads(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return bool(status) and status[0] not in "ZX"


def _descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile, or while it was read
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in reads(task / "children").split()]
    return found + [grandchild for child in found for grandchild in _descendants(child)]
