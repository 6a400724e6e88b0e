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


def test_it_is_no_failure_that_somebody_handles() -> None:
    assert not issubclass(InterruptedRunError, Exception)


def test_one_whose_exception_got_lost_is_remembered() -> None:
    with stopped():
        with contextlib.suppress(InterruptedRunError):
            send()
        with pytest.raises(InterruptedRunError):
            signals.check()


def test_it_waits_for_what_must_not_be_cut_in_two() -> None:
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


def test_a_second_one_does_not_cut_short_what_the_first_one_has_undone() -> None:
    done = []
    with stopped():
        try:
            send()
        finally:
            send(signal.SIGINT)
            done.append("undone")
    assert done == ["undone"]


def test_before_and_after_signals_are_as_they_were() -> None:
    before = [signal.getsignal(number) for number in signals._SIGNALS]
    with signals.caught():
        signals.check()
        assert signal.getsignal(signal.SIGTERM) is signals._stop
    assert [signal.getsignal(number) for number in signals._SIGNALS] == before
    with stopped():
        send()
    signals.check()  # forgotten: it was of that run
