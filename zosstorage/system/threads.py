"""Runs system calls that wait for a medium in one thread for each device; no thread outlives the call."""

from __future__ import annotations

import os
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from zosstorage.errors import ToolError
from zosstorage.system import signals
from zosstorage.system.files import open_device
from zosstorage.system.running import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")


def each(work: Callable[[T], None], items: Sequence[T], name: Callable[[T], str]) -> None:
    """Call `work` for each item, each in its own thread; signals are delayed until all threads have ended.

    Raises:
        InterruptedRunError: a signal arrived; if it arrived before the start, no work was done.
        ToolError: a thread cannot be started; or the work took longer than the time limit, and `name` gives the names
            of the items for the message. A thread that hangs in the kernel cannot be stopped.
        Exception: the exception of the first item that raised one; the work on the other items is done.
    """
    errors: dict[int, Exception] = {}

    def one(number: int, item: T) -> None:
        try:
            work(item)
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the caller
            errors[number] = error

    signals.check()
    hanging = _run(one, items)
    if hanging:
        raise _hanging_error(name(items[number]) for number in hanging)
    if errors:
        raise errors[min(errors)]


def _run(work: Callable[[int, T], None], items: Sequence[T]) -> list[int]:
    """Start the threads and wait for them; return the indexes of those that have not ended."""
    threads: list[Thread] = []
    with signals.deferred():
        try:
            threads.extend(start(work, *pair) for pair in enumerate(items))
        finally:
            hanging = _join(threads)
    return hanging


def start(work: Callable[..., object], *arguments: object) -> Thread:
    """Start a daemon thread, which does not prevent the program from exiting.

    Raises:
        ToolError: it cannot be started. Not an OSError: EAGAIN would be taken for that of a lock.
    """
    thread = Thread(target=work, args=arguments, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        hint = "raise the limit of processes (ulimit -u, pids.max), or free memory"
        raise ToolError("no thread can be started", hint=hint) from error
    return thread


def require(count: int) -> None:
    """Start as many threads at once as the rest of the run will, and end them.

    Raises:
        ToolError: one cannot be started.
    """
    end = Event()
    started: list[Thread] = []
    try:
        with signals.deferred():
            started.extend(start(end.wait) for _ in range(count))
    finally:
        end.set()
        _join(started)


def _join(threads: Sequence[Thread]) -> list[int]:
    """Wait for all threads, up to the time limit; return the indexes of those that have not ended."""
    until = time.monotonic() + LIMIT.seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [number for number, thread in enumerate(threads) if thread.is_alive()]


def _hanging_error(names: Iterable[str]) -> ToolError:
    message = f"{', '.join(names)} did not answer within {LIMIT.seconds:g} s and hangs in the kernel"
    return ToolError(message, hint="look for a failing disk in the kernel's log, or raise tools.timeout")


def flush(devices: Sequence[str]) -> None:
    """Write the page caches of devices, and the caches of the disks, to the medium.

    Raises:
        ToolError: a device hangs.
        OSError: a device cannot be written.
    """
    each(_flush, devices, str)


def _flush(device: str) -> None:
    handle = open_device(device, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
