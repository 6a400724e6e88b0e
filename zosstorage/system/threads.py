"""System calls that wait for a medium, for many devices at once: each in a thread, and none left when it is over."""

from __future__ import annotations

import errno
import os
import time
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from zosstorage.errors import ToolError
from zosstorage.system import signals
from zosstorage.system.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def each(work: Callable[[T], None], items: Sequence[T], name: Callable[[T], str]) -> None:
    """Do some work on each item, unless a signal came; one that comes now waits until all of it is done.

    Raises:
        ToolError: it took longer than the limit; `name` tells where. What hangs in the kernel cannot be stopped.
        OSError: there is no room for another thread.
        Exception: the first item's that has one; the others were done as far as they could be.
    """
    errors: dict[int, Exception] = {}

    def one(number: int, item: T) -> None:
        try:
            work(item)
        except Exception as error:  # noqa: BLE001 - raised again, where somebody hears it
            errors[number] = error

    signals.check()
    threads: list[Thread] = []
    with signals.deferred():
        try:
            threads.extend(_started(one, pair) for pair in enumerate(items))
        finally:
            hanging = _join(threads)
    if hanging:
        where = ", ".join(name(items[number]) for number in hanging)
        message = f"{where} did not answer within {LIMITS.timeout:g} s and hangs in the kernel"
        raise ToolError(message, hint="look for a failing disk in the kernel's log, or raise tools.timeout")
    if errors:
        raise errors[min(errors)]


def _started(work: Callable[[int, T], None], pair: tuple[int, T]) -> Thread:
    thread = Thread(target=work, args=pair, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
    return thread


def _join(threads: Sequence[Thread]) -> list[int]:
    """Wait for all of them, up to the limit; returns which are still under way."""
    until = time.monotonic() + LIMITS.timeout
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [number for number, thread in enumerate(threads) if thread.is_alive()]


def flush(devices: Sequence[str]) -> None:
    """Write the page caches of some devices, and the disks' own caches, through.

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
