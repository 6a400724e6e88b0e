"""System calls that wait for a medium, one thread for each device; every thread has ended when a call returns."""

from __future__ import annotations

import errno
import os
import time
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from zosstorage.errors import ToolError
from zosstorage.system import signals
from zosstorage.system.running import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

T = TypeVar("T")


def each(work: Callable[[T], None], items: Sequence[T], name: Callable[[T], str]) -> None:
    """Do some work on each item, in a thread each; a signal that arrives meanwhile waits until all of it is done.

    Raises:
        InterruptedRunError: a signal arrived; before the start, no work is done.
        ToolError: it took longer than the limit, with the `name` of the items. A thread that hangs in the kernel cannot
            be stopped.
        OSError: a thread cannot be started.
        Exception: the first item's that has one; the work on the others is done as far as possible.
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
    """Start the threads and wait for them; returns which of them have not ended."""
    threads: list[Thread] = []
    with signals.deferred():
        try:
            threads.extend(started(work, *pair) for pair in enumerate(items))
        finally:
            hanging = _join(threads)
    return hanging


def started(work: Callable[..., None], *arguments: object) -> Thread:
    """Start a thread that does not keep the program alive.

    Raises:
        OSError: it cannot be started.
    """
    thread = Thread(target=work, args=arguments, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
    return thread


def _join(threads: Sequence[Thread]) -> list[int]:
    """Wait for all of them, up to the limit; returns which have not ended."""
    until = time.monotonic() + LIMIT.seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [number for number, thread in enumerate(threads) if thread.is_alive()]


def _hanging_error(names: Iterable[str]) -> ToolError:
    message = f"{', '.join(names)} did not answer within {LIMIT.seconds:g} s and hangs in the kernel"
    return ToolError(message, hint="look for a failing disk in the kernel's log, or raise tools.timeout")


def flush(devices: Sequence[str]) -> None:
    """Write the page caches of some devices, and the disks' own caches, to the medium.

    Raises:
        ToolError: one hangs.
        OSError: one cannot be written.
    """
    each(_flush, devices, str)


def _flush(device: str) -> None:
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
