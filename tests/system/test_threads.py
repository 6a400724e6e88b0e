import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from zosstorage.errors import InterruptedRunError, ToolError
from zosstorage.system import signals, threads
from zosstorage.system.running import LIMIT


def test_works_on_all_items_in_parallel() -> None:
    meeting = threading.Barrier(3, timeout=30)

    def work(_: object) -> None:
        meeting.wait()

    threads.each(work, [1, 2, 3], str)


def test_accepts_no_items() -> None:
    threads.each(lambda _: pytest.fail("there is no item"), [], str)


def test_the_first_error_is_raised_after_all_work() -> None:
    done = []

    def work(item: Any) -> None:
        if item % 2:
            raise ValueError(item)
        done.append(item)

    with pytest.raises(ValueError, match=r"^1$"):
        threads.each(work, [0, 1, 2, 3, 4], str)
    assert sorted(done) == [0, 2, 4]


def test_starts_nothing_after_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals._record, "number", 15)
    with pytest.raises(InterruptedRunError):
        threads.each(lambda _: pytest.fail("work was started"), [1], str)


def test_a_signal_is_raised_after_all_work(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def work(item: Any) -> None:
        monkeypatch.setattr(signals._record, "number", 15)
        signals.check()  # as the signal handler does, at any line of the main thread
        done.append(item)

    with pytest.raises(InterruptedRunError):
        threads.each(work, [1, 2], str)
    assert sorted(done) == [1, 2]


def test_waits_for_started_threads_if_one_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = threading.Thread.start, []

    def start(thread: threading.Thread) -> None:
        if vars(thread)["_args"][0] == 2:
            raise RuntimeError("can't start new thread")
        real(thread)

    def work(item: Any) -> None:
        time.sleep(0.2)
        done.append(item)

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(ToolError, match="no thread can be started"):
        threads.each(work, ["a", "b", "c", "d"], str)
    assert sorted(done) == ["a", "b"]  # before the error is raised


def test_names_the_devices_that_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def work(item: str) -> None:
        if item == "/dev/b":
            go_on.wait()

    monkeypatch.setattr(LIMIT, "seconds", 0.1)
    with pytest.raises(ToolError, match=r"^/dev/b did not answer within 0\.1 s and hangs in the kernel$") as caught:
        threads.each(work, ["/dev/a", "/dev/b"], str)
    go_on.set()
    assert caught.value.argv == ()  # so that it is not retried


def test_flushes_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.write_bytes(b"x")
    flushed = []
    real = os.fsync

    def fsync(handle: int) -> None:
        real(handle)
        flushed.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(os, "fsync", fsync)
    threads.flush([str(path) for path in paths])
    assert sorted(flushed) == sorted(path.stat().st_ino for path in paths)
    with pytest.raises(FileNotFoundError):
        threads.flush([str(tmp_path / "none")])
