"""A signal ends a run like any failure: commands killed, mounts undone, checkpoint saved; and it is never forgotten.

The exception that a handler raises can be lost where Python allows none (in a destructor, between fork and exec). So
the signal is remembered too, and every step that could write asks first.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zosstorage.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Asked:
    number = 0
    deferred = 0


_asked = _Asked()


def _stop(number: int, _frame: object) -> None:
    """The first signal counts: a second one must not cut short what the first one has undone."""
    if not _asked.number:
        _asked.number = number
        check()


def check() -> None:
    """Stop here, if a signal came; not within `deferred`.

    Raises:
        InterruptedRunError: it came.
    """
    if _asked.number and not _asked.deferred:
        raise InterruptedRunError(signal.Signals(_asked.number).name, _asked.number)


@contextmanager
def deferred() -> Iterator[None]:
    """Have a signal wait until what must not be cut in two is done, a command started and noted down, say.

    Raises:
        InterruptedRunError: one came; at the end.
    """
    _asked.deferred += 1
    try:
        yield
    finally:
        _asked.deferred -= 1
    check()


@contextmanager
def caught() -> Iterator[None]:
    """Turn the signals that ask a program to end into an InterruptedRunError, until the end of the block."""
    _asked.number = 0
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.number = 0
