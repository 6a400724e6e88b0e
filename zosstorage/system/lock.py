"""Locks that last until the last process that may write has ended: this process and the tools that write for it.

A lock of flock(2) belongs to the open file description. Tools that write inherit the descriptor (`inherited`). No
process unlocks it: the kernel releases the lock when the last process that has the descriptor ends. So if a run is
killed and one of its tools still runs, the next run waits, or ends with exit code 7.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.errors import ConfigError, LockedError
from zosstorage.system.files import make_folders, open_regular
from zosstorage.system.mountinfo import PROC
from zosstorage.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a run waits for the lock, and how long it sleeps between two attempts, in seconds.
_WAIT_SECONDS, _PAUSE = 5.0, 0.02
# The longest command line in a message, in characters.
_LONGEST_COMMAND = 160
# The longest path in a message, in characters.
_LONGEST_PATH = 200

_inherited: list[int] = []


def inherited() -> tuple[int, ...]:
    """Return the descriptors of the locks that a tool that writes must inherit."""
    return tuple(_inherited)


@contextmanager
def passed_on(descriptor: int) -> Iterator[None]:
    """Within the block, tools that write inherit the descriptor of a lock."""
    _inherited.append(descriptor)
    try:
        yield
    finally:
        _inherited.remove(descriptor)


def take(descriptor: int, seconds: float) -> None:
    """Take the exclusive lock of an open file; wait for it for at most `seconds`.

    Raises:
        BlockingIOError: another process still has it.
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
    """Hold the lock of a run directory within the block; tools that write inherit it. Makes a missing directory.

    Raises:
        LockedError: another process had it during the whole wait.
        ConfigError: the run directory cannot be made or written.
    """
    path = Path(run_dir) / "lock"
    descriptor = _open(path)
    try:
        _wait_for(descriptor, path)
        with passed_on(descriptor):
            yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path) -> None:
    try:
        take(descriptor, _WAIT_SECONDS)
    except BlockingIOError:
        who, pids = holders(descriptor)
        raise LockedError(
            f"another zosstorage, or a tool that it started, is still running: {who} holds {path}",
            hint="run again when it has ended" + (f"; ps -fp {pids} shows it" if pids else ""),
        ) from None
    except OSError as error:
        hint = "put the run directory on a tmpfs, with --run-dir"
        raise ConfigError(f"{clean(str(path), _LONGEST_PATH)} cannot be locked: {error.strerror}", hint=hint) from error


def _open(path: Path) -> int:
    try:
        make_folders(path.parent)
        require_own(path.parent)
        descriptor = open_regular(str(path), os.O_WRONLY | os.O_CREAT)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the run directory {clean(str(path.parent), _LONGEST_PATH)} cannot be written: {_reason(path, error)}",
            hint="run as root, or give --run-dir",
        ) from error
    return descriptor


def _reason(path: Path, error: OSError) -> str:
    return f"{path.name}: {error.strerror}" if error.errno == errno.EINVAL else str(error.strerror)


def require_own(run_dir: Path) -> None:
    """Check that nobody else can replace files in the run directory: they could hold the lock or edit the checkpoint.

    Raises:
        ConfigError: it belongs to another user, or group or others can write it.
    """
    found = run_dir.stat()
    if found.st_uid not in (0, os.geteuid()):
        problem = f"belongs to the user {found.st_uid}"
    elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        problem = f"can be written by other users (mode {stat.S_IMODE(found.st_mode):04o})"
    else:
        return
    shown = clean(str(run_dir), _LONGEST_PATH)
    raise ConfigError(
        f"the run directory {shown} {problem}", hint=f"chown root {shown} and chmod 0755 it, or give another --run-dir"
    )


def holders(descriptor: int) -> tuple[str, str]:
    """Return the other processes that have the lock of an open file: as a phrase, and as a list of PIDs for ps(1).

    /proc/PID/fdinfo shows a lock only for an open file description that has it (proc_pid_fdinfo(5)), so a process that
    waits for the lock is not in the list.
    """
    wanted = os.fstat(descriptor)
    found = {pid: _command(pid) for pid in _processes() if _has_lock(pid, wanted)}
    phrase = ", ".join(f"process {pid} ({command})" for pid, command in found.items())
    return phrase or "a process that /proc does not show", ",".join(map(str, found))


def _processes() -> list[int]:
    return sorted(int(path.name) for path in PROC.iterdir() if path.name.isdigit() and int(path.name) != os.getpid())


def _has_lock(pid: int, wanted: os.stat_result) -> bool:
    with suppress(OSError):  # the process has ended, or we have no permission
        for link in (PROC / f"{pid}/fd").iterdir():
            with suppress(OSError):  # the descriptor was closed
                information = (PROC / f"{pid}/fdinfo/{link.name}").read_text("ascii")
                if os.path.samestat(link.stat(), wanted) and "lock:" in information:
                    return True
    return False


def _command(pid: int) -> str:
    """Return the command line of a process; if it is empty, as while a process ends, the name of the program."""
    with suppress(OSError):
        words = (PROC / f"{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
        return clean(os.fsdecode(words or (PROC / f"{pid}/comm").read_bytes().strip()), _LONGEST_COMMAND)
    return "which has ended"
