"""Reads devices in a process of its own, which can be left behind.

A process that reads from a device that does not answer waits in the kernel and reacts to no signal, not even SIGKILL,
until the device answers. So each read of a device happens in a forked process. If that process exceeds the time limit
or a signal ends the run, it is killed and not waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import select
import signal
import struct
import time
import traceback
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar

from attrs import define, field

from zosstorage.errors import InterruptedRunError, ToolError, ZosstorageError
from zosstorage.system import lock, pending, signals, streams
from zosstorage.system.pending import Progress
from zosstorage.system.running import LIMIT, PIPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")
R = TypeVar("R")

# What a reading process sends: a result, an exception, or a record for the log. Each is preceded by its length.
_DONE, _FAILED, _LOGGED = range(3)
_LENGTH = struct.Struct("=Q")
_PACKAGE = __name__.partition(".")[0]
# How often the time limit is checked, in seconds.
_POLL_SECONDS = 0.5
# How long a reading process gets to kill the commands that it started, and to end, before it is killed, in seconds.
_GRACE = 1.5
# How long it then gets to end, in seconds, unless the kernel holds it.
_LAST_GRACE = 0.1


def apart(work: Callable[[], T]) -> T:
    """Call `work`, which reads devices, in another process, and return its result, which must be possible to pickle.

    In a reading process, it is only called.

    Raises:
        ToolError: a read took longer than the time limit, or the process was killed.
        InterruptedRunError: a signal arrived; the process was left behind.
        Exception: the exception of `work`.
    """
    if pending.is_reading_process():
        return work()
    signals.check()
    with _started(lambda _: work(), [None]) as child:
        found: T = child.result(limit=None)
        child.done = True
        return found


def each(work: Callable[[T], R], items: Sequence[T], seconds: float) -> list[R | None]:
    """Call `work` for each item in another process; None takes the place of a result that took longer than `seconds`.

    Raises:
        ToolError: the process was killed.
        InterruptedRunError: a signal arrived; the process was left behind.
        Exception: the exception of `work`.
    """
    found: list[R | None] = []
    while len(found) < len(items):
        signals.check()
        with _started(work, items[len(found) :]) as child, contextlib.suppress(_SilentError):
            while len(found) < len(items):
                found.append(child.result(limit=seconds))
            child.done = True
            return found
        found.append(None)
    return found


class _SilentError(Exception):
    """A result took longer than its limit. Not TimeoutError, which is also the error of a device (ETIMEDOUT)."""


@define(eq=False)
class _Child:
    """A reading process.

    Attributes:
        pid: its number.
        pipe: the read end of the pipe for its results; closed when it is left.
        progress: its reads in progress.
        received: what was read from the pipe.
        done: whether all results were received: it reads no device any more and is about to end.
    """

    pid: int
    pipe: int
    progress: Progress
    received: bytearray = field(factory=bytearray)
    done: bool = False

    @classmethod
    def fork(cls, work: Callable[[T], object], items: Sequence[T]) -> _Child:
        """Fork a process that sends the result for each item.

        Raises:
            ToolError: no process can be started.
        """
        progress = Progress()
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reading)
            os.close(writing)
            hint = "raise the limit of processes (ulimit -u, pids.max), or free memory"
            raise ToolError(f"no process can be started to read the disks: {error.strerror}", hint=hint) from error
        if pid == 0:
            _serve(work, items, writing, progress)
        os.close(writing)
        return cls(pid, reading, progress)

    def result(self, limit: float | None) -> Any:
        """Wait for the next result and return it, or raise the exception of the work; log what is sent before it.

        Args:
            limit: how long to wait, in seconds; without it, each read of a device has the time limit.

        Raises:
            _SilentError: `limit` is over.
        """
        until = None if limit is None else time.monotonic() + limit
        while True:
            kind, value = pickle.loads(self._receive(until))  # noqa: S301 - from our own process
            if kind == _DONE:
                return value
            if kind == _FAILED:
                raise value
            logging.getLogger(value.name).handle(value)

    def _receive(self, until: float | None) -> bytes:
        """Wait for what is sent next, until the monotonic clock reaches `until`."""
        poll = select.poll()
        poll.register(self.pipe, select.POLLIN)
        while (frame := self._frame()) is None:
            wait = _POLL_SECONDS if until is None else max(0.0, until - time.monotonic())
            if not poll.poll(wait * 1000):
                self._check_time(until)
            elif data := os.read(self.pipe, PIPE_BYTES):
                self.received += data
            else:
                raise self._ended()
        return frame

    def _frame(self) -> bytes | None:
        """What was sent next, if all of it has arrived."""
        if len(self.received) < _LENGTH.size:
            return None
        end = _LENGTH.size + _LENGTH.unpack_from(self.received)[0]
        if len(self.received) < end:
            return None
        frame = bytes(self.received[_LENGTH.size : end])
        del self.received[:end]
        return frame

    def _check_time(self, until: float | None) -> None:
        if until is not None:
            raise _SilentError
        if hanging := self.progress.waiting(LIMIT.seconds):
            raise ToolError(
                f"{', '.join(hanging)} did not answer a read within {LIMIT.seconds:g} s",
                hint="look for a failing disk in the kernel's log, or raise tools.timeout",
            )

    def _ended(self) -> ToolError:
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        how = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        hint = "see whether the kernel's log names a lack of memory, and run again"
        return ToolError(f"the process that reads the disks was {how} before it was done", hint=hint)

    def leave(self) -> None:
        """Close the pipe and end the process; if the kernel holds it, it is left behind."""
        os.close(self.pipe)
        if self.done:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            return
        for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _LAST_GRACE)):
            if self._reaped():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            until = time.monotonic() + seconds
            while not self._reaped() and time.monotonic() < until:
                time.sleep(0.005)

    def _reaped(self) -> bool:
        """Whether it has ended; its exit status is collected then."""
        if self.pid:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                    return False
            self.pid = 0
        return True


@contextmanager
def _started(work: Callable[[T], object], items: Sequence[T]) -> Iterator[_Child]:
    """Fork a process for the block; at its end, the process is killed if it still runs."""
    with signals.deferred():
        child = _Child.fork(work, items)
    try:
        yield child
    finally:
        child.leave()


@define(eq=False)
class _Sender(logging.Handler):
    """Sends results to the program, and what this process logs: it must not hold the program's stderr open."""

    file: IO[bytes]

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record without what cannot be pickled."""
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self.send(_LOGGED, record)

    def send(self, kind: int, value: object) -> None:
        """Send one of `_DONE`, `_FAILED` and `_LOGGED`, and its value."""
        frame = pickle.dumps((kind, value))
        self.file.write(_LENGTH.pack(len(frame)) + frame)
        self.file.flush()


def _serve(work: Callable[[T], object], items: Sequence[T], pipe: int, progress: Progress) -> NoReturn:
    """Send the result for each item, and end this process."""
    status = 1
    try:
        pending.become_reading_process(progress)
        signals.start_anew()
        for handle in lock.inherited():  # so that a process that is left behind holds no lock
            os.close(handle)
        streams.detach()
        with os.fdopen(pipe, "wb") as file:
            sender = _Sender(file)
            logger = logging.getLogger(_PACKAGE)
            logger.handlers[:], logger.propagate = [sender], False
            with signals.caught():  # SIGTERM ends it with the commands that it has started
                for item in items:
                    sender.send(*_answer(work, item))
        status = 0
    except (OSError, InterruptedRunError):  # the program waits no longer
        pass
    finally:
        os._exit(status)


def _answer(work: Callable[[T], object], item: T) -> tuple[int, object]:
    """Call the work: the result or the exception, with its kind."""
    try:
        return _DONE, work(item)
    except Exception as error:  # noqa: BLE001 - raised again in the process that waits
        if not isinstance(error, (ZosstorageError, OSError)):
            error.add_note("".join(traceback.format_exception(error)))
        return _FAILED, error
