import contextlib
import os
import signal

import pytest
from children import stopped

from zosstorage.errors import InterruptedRunError
from zosstorage.system import signals


def send(number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_becomes_an_exception(number: signal.Signals) -> None:
    with pytest.raises(InterruptedRunError, match=f"stopped by {number.name}") as caught, signals.caught():
        send(number)
    assert caught.value.number == number


def test_the_exception_is_not_a_subclass_of_exception() -> None:
    assert not issubclass(InterruptedRunError, Exception)


def test_a_signal_whose_exception_was_lost_is_raised_again() -> None:
    with stopped():
        with contextlib.suppress(InterruptedRunError):
            send()
        with pytest.raises(InterruptedRunError):
            signals.check()


def test_a_signal_is_raised_after_all_deferred_blocks() -> None:
    done = []
    with stopped():
        with signals.deferred():
            send()
            signals.check()
            with signals.deferred():
                done.append("inner")
            done.append("outer")
        done.append("never")
    assert done == ["inner", "outer"]


def test_a_second_signal_does_not_interrupt_the_cleanup() -> None:
    done = []
    with stopped():
        try:
            send()
        finally:
            send(signal.SIGINT)
            done.append("undone")
    assert done == ["undone"]


def test_handlers_are_restored_after_the_block() -> None:
    before = [signal.getsignal(number) for number in signals._SIGNALS]
    with signals.caught():
        signals.check()
        assert signal.getsignal(signal.SIGTERM) is signals._stop
    assert [signal.getsignal(number) for number in signals._SIGNALS] == before
    with stopped():
        send()
    signals.check()  # the signal of that run is forgotten
