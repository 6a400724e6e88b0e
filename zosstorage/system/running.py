"""Running external commands: reads their output, waits for them, and kills them at the time limit.

One thread reads the output of all commands and waits for them; it sleeps until there is output or a command ends.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import time
from typing import IO, TYPE_CHECKING, Self

import attrs

from zosstorage.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

# The capacity of a pipe in bytes (pipe(7)): one read empties it.
PIPE_BYTES = 1 << 16
# Seconds from SIGTERM to SIGKILL, and from SIGKILL until a command is reported as one that cannot be killed.
_GRACE = 1.0
# The most output of one stream of a command that is kept, in bytes; no tool that we run writes so much.
OUTPUT_BYTES = 16 << 20


@attrs.define
class TimeLimit:
    """The longest time that a command, or a flush of a disk, may take; set once, from the configuration."""

    seconds: float


LIMIT = TimeLimit(600.0)


@attrs.frozen
class Completed:
    """A command that has ended.

    Attributes:
        argv: the command and its arguments.
        status: its exit status; if a signal killed it, the negative signal number.
        stdout: decoded as UTF-8, with U+FFFD for other bytes.
        stderr: likewise.
        seconds: from its start until this process noticed its end.
    """

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float


@attrs.define(eq=False)
class Running:
    """A command that was started, in its own session and process group.

    Attributes:
        argv: the command and its arguments.
        started: when it was started, in seconds of the monotonic clock.
        process: its process.
        output: what it has written so far: by the read ends of the pipes for stdout and stderr.
        open_files: these two pipes and a pidfd, without those that have reached their end. The command counts as ended
            when none is left, so children that hold a pipe open are waited for as well.
        killed: whether its process group was sent SIGKILL.
        flooded: whether it has written more than OUTPUT_BYTES to a stream; what follows is dropped.
        done: the result, once it has ended.
    """

    argv: tuple[str, ...]
    started: float
    process: subprocess.Popen[bytes]
    output: dict[IO[bytes], bytearray]
    open_files: set[IO[bytes]]
    killed: bool = False
    flooded: bool = False
    done: Completed | None = None

    @classmethod
    def watch(cls, argv: tuple[str, ...], started: float, process: subprocess.Popen[bytes]) -> Self:
        """Watch a process whose stdout and stderr are pipes: open a pidfd for it.

        Raises:
            OSError: the pidfd cannot be opened.
        """
        pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe]
        pidfd = os.fdopen(os.pidfd_open(process.pid), "rb", buffering=0)
        return cls(argv, started, process, {pipe: bytearray() for pipe in pipes}, {*pipes, pidfd})

    @property
    def survivor(self) -> str:
        """What is left of it after SIGKILL: the process itself, or another one that has a pipe of it open."""
        with contextlib.suppress(ChildProcessError):  # it was reaped
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return "cannot be killed: it hangs in the kernel"
        return "ended, but a process that it started left its session and still has its output open"

    @property
    def deadline(self) -> float:
        """When it reaches the time limit, in seconds of the monotonic clock."""
        return self.started + LIMIT.seconds

    def wait(self) -> Completed:
        """Wait for its end and return it with any exit status.

        Raises:
            ToolError: it took longer than the time limit.
        """
        return wait_all([self])[0]

    def read(self, file: IO[bytes]) -> bool:
        """Read from one of `open_files` that is ready; return False at its end (of a pidfd: when the process ends)."""
        data = file.read(PIPE_BYTES) if file in self.output else b""
        if data and not self.flooded:
            self.output[file] += data
            self.flooded = len(self.output[file]) > OUTPUT_BYTES
        return bool(data)

    def close(self, file: IO[bytes]) -> None:
        """Close one of `open_files`; with the last one, the command has ended."""
        self.open_files.remove(file)
        file.close()
        if not self.open_files:
            self._finish()

    def _finish(self) -> None:
        # If the exit status is lost (SIGCHLD is ignored), Popen.wait() returns 0, but waitpid raises ChildProcessError.
        _, status = os.waitpid(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        stdout, stderr = (data.decode("utf-8", "replace") for data in self.output.values())
        seconds = round(time.monotonic() - self.started, 3)
        self.done = Completed(self.argv, self.process.returncode, stdout, stderr, seconds)
        extra = {"event": "command", "argv": " ".join(self.argv), "status": self.done.status, "seconds": seconds}
        log.info("command", extra=extra)


def wait_all(commands: Iterable[Running]) -> list[Completed]:
    """Wait for commands and return them with any exit status; an exception kills those that still run.

    Raises:
        ToolError: a command took longer than the time limit or wrote more than OUTPUT_BYTES; the first one in their
            order is named. All commands have ended by then, except those that cannot be killed.
    """
    commands = list(commands)
    overdue: list[Running] = []
    try:
        while waiting := [one for one in commands if one.open_files and one not in overdue]:
            _read(waiting, min(one.deadline for one in waiting), until_flood=True)
            late = [one for one in waiting if one.flooded or (one.open_files and one.deadline <= time.monotonic())]
            kill_all(late)
            overdue += late
    except BaseException:
        kill_all(commands)
        raise
    for one in commands:
        if one.flooded:
            raise _flood_error(one)
        if one in overdue:
            raise _timeout_error(one)
    return [one.done for one in commands if one.done]


def kill_all(commands: Iterable[Running]) -> None:
    """Kill the commands that still run: SIGTERM, a second to react, and SIGKILL.

    Both signals go to the process group: no child may write any more after its command was killed.
    """
    targets = [one for one in commands if one.open_files and not one.killed]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in targets:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, number)
            one.killed = number == signal.SIGKILL  # after the signal: after an exception in between, it is sent again
        _read(targets, time.monotonic() + _GRACE)


def _read(commands: Sequence[Running], until: float, *, until_flood: bool = False) -> None:
    """Read output until every command has ended or the monotonic clock reaches `until`.

    Output that is there at `until` is still read, even if `until` is in the past; if a command writes without end,
    reading stops after the grace period; with `until_flood`, as soon as one has written more than OUTPUT_BYTES.
    """
    last = max(until, time.monotonic()) + _GRACE
    # Not epoll: it needs a descriptor, and commands must be killed even if no descriptor is free.
    with selectors.PollSelector() as selector:
        for one in commands:
            for file in one.open_files:
                selector.register(file, selectors.EVENT_READ, one)
        while selector.get_map():
            left = max(0.0, until - time.monotonic())
            ready = selector.select(left)
            for key, _ in ready:
                if not key.data.read(key.fileobj):
                    selector.unregister(key.fileobj)
                    key.data.close(key.fileobj)
            if until_flood and any(one.flooded for one in commands):
                return
            if not left and (not ready or time.monotonic() > last):
                return


def _flood_error(flooded: Running) -> ToolError:
    """Return the error of a command that wrote too much: half of an answer must not pass for all of it."""
    return ToolError(
        f"{' '.join(flooded.argv)} printed more than {OUTPUT_BYTES >> 20} MiB and was stopped",
        hint=f"{flooded.argv[0]} on PATH must be the one of the distribution",
    )


def _timeout_error(overdue: Running) -> ToolError:
    """Return the error of a command that exceeded the time limit.

    If it could not be killed, the error has no `argv`, so that nobody retries: the command may still wake up and write.
    """
    fate = "was killed" if overdue.done else overdue.survivor
    return ToolError(
        f"{' '.join(overdue.argv)} took longer than {LIMIT.seconds:g} s and {fate}",
        hint="look for a failing disk in the kernel's log, or raise tools.timeout",
        argv=overdue.argv if overdue.done else (),
        stderr=overdue.done.stderr if overdue.done else "",
    )
