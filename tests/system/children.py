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
    """A block that a signal ends, as it ends a run."""
    with pytest.raises(InterruptedRunError, match=f"stopped by {name}"), signals.caught():
        yield


def failure(*argv: str, **rest: Any) -> ToolError:
    """The error of a command that fails."""
    with pytest.raises(ToolError) as caught:
        run.command(list(argv), **rest)
    assert caught.value.exit_code is ExitCode.TOOL
    assert "\n" not in caught.value.message
    return caught.value


def alive(pid: int) -> bool:
    """Whether a process runs still; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def gone(pid: int) -> bool:
    """Wait until a process has ended: the kernel takes a moment over a kill."""
    return _within_30_s(lambda: not alive(pid))


def status(command: run.Running) -> int:
    """The exit status of a command, which must have ended."""
    assert command.done
    return command.done.status


def pids(folder: Path) -> list[int]:
    """The process ids that tools wrote to `pid.*` files, in the order of the names."""
    return [int(path.read_text("ascii")) for path in sorted(folder.glob("pid.*"))]


def until_there(folder: Path, count: int) -> None:
    """Wait until that many tools have written their process ids."""

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
    """The error of a command whose time ends once `count` process ids are there."""
    until_there(folder, count)
    LIMIT.seconds = 0.01
    with pytest.raises(ToolError) as caught:
        running.wait()
    return caught.value


def handles() -> list[str]:
    """The numbers of our open descriptors."""
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())
