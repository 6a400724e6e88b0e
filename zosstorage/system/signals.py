"""Signals end a run as any failure does: commands are killed, mounts are undone, the checkpoint is saved.

The signal handler raises an exception. Python drops an exception that it cannot propagate, for example in a destructor.
So the handler records the signal as well, and every step that writes checks the record first.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from zosstorage.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@attrs.define
class _Record:
    """The state of the signal handler.

    Attributes:
        number: the first signal that arrived, or 0.
        deferrals: how many `deferred` blocks are open.
    """

    number: int = 0
    deferrals: int = 0


_record = _Record()


def _stop(number: int, _frame: object) -> None:
    """Record the first signal and raise; ignore later ones, which must not interrupt the cleanup after the first."""
    if not _record.number:
        _record.number = number
        check()


def check() -> None:
    """Raise if a signal arrived; do nothing within a `deferred` block.

    Raises:
        InterruptedRunError: one arrived.
    """
    if _record.number and not _record.deferrals:
        raise InterruptedRunError(signal.Signals(_record.number).name, _record.number)


@contextmanager
def deferred() -> Iterator[None]:
    """Delay signals until the end of the block, which must not be interrupted (a command is started and recorded).

    Raises:
        InterruptedRunError: one arrived; raised at the end of the block.
    """
    _record.deferrals += 1
    try:
        yield
    finally:
        _record.deferrals -= 1
    check()


def start_anew() -> None:
    """Forget the signals and the `deferred` blocks of the process that this one was forked from."""
    _record.number = _record.deferrals = 0


@contextmanager
def caught() -> Iterator[None]:
    """Within the block, SIGINT, SIGTERM and SIGHUP raise an InterruptedRunError.

    Raises:
        InterruptedRunError: one arrived.
    """
    _record.number = 0
    before = {number: signal.signal(number, _stop) for number in _SIGNALS}
    try:
        yield
        check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _record.number = 0
