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
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from zosstorage.errors import ToolError
from zosstorage.system import executables, signals
from zosstorage.system.limits import LIMITS
from zosstorage.value import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

T = TypeVar("T")

log = logging.getLogger(__name__)

# libblkid keeps what it saw of all devices in /run/blkid; a stale line there must never choose a disk for us.
# sfdisk would wait for ever for the lock of a disk that we hold ourselves, had somebody set LOCK_BLOCK_DEVICE.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BLKID_FILE": "/dev/null", "LOCK_BLOCK_DEVICE": "0"}
# Python ignores them, and what is ignored stays so over an exec: a tool whose reader is gone should end.
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
# Every exit status there is; a signal's is negative.
ANY_STATUS = tuple(range(-64, 256))
# A group that was told to end gets this many seconds before it is killed.
_GRACE = 1.0
# What is read at once: all that a pipe holds (pipe(7)).
_PIPE_BYTES = 1 << 16


class Completed(NamedTuple):
    """A command that has ended; `status` is negative for a signal."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float


def take_over() -> None:
    """Put right what a parent may have left us: handles that tools would get as well, and that no child is waited for.

    A tool that hangs in the kernel would keep another's lock or pipe.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():  # noqa: PTH112, PTH208
        if int(name) > 2:  # noqa: PLR2004 - the standard streams
            with contextlib.suppress(OSError):  # the one of this listing
                os.set_inheritable(int(name), False)


class Running(Record):
    """A command under way; `wait` for it exactly once.

    Attributes:
        said: what it wrote so far, by our ends of the pipes that are its stdout and its stderr.
        open: those pipes and a pidfd, less those that came to their end. It has ended when none is left, so children
            that hold its output are waited for too.
    """

    argv: tuple[str, ...]
    started: float
    pid: int
    said: dict[int, bytearray]
    open: set[int]
    done: Completed | None = None

    @property
    def deadline(self) -> float:
        return self.started + LIMITS.timeout

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
        _, status = os.waitpid(self.pid, 0)
        stdout, stderr = (said.decode("utf-8", "replace") for said in self.said.values())
        seconds = round(time.monotonic() - self.started, 3)
        self.done = Completed(self.argv, os.waitstatus_to_exitcode(status), stdout, stderr, seconds)
        log.info("command", extra={"argv": " ".join(self.argv), "status": self.done.status, "seconds": seconds})

    def kill(self) -> None:
        """Kill the process group: a tool's children must not go on writing after we gave up on it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            _listen([self], time.monotonic() + _GRACE)

    def abandon(self) -> None:
        """Undo a start that failed halfway."""
        for handle in self.open:
            os.close(handle)
        if self.pid:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def expire(self) -> ToolError:
        """Kill it at its time limit; returns the error that tells so."""
        self.kill()
        if self.done:
            return _timeout_error(self.argv, "was killed", self.done.stderr)
        error = _timeout_error(self.argv, "cannot be killed: it hangs in the kernel")
        error.argv = ()  # it may wake up and write: nothing may be tried again beside it
        return error


def _listen(commands: Iterable[Running], until: float) -> None:
    """Hear commands out until all have ended or the clock is at `until`; one thread, asleep while nothing happens.

    Commands that ended while nobody listened have something to say after that, too; one that talks on and on is left.
    """
    patience = max(until, time.monotonic()) + _GRACE
    owners = {handle: running for running in commands for handle in running.open}
    poll = select.poll()
    for handle in owners:
        poll.register(handle, select.POLLIN)
    while owners:
        left = max(0.0, until - time.monotonic())
        ready = poll.poll(left * 1000)
        for handle, _ in ready:
            if not owners[handle].take(handle):
                poll.unregister(handle)
                del owners[handle]
        if not left and (not ready or time.monotonic() > patience):
            return


def start(argv: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None) -> Running:
    """Start a command in a session of its own, in the background.

    `stdin` is at most what a pipe holds, 64 KiB; `env` is set beside what every command gets.

    Raises:
        ToolError: there is no such command, or it could not be started.
    """
    path = executables.which(argv[0])
    if path is None:
        hint = f"install {executables.package(argv[0])}"
        raise ToolError(f"the tool {argv[0]} was not found", hint=hint, argv=tuple(argv))
    (given, text), (stdout, out), (stderr, err) = os.pipe(), os.pipe(), os.pipe()
    os.write(text, stdin.encode())
    os.close(text)
    running = Running(tuple(argv), time.monotonic(), 0, {stdout: bytearray(), stderr: bytearray()}, {stdout, stderr})
    try:
        running.pid = _spawn(path, argv, (given, out, err), env or {})
        running.open.add(os.pidfd_open(running.pid))
    except BaseException:
        running.abandon()
        raise
    finally:
        for handle in (given, out, err):
            os.close(handle)
    return running


def _spawn(path: str, argv: Sequence[str], ends: tuple[int, int, int], env: Mapping[str, str]) -> int:
    """Start a command over (stdin, stdout, stderr); returns its process id.

    By posix_spawn, which does not copy our page tables: a fork costs as much as what most of these tools do.
    """
    actions = [(os.POSIX_SPAWN_DUP2, handle, number) for number, handle in enumerate(ends)]
    whole = {**os.environ, **_ENVIRONMENT, **env}
    try:
        return os.posix_spawn(
            path, [*argv], whole, file_actions=actions, setsid=True, setsigmask=(), setsigdef=_RESTORED
        )
    except OSError as error:
        raise ToolError(f"{argv[0]} could not be started: {error.strerror}", argv=tuple(argv)) from error


def start_all(
    commands: Sequence[Sequence[str]],
    *,
    stdin: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    into: list[Running] | None = None,
) -> list[Running]:
    """Start commands side by side; where one cannot be started, the others are heard out, and on a signal killed.

    They are added to `into`, for a caller who has to know of them whatever happens.

    Raises:
        ToolError: there is no such command, or it could not be started.
    """
    texts = stdin or [""] * len(commands)
    running = [] if into is None else into
    try:
        for argv, text in zip(commands, texts, strict=True):
            signals.check()
            with signals.deferred():
                running.append(start(argv, stdin=text, env=env))
    except ToolError:
        with contextlib.suppress(ToolError):
            wait_all(running)
        raise
    except BaseException:
        kill_all(running)
        raise
    return running


class UnderWay:
    """Commands that run while something else is done; none outlives the block."""

    def __init__(self) -> None:
        self.commands: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_all(self.commands)

    def start(self, commands: Sequence[Sequence[str]]) -> None:
        """Start commands, from within the block: a signal may come between any two lines.

        Raises:
            ToolError: there is no such command, or it could not be started.
        """
        start_all(commands, into=self.commands)


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
    commands: Sequence[Sequence[str]],
    *,
    stdin: Sequence[str] | None = None,
    ok: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
) -> list[Completed]:
    """Run commands side by side and wait for all of them, also when one fails: none is left running behind our back.

    Raises:
        ToolError: the first one's, in the order of `commands`.
    """
    running: list[Running] = []
    try:  # from the first start on: a signal may come between any two lines
        start_all(commands, stdin=stdin, env=env, into=running)
        done = wait_all(running)
    except ToolError:
        raise
    except BaseException:
        kill_all(running)
        raise
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
        f"{' '.join(argv)} took longer than {LIMITS.timeout:g} s and {fate}",
        hint="look for a failing disk in the kernel's log, or raise tools.timeout",
        argv=argv,
        stderr=stderr,
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and "dmesg(1) may have" not in line]
    return lines[-1][:500] if lines else ""
