"""Starts external commands; no other module does.

A command is an argument list. It runs in its own session and process group, in the locale C.UTF-8, with the stdin that
it is given. After the time limit the whole group is killed. A command is logged once, with its duration.

A command with `writes` inherits the locks that are held (`lock.inherited`), so that they last until it has ended, even
if this process is killed first.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TypeVar

import attrs

from zosstorage.errors import ToolError
from zosstorage.system import executables, lock, signals
from zosstorage.system.running import PIPE_BYTES, Completed, Running, kill_all, wait_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "ANY_STATUS",
    "Completed",
    "Running",
    "UnderWay",
    "command",
    "commands",
    "kill_all",
    "retry_once",
    "start",
    "start_all",
    "status_error",
    "wait_all",
]

T = TypeVar("T")

log = logging.getLogger(__name__)

# BLKID_FILE: libblkid has a cache in /run/blkid; a stale entry must never choose a disk for us.
# LOCK_BLOCK_DEVICE: if it is 1, sfdisk waits forever for the BSD lock of the disk, which this process holds.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BLKID_FILE": "/dev/null", "LOCK_BLOCK_DEVICE": "0"}
# Every possible exit status; a signal is a negative one.
ANY_STATUS = tuple(range(-64, 256))


def command(argv: Sequence[str], *, stdin: str = "", ok: Sequence[int] = (0,), writes: bool = False) -> Completed:
    """Run a command to its end.

    Raises:
        ToolError: it is missing, cannot be started, exits with a status that is not in `ok`, or exceeds the time limit.
    """
    return commands([argv], stdin=[stdin], ok=ok, writes=writes)[0]


def commands(
    argvs: Sequence[Sequence[str]],
    *,
    stdin: Sequence[str] | None = None,
    ok: Sequence[int] = (0,),
    env: Mapping[str, str] | None = None,
    writes: bool = False,
) -> list[Completed]:
    """Run commands in parallel and wait for all of them, even if one fails.

    Raises:
        ToolError: as for `command`; that of the first failed command in the order of `argvs`.
    """
    with UnderWay() as under_way:
        under_way.start(argvs, stdin=stdin, env=env, writes=writes)
        done = under_way.wait()
    for one in done:
        if one.status not in ok:
            raise status_error(one)
    return done


@attrs.define
class UnderWay:
    """Commands that run while the block does something else; those that still run at its end are killed."""

    commands: list[Running] = attrs.field(factory=list, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_all(self.commands)

    def start(
        self,
        argvs: Sequence[Sequence[str]],
        *,
        stdin: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        writes: bool = False,
    ) -> list[Running]:
        """Start commands and return them. Call it within the block, which kills them if an exception is raised.

        Raises:
            ToolError: a command is missing or cannot be started.
        """
        before = len(self.commands)
        start_all(argvs, stdin=stdin, env=env, writes=writes, into=self.commands)
        return self.commands[before:]

    def wait(self) -> list[Completed]:
        """Wait for all of them and return them with any exit status.

        Raises:
            ToolError: a command exceeds the time limit.
        """
        return wait_all(self.commands)


def start_all(
    argvs: Sequence[Sequence[str]],
    *,
    stdin: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    writes: bool = False,
    into: list[Running] | None = None,
) -> list[Running]:
    """Start commands in parallel; `stdin`, `env` and `writes` are as for `start`.

    If one cannot be started, the function waits for the others; any other exception kills them. Each command is
    appended to the list `into` as soon as it runs, so that a caller knows them even after an exception.

    Raises:
        ToolError: a command is missing or cannot be started.
        InterruptedRunError: a signal arrived.
    """
    texts = [""] * len(argvs) if stdin is None else stdin
    running = [] if into is None else into
    try:
        for argv, text in zip(argvs, texts, strict=True):
            signals.check()
            with signals.deferred():
                running.append(start(argv, stdin=text, env=env, writes=writes))
    except ToolError:
        with contextlib.suppress(ToolError):
            wait_all(running)
        raise
    except BaseException:
        kill_all(running)
        raise
    return running


def start(
    argv: Sequence[str], *, stdin: str = "", env: Mapping[str, str] | None = None, writes: bool = False
) -> Running:
    """Start a command.

    Args:
        argv: the command and its arguments.
        stdin: the text that it reads, at most 64 KiB as UTF-8.
        env: variables that are added to the environment of every command.
        writes: whether it changes a disk, a mount or the kernel's partitions; it then inherits the locks that are held.

    Raises:
        ToolError: it is missing or cannot be started.
        ValueError: `stdin` is too long.
    """
    path = executables.which(argv[0])
    if path is None:
        hint = f"install {executables.package(argv[0])}"
        raise ToolError(f"the tool {argv[0]} was not found", hint=hint, argv=tuple(argv))
    started = time.monotonic()
    process = _popen(path, argv, stdin, env or {}, lock.inherited() if writes else ())
    try:
        return Running.watch(tuple(argv), started, process)
    except BaseException:
        with process, contextlib.suppress(ProcessLookupError):  # at its end, Popen closes the pipes and waits
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _popen(
    path: str, argv: Sequence[str], stdin: str, env: Mapping[str, str], locks: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start a process. Popen uses vfork, unless it gets a `preexec_fn`; fork would copy our page tables."""
    try:
        with _pipe_with(stdin) as reading:
            return subprocess.Popen(  # noqa: S603 - an argument list, no shell
                [*argv],
                executable=path,
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**executables.environment(), **_ENVIRONMENT, **env},
                start_new_session=True,
                close_fds=True,
                pass_fds=locks,
            )
    except OSError as error:
        raise ToolError(f"{argv[0]} could not be started: {error.strerror}", argv=tuple(argv)) from error


@contextmanager
def _pipe_with(text: str) -> Iterator[int]:
    """Yield the read end of a pipe that holds a text: no write can block, or fail if the command does not read."""
    data = text.encode()
    if len(data) > PIPE_BYTES:
        raise ValueError(f"stdin is {len(data)} bytes and no pipe holds more than {PIPE_BYTES}")
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as file:
            file.write(data)
        yield reading
    finally:
        os.close(reading)


def retry_once(work: Callable[[], T], recheck: Callable[[], None]) -> T:
    """Call `work`; if a tool fails or exceeds the time limit, call `recheck`, and `work` again if that did not raise.

    Raises:
        ToolError: `work` failed twice, or a tool could not be started or killed.
    """
    try:
        return work()
    except ToolError as error:
        if not error.argv:
            raise
        log.warning("a tool failed, trying once more", extra={"event": "command.retry", "reason": error.message})
        recheck()
        return work()


def status_error(done: Completed) -> ToolError:
    """Return the error of a command whose exit status is not accepted."""
    how = f"was killed by signal {-done.status}" if done.status < 0 else f"failed with status {done.status}"
    reason = _last_line(done.stderr) or _last_line(done.stdout) or "it printed nothing"
    return ToolError(
        f"{' '.join(done.argv)} {how}: {reason}",
        hint="fix the cause and run again; nothing more was done",
        argv=done.argv,
        status=done.status,
        stderr=done.stderr,
    )


def _last_line(text: str) -> str:
    """Return the last line that is not empty and not mount's remark on dmesg(1), at most 500 characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "dmesg(1) may have" not in line]
    return lines[-1][:500] if lines else ""
