"""Signals that end a run as any failure does: commands are killed, mounts undone, the checkpoint is saved.

A signal handler raises an exception, which is lost where Python cannot pass it on (in a destructor, say). So a signal
is recorded as well, and every step that writes checks the record first.
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
    """What the handler knows.

    Attributes:
        number: the first signal that arrived, or 0.
        deferrals: how many `deferred` blocks are open.
    """

    number: int = 0
    deferrals: int = 0


_record = _Record()


def _stop(number: int, _frame: object) -> None:
    """Record the first signal and raise; later ones must not interrupt the cleanup that it caused."""
    if not _record.number:
        _record.number = number
        check()


def check() -> None:
    """Stop here if a signal arrived; not within `deferred`.

    Raises:
        InterruptedRunError: one arrived.
    """
    if _record.number and not _record.deferrals:
        raise InterruptedRunError(signal.Signals(_record.number).name, _record.number)


@contextmanager
def deferred() -> Iterator[None]:
    """Let a signal wait for the end of the block, whose work must not be interrupted: to start and record a command.

    Raises:
        InterruptedRunError: one arrived; raised at the end of the block.
    """
    _record.deferrals += 1
    try:
        yield
    finally:
        _record.deferrals -= 1
    check()


@contextmanager
def caught() -> Iterator[None]:
    """Turn the signals that ask a program to end into an InterruptedRunError, within the block.

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
