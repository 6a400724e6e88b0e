"""Locks that last as long as whoever may still write: this process, and every tool that it started to write.

A lock of flock(2) belongs to the open file description. A tool that writes inherits the descriptor (`inherited`), and
nobody unlocks it: the kernel releases it when the last process that has it is gone. So a tool that outlives a killed
run keeps the next run away.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.errors import ConfigError, LockedError
from zosstorage.system.files import open_at_once
from zosstorage.system.mountinfo import PROC
from zosstorage.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a run waits for the end of another one, in seconds, and how often it looks.
_WAIT_SECONDS, _PAUSE = 5.0, 0.02
# The longest command line in a message, in characters.
_LONGEST_COMMAND = 160

_inherited: list[int] = []


def inherited() -> tuple[int, ...]:
    """The descriptors of the locks that a tool that writes has to inherit."""
    return tuple(_inherited)


@contextmanager
def passed_on(descriptor: int) -> Iterator[None]:
    """Have the tools that write, and are started within the block, inherit the descriptor of a lock."""
    _inherited.append(descriptor)
    try:
        yield
    finally:
        _inherited.remove(descriptor)


def take(descriptor: int, seconds: float) -> None:
    """Take the exclusive lock of an open file; wait for it at most so many seconds.

    Raises:
        BlockingIOError: another program still has it.
    """
    end = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(_PAUSE)


@contextmanager
def held(run_dir: str | Path) -> Iterator[None]:
    """Hold the lock of a run directory, which is made if it is missing; tools that write inherit it.

    Raises:
        LockedError: another process has it, for longer than a run waits.
        ConfigError: the run directory cannot be made or written.
    """
    path = Path(run_dir) / "lock"
    descriptor = _opened(path)
    try:
        _take_or_name(descriptor, path)
        with passed_on(descriptor):
            yield
    finally:
        os.close(descriptor)


def _take_or_name(descriptor: int, path: Path) -> None:
    try:
        take(descriptor, _WAIT_SECONDS)
    except BlockingIOError:
        who, pids = holders(descriptor)
        raise LockedError(
            f"another zosstorage is at work, or a tool that it started: {who} holds {path}",
            hint="run again when it has ended" + (f"; ps -fp {pids} shows it" if pids else ""),
        ) from None


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = open_at_once(str(path), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the run directory {path.parent} cannot be written: {error.strerror}",
            hint="run as root, or give --run-dir",
        ) from error
    return descriptor


def holders(descriptor: int) -> tuple[str, str]:
    """The other processes that have the lock of a file that is open here: in words, and their numbers for ps(1).

    Only an open file description that has the lock shows it in /proc/PID/fdinfo (proc_pid_fdinfo(5)), so a process
    that waits for the lock is not named.
    """
    wanted = os.fstat(descriptor)
    found = {pid: _command(pid) for pid in _processes() if _has_lock(pid, wanted)}
    told = ", ".join(f"process {pid} ({command})" for pid, command in found.items())
    return told or "a process that cannot be seen here", ",".join(map(str, found))


def _processes() -> list[int]:
    return sorted(int(path.name) for path in PROC.iterdir() if path.name.isdigit() and int(path.name) != os.getpid())


def _has_lock(pid: int, wanted: os.stat_result) -> bool:
    with suppress(OSError):  # it has ended, or is not ours to look into
        for link in (PROC / f"{pid}/fd").iterdir():
            with suppress(OSError):  # it was closed
                information = (PROC / f"{pid}/fdinfo/{link.name}").read_text("ascii")
                if os.path.samestat(link.stat(), wanted) and "lock:" in information:
                    return True
    return False


def _command(pid: int) -> str:
    """The command line of a process; the name of its program where it has none left, or is about to end."""
    with suppress(OSError):
        words = (PROC / f"{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        return clean(os.fsdecode(words or (PROC / f"{pid}/comm").read_bytes().strip()), _LONGEST_COMMAND)
    return "which has ended"
