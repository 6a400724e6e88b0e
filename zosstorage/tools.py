"""External commands: the one place that starts them.

A command is an argument list; its stdin is empty or what it is given, never ours; its locale is C.UTF-8; it has a time
limit, after which its whole process group is killed. It is logged once, with its time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, frozen

from zosstorage import interrupt
from zosstorage.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")

log = logging.getLogger(__name__)

# libblkid keeps what it saw of all devices in /run/blkid; a stale line there must never choose a disk for us.
# sfdisk would wait for ever for the lock of a disk that we hold ourselves, had somebody set LOCK_BLOCK_DEVICE.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BLKID_FILE": "/dev/null", "LOCK_BLOCK_DEVICE": "0"}
# Every exit status there is; a signal's is negative.
ANY_STATUS = tuple(range(-64, 256))
# Searched behind PATH.
SYSTEM_PATH = ":/usr/sbin:/sbin:/usr/bin:/bin"
# A group that was told to end gets this many seconds before it is killed.
_GRACE = 1.0
# What is read at once: all that a pipe holds (pipe(7)).
_PIPE_BYTES = 1 << 16


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
    import shutil

    return shutil.which(name, path=f"{os.environ.get('PATH', '')}{SYSTEM_PATH}")


@define(eq=False)
class Running:
    """A command under way; `wait` for it exactly once.

    Attributes:
        said: what it wrote so far, by our ends of the pipes that are its stdout and its stderr.
        open: those pipes and a pidfd, less those that came to their end. It has ended when none is left, so children
            that hold its output are waited for too.
    """

    argv: tuple[str, ...]
    started: float
    command: Any
    said: dict[int, bytearray]
    open: set[int]
    done: Completed | None = None

    @property
    def deadline(self) -> float:
        return self.started + _limits.timeout

    def wait(self) -> Completed:
        """Wait for the end, whatever the exit status is.

        Raises:
            ToolError: it had to be killed at the time limit.
        """
        return wait_all([self])[0]

    def take(self, handle: int) -> bool:
        """Read from one of `open` that is ready; False when this was its end."""
        data = os.read(handle, _PIPE_BYTES) if handle in self.said else b""
        if data:
            self.said[handle] += data
            return True
        os.close(handle)
        self.open.remove(handle)
        if not self.open:
            self._end()
        return False

    def _end(self) -> None:
        self.command.wait()
        stdout, stderr = (said.decode("utf-8", "replace") for said in self.said.values())
        seconds = round(time.monotonic() - self.started, 3)
        self.done = Completed(self.argv, self.command.exit_code, stdout, stderr, seconds)
        log.info("command", extra={"argv": " ".join(self.argv), "status": self.done.status, "seconds": seconds})

    def kill(self) -> None:
        """Kill the process group: a tool's children must not go on writing after we gave up on it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.command.pid, number)
            _listen([self], time.monotonic() + _GRACE)

    def expire(self) -> ToolError:
        """Kill it at its time limit; returns the error that tells so."""
        self.kill()
        if self.done:
            return _timeout_error(self.argv, "was killed", self.done.stderr)
        error = _timeout_error(self.argv, "cannot be killed: it hangs in the kernel")
        error.argv = ()  # it may wake up and write: nothing may be tried again beside it
        return error


def _listen(commands: Iterable[Running], until: float) -> None:
    """Hear commands out until all have ended or the clock is at `until`; one thread, asleep while nothing happens."""
    owners = {handle: running for running in commands for handle in running.open}
    poll = select.poll()
    for handle in owners:
        poll.register(handle, select.POLLIN)
    while owners:
        left = max(0.0, until - time.monotonic())
        for handle, _ in poll.poll(left * 1000):
            if not owners[handle].take(handle):
                poll.unregister(handle)
                del owners[handle]
        if not left:
            return


def start(argv: Sequence[str], *, stdin: str = "") -> Running:
    """Start a command in a session of its own, in the background; `stdin` is at most what a pipe holds, 64 KiB.

    Raises:
        ToolError: there is no such command, or it could not be started.
    """
    path = which(argv[0])
    if path is None:
        raise ToolError(f"the tool {argv[0]} was not found", hint=f"install {package(argv[0])}", argv=tuple(argv))
    (given, text), (stdout, out), (stderr, err) = os.pipe(), os.pipe(), os.pipe()
    os.write(text, stdin.encode())
    os.close(text)
    running = Running(tuple(argv), time.monotonic(), None, {stdout: bytearray(), stderr: bytearray()}, {stdout, stderr})
    try:
        running.command = _spawn(path, argv, (given, out, err))
    except BaseException:
        for handle in running.open:
            os.close(handle)
        raise
    finally:
        for handle in (given, out, err):
            os.close(handle)
    with contextlib.suppress(ProcessLookupError):  # sh saw its end already
        running.open.add(os.pidfd_open(running.command.pid))
    return running


def _spawn(path: str, argv: Sequence[str], ends: tuple[Any, Any, Any]) -> Any:
    """Have sh start a command over (stdin, stdout, stderr): handles, or else it keeps a thread for each of them."""
    import sh

    stdin, stdout, stderr = ends
    try:
        return sh.Command(path)(
            *argv[1:],
            _bg=True,
            _bg_exc=False,
            _new_session=True,
            _return_cmd=True,
            _in=stdin,
            _out=stdout,
            _err=stderr,
            _ok_code=ANY_STATUS,
            _env=dict(os.environ) | _ENVIRONMENT,
        )
    except (sh.ForkException, OSError) as error:
        raise ToolError(f"{argv[0]} could not be started: {_last_line(str(error))}", argv=tuple(argv)) from error


def start_all(commands: Sequence[Sequence[str]], *, stdin: Sequence[str] | None = None) -> list[Running]:
    """Start commands side by side; where one cannot be started, the others are heard out, and on a signal killed.

    Raises:
        ToolError: there is no such command, or it could not be started.
    """
    texts = stdin or [""] * len(commands)
    running: list[Running] = []
    try:
        for argv, text in zip(commands, texts, strict=True):
            interrupt.check()
            with interrupt.deferred():
                running.append(start(argv, stdin=text))
    except ToolError:
        with contextlib.suppress(ToolError):
            wait_all(running)
        raise
    except BaseException:
        kill_all(running)
        raise
    return running


def kill_all(commands: Iterable[Running]) -> None:
    """Kill those that are still running."""
    for running in commands:
        if running.open:
            running.kill()


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
    done = wait_all(start_all(commands, stdin=stdin))
    for one in done:
        if one.status not in ok:
            raise status_error(one)
    return done


def wait_all(commands: Iterable[Running]) -> list[Completed]:
    """Wait for commands whatever their exit status; an interruption kills those still running.

    Raises:
        ToolError: one took longer than the limit; all have ended by then.
    """
    commands = list(commands)
    expired: dict[int, ToolError] = {}
    try:
        while waiting := [number for number, one in enumerate(commands) if one.open and number not in expired]:
            _listen((commands[number] for number in waiting), min(commands[number].deadline for number in waiting))
            late = [number for number in waiting if commands[number].open]
            expired |= {n: commands[n].expire() for n in late if commands[n].deadline <= time.monotonic()}
    except BaseException:
        kill_all(commands)
        raise
    if expired:
        raise expired[min(expired)]
    return [running.done for running in commands if running.done]


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
    if b"BusyBox v" not in data and b"toybox " not in data:  # a search for plain bytes is quicker by far
        return None
    import re

    found = re.search(rb"(BusyBox) v\d|(toybox) \d", data)
    return found[0].split()[0].decode("ascii").lower() if found else None
