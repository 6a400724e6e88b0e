"""System calls that wait for a medium, for many devices at once: each in a thread, and none left when it is over."""

from __future__ import annotations

import os
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from zosstorage import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


def each(work: Callable[[T], None], items: Sequence[T]) -> None:
    """Do some work on each item, unless a signal came; one that comes now waits until all of it is done.

    Raises:
        Exception: the first item's that has one; the others were done as far as they could be.
    """
    errors: dict[int, Exception] = {}

    def one(number: int, item: T) -> None:
        try:
            work(item)
        except Exception as error:  # noqa: BLE001 - raised again, where somebody hears it
            errors[number] = error

    interrupt.check()
    threads = [Thread(target=one, args=pair) for pair in enumerate(items)]
    with interrupt.deferred():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[min(errors)]


def flush(devices: Sequence[str]) -> None:
    """Write the page caches of some devices, and the disks' own caches, through.

    Raises:
        OSError: one cannot be written.
    """
    each(_flush, devices)


def _flush(device: str) -> None:
    handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
