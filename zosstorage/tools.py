"""External commands: the one place that starts them.

A command is an argument list; its stdin is empty or what it is given, never ours; its locale is C.UTF-8; it has a time
limit, after which its whole process group is killed. It is logged once, with its time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen

from zosstorage.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")

log = logging.getLogger(__name__)

# libblkid keeps what it saw of all devices in /run/blkid; a stale line there must never choose a disk for us.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BLKID_FILE": "/dev/null"}
# Every exit status there is; a signal's is negative.
ANY_STATUS = tuple(range(-64, 256))
# Searched behind PATH.
SYSTEM_PATH = ":/usr/sbin:/sbin:/usr/bin:/bin"
# A group that was told to end gets this many seconds before it is killed.
_GRACE = 1.0


@frozen
class Completed:
    """A command that has ended; `status` is negative for a signal."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float


@define
class _Limits:
    timeout: float = 600.0


_limits = _Limits()


def limit(seconds: float) -> None:
    """Set the time that one command may take."""
    _limits.timeout = seconds


def which(name: str) -> str | None:
    """The executable of that name on PATH; initramfs environments often lack the sbin folders in it."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}{SYSTEM_PATH}")


@define(eq=False)
class Running:
    """A command under way; `wait` for it exactly once."""

    argv: tuple[str, ...]
    started: float
    finished: threading.Event = field(factory=threading.Event)
    command: Any = None

    def wait(self) -> Completed:
        """Wait for the end, whatever the exit status is.

        Raises:
            ToolError: it had to be killed at the time limit.
        """
        try:
            in_time = self.finished.wait(max(0.0, self.started + _limits.timeout - time.monotonic()))
        except BaseException:
            self.kill()
            raise
        if not in_time:
            self.kill()
        if not self.finished.is_set():
            error = _timeout_error(self.argv, "cannot be killed: it hangs in the kernel")
            error.argv = ()  # it may wake up and write: nothing may be tried again beside it
            raise error
        done = self._completed()
        extra = {"argv": " ".join(done.argv), "status": done.status, "seconds": done.seconds}
        log.info("command", extra=extra)
        if not in_time:
            raise _timeout_error(done.argv, "was killed", done.stderr)
        return done

    def reap(self) -> None:
        """Wait for the end in a thread: sh notices it at once only while somebody waits, else up to a second later."""
        self.command.wait()
        self.finished.set()

    def _completed(self) -> Completed:
        return Completed(
            self.argv,
            self.command.exit_code,
            self.command.stdout.decode("utf-8", "replace"),
            self.command.stderr.decode("utf-8", "replace"),
            round(time.monotonic() - self.started, 3),
        )

    def kill(self) -> None:
        """Kill the process group: a tool's children must not go on writing after we gave up on it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.command.pid, number)
            self.finished.wait(_GRACE)


def start(argv: Sequence[str], *, stdin: str = "") -> Running:
    """Start a command in a session of its own, in the background.

    Raises:
        ToolError: there is no such command, or it could not be started.
    """
    import sh

    path = which(argv[0])
    if path is None:
        raise ToolError(f"the tool {argv[0]} was not found", hint=f"install {package(argv[0])}", argv=tuple(argv))
    running = Running(tuple(argv), time.monotonic())
    try:
        running.command = sh.Command(path)(
            *argv[1:],
            _bg=True,
            _bg_exc=False,
            _new_session=True,
            _return_cmd=True,
            _tty_out=False,
            _in=stdin,
            _ok_code=ANY_STATUS,
            _env=dict(os.environ) | _ENVIRONMENT,
        )
    except (sh.ForkException, OSError) as error:
        raise ToolError(f"{argv[0]} could not be started: {_last_line(str(error))}", argv=tuple(argv)) from error
    threading.Thread(target=running.reap, daemon=True).start()
    return running


def run(argv: Sequence[str], *, stdin: str = "", ok: Sequence[int] = (0,)) -> Completed:
    """Run a command to its end.

    Raises:
        ToolError: it is missing, ended with a status that is not in `ok`, or took longer than the limit.
    """
    return run_all([argv], stdin=[stdin], ok=ok)[0]


def run_all(
    commands: Sequence[Sequence[str]], *, stdin: Sequence[str] | None = None, ok: Sequence[int] = (0,)
) -> list[Completed]:
    """Run commands side by side and wait for all of them, also when one fails: none is left running behind our back.

    Raises:
        ToolError: the first one's, in the order of `commands`.
    """
    texts = stdin or [""] * len(commands)
    running: list[Running] = []
    try:
        running += (start(argv, stdin=text) for argv, text in zip(commands, texts, strict=True))
    except ToolError:
        with contextlib.suppress(ToolError):
            wait_all(running)
        raise
    done = wait_all(running)
    for one in done:
        if one.status not in ok:
            raise status_error(one)
    return done


def wait_all(commands: Iterable[Running]) -> list[Completed]:
    """Wait for commands whatever their exit status; an interruption kills those still running.

    Raises:
        ToolError: one took longer than the limit; all have ended by then.
    """
    waiting, done = list(commands), []
    error: ToolError | None = None
    try:
        while waiting:
            try:
                done.append(waiting.pop(0).wait())
            except ToolError as expired:
                error = error or expired
    finally:
        for running in waiting:
            running.kill()
    if error:
        raise error
    return done


def once_more(work: Callable[[], T], still_ours: Callable[[], None]) -> T:
    """Do some work with tools; if one fails or hangs, do all of it once more, when `still_ours` raises nothing.

    Raises:
        ToolError: it failed twice, or a tool could not even be started.
    """
    try:
        return work()
    except ToolError as error:
        if not error.argv:
            raise
        log.warning("a tool failed, tried once more", extra={"reason": error.message})
        still_ours()
        return work()


def status_error(done: Completed) -> ToolError:
    """The error of a command that ended badly."""
    how = f"was killed by signal {-done.status}" if done.status < 0 else f"failed with status {done.status}"
    said = _last_line(done.stderr) or _last_line(done.stdout) or "it said nothing"
    return ToolError(
        f"{' '.join(done.argv)} {how}: {said}",
        hint="nothing more was done; run again when the cause is gone",
        argv=done.argv,
        status=done.status,
        stderr=done.stderr,
    )


def _timeout_error(argv: tuple[str, ...], fate: str, stderr: str = "") -> ToolError:
    return ToolError(
        f"{' '.join(argv)} took longer than {_limits.timeout:g} s and {fate}",
        hint="look for a failing disk in the kernel's log, or raise tools.timeout",
        argv=argv,
        stderr=stderr,
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and "dmesg(1) may have" not in line]
    return lines[-1][:500] if lines else ""


# The packages that carry a tool: Alpine's and Debian's name, where they differ.
_PACKAGES = {
    "blkid": ("blkid", "util-linux"),
    "wipefs": ("wipefs", "util-linux"),
    "sfdisk": ("sfdisk", "fdisk"),
    "partx": ("partx", "util-linux"),
    "mount": ("mount", "mount"),
    "umount": ("umount", "mount"),
    "mkfs.fat": ("dosfstools", "dosfstools"),
    "mkfs.btrfs": ("btrfs-progs", "btrfs-progs"),
    "btrfs": ("btrfs-progs", "btrfs-progs"),
    "bcachefs": ("bcachefs-tools", "bcachefs-tools"),
}


def package(tool: str) -> str:
    """Which package an operator installs to get a tool."""
    alpine, debian = _PACKAGES.get(tool, (tool, tool))
    return f"the package {alpine}" if alpine == debian else f"the package {alpine} (Alpine) or {debian} (Debian)"


def is_applet(path: str) -> str | None:
    """Name the multi-call binary that a tool really is (busybox, toybox): such an applet ignores options we rely on.

    A link gives it away by its target; a copy or hard link by the banner that the binary holds.
    """
    real = Path(path).resolve()
    if (name := real.name.partition(".")[0]) in ("busybox", "toybox"):
        return name
    with real.open("rb") as binary:
        data = binary.read(4 << 20)
    found = re.search(rb"(BusyBox) v\d|(toybox) \d", data)
    return found[0].split()[0].decode("ascii").lower() if found else None
