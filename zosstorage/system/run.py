"""External commands: the only module that starts them.

A command is an argument list. It runs in a session and process group of its own, in the locale C.UTF-8, with the stdin
that it is given; after its time limit the whole group is killed. It is logged once, with its time.

A command that `writes` inherits the locks that are held (`lock.inherited`), so that they last until it has ended, even
if this process is killed before.
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

# BLKID_FILE: libblkid caches what it sees in /run/blkid; a stale entry must never choose a disk for us.
# LOCK_BLOCK_DEVICE: if it is set to 1, sfdisk waits for ever for the lock of a disk, which we hold ourselves.
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BLKID_FILE": "/dev/null", "LOCK_BLOCK_DEVICE": "0"}
# Every possible exit status; that of a signal is negative.
ANY_STATUS = tuple(range(-64, 256))


def command(argv: Sequence[str], *, stdin: str = "", ok: Sequence[int] = (0,), writes: bool = False) -> Completed:
    """Run a command to its end.

    Raises:
        ToolError: it is missing, cannot be started, ends with a status that is not in `ok`, or exceeds the time limit.
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
    """Run commands side by side and wait for all of them, even if one fails.

    Raises:
        ToolError: the first one's, in the order of `argvs`.
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
    """Commands that run while something else is done; those that still run at the end of the block are killed."""

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
        """Start commands, from within the block: an exception may come between any two lines. Returns them.

        Raises:
            ToolError: there is no such command, or it cannot be started.
        """
        before = len(self.commands)
        start_all(argvs, stdin=stdin, env=env, writes=writes, into=self.commands)
        return self.commands[before:]

    def wait(self) -> list[Completed]:
        """Wait for all of them, whatever their exit statuses are.

        Raises:
            ToolError: one exceeds the time limit.
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
    """Start commands side by side; `stdin`, `env` and `writes` are as for `start`.

    If one cannot be started, the others are waited for; any other exception kills them. A caller who has to know of
    them whatever happens passes `into`, a list that each is appended to as soon as it runs.

    Raises:
        ToolError: there is no such command, or it cannot be started.
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

    `stdin` is at most 64 KiB as UTF-8; `env` is added to the environment that every command gets. One that `writes`, to
    a disk or to the kernel's idea of it, inherits the locks that are held.

    Raises:
        ToolError: there is no such command, or it cannot be started.
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
        with process, contextlib.suppress(ProcessLookupError):  # closes its pipes and waits for it
            os.killpg(process.pid, signal.SIGKILL)
        raise


def _popen(
    path: str, argv: Sequence[str], stdin: str, env: Mapping[str, str], locks: tuple[int, ...]
) -> subprocess.Popen[bytes]:
    """Start a process; without `preexec_fn`, Popen uses vfork, which does not copy our page tables as fork does."""
    try:
        with _pipe_with(stdin) as reading:
            return subprocess.Popen(  # noqa: S603 - an argument list, no shell
                [*argv],
                executable=path,
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **_ENVIRONMENT, **env},
                start_new_session=True,
                close_fds=True,
                pass_fds=locks,
            )
    except OSError as error:
        raise ToolError(f"{argv[0]} could not be started: {error.strerror}", argv=tuple(argv)) from error


@contextmanager
def _pipe_with(text: str) -> Iterator[int]:
    """The reading end of a pipe that contains a text: nothing is left to write when a command reads it, or exits."""
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


def retry_once(work: Callable[[], T], still_ours: Callable[[], None]) -> T:
    """Do some work with tools; if one fails or exceeds its time, do all of it again, unless `still_ours` raises.

    Raises:
        ToolError: it failed twice, or a tool could not be started or killed.
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
    """The error of a command whose exit status is not accepted."""
    how = f"was killed by signal {-done.status}" if done.status < 0 else f"failed with status {done.status}"
    said = _last_line(done.stderr) or _last_line(done.stdout) or "it said nothing"
    return ToolError(
        f"{' '.join(done.argv)} {how}: {said}",
        hint="nothing more was done; run again when the cause is gone",
        argv=done.argv,
        status=done.status,
        stderr=done.stderr,
    )


def _last_line(text: str) -> str:
    """The last line that says something, at most 500 characters; mount's remark on dmesg(1) does not."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "dmesg(1) may have" not in line]
    return lines[-1][:500] if lines else ""
