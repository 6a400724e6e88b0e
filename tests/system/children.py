"""Helpers for tests that start processes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from zosstorage.errors import ExitCode, InterruptedRunError, ToolError
from zosstorage.system import run, signals
from zosstorage.system.running import LIMIT


@contextmanager
def stopped(name: str = "SIGTERM") -> Iterator[None]:
    """Expect that a signal stops the block, as it stops a run."""
    with pytest.raises(InterruptedRunError, match=f"stopped by {name}"), signals.caught():
        yield


def failure(*argv: str, **rest: Any) -> ToolError:
    """Run a command that must fail, and return its error."""
    with pytest.raises(ToolError) as caught:
        run.command(list(argv), **rest)
    assert caught.value.exit_code is ExitCode.TOOL
    assert "\n" not in caught.value.message
    return caught.value


def alive(pid: int) -> bool:
    """Return whether a process is still running; a zombie is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def gone(pid: int) -> bool:
    """Wait until a process has ended, which takes a moment after a kill; return whether it has."""
    return _within_30_s(lambda: not alive(pid))


def status(command: run.Running) -> int:
    """Return the exit status of a command, which must have ended."""
    assert command.done
    return command.done.status


def pids(folder: Path) -> list[int]:
    """Return the process IDs that tools wrote to `pid.*` files, in the order of the file names."""
    return [int(path.read_text("ascii")) for path in sorted(folder.glob("pid.*"))]


def wait_for_pids(folder: Path, count: int) -> None:
    """Wait until `count` tools have written their process IDs."""

    def written() -> bool:
        return sum(path.read_text("ascii").endswith("\n") for path in folder.glob("pid.*")) == count

    assert _within_30_s(written), "the tools did not start"


def _within_30_s(condition: Callable[[], bool]) -> bool:
    for _ in range(3000):
        if condition():
            return True
        time.sleep(0.01)
    return False


def expired(running: run.Running, folder: Path, count: int = 1) -> ToolError:
    """Let a command exceed the time limit once `count` process IDs are written, and return its error."""
    wait_for_pids(folder, count)
    LIMIT.seconds = 0.01
    with pytest.raises(ToolError) as caught:
        running.wait()
    return caught.value


def handles() -> list[str]:
    """Return the open descriptors of this process."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())
