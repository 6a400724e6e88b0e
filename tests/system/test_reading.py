"""Reads in a process of their own: results, exceptions, time limits, signals."""

import contextlib
import logging
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from zosstorage.errors import InterruptedRunError, NotEmptyError, ToolError
from zosstorage.system import lock, pending, reading, signals
from zosstorage.system.running import LIMIT


@pytest.fixture(autouse=True)
def time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time limit of half a second."""
    monkeypatch.setattr(LIMIT, "seconds", 0.5)


def wait_for_ever(device: str = "/dev/sda") -> None:
    """Read a device that does not answer, deaf to SIGTERM as a process that waits in the kernel."""
    with pending.of(device):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(10)


def children() -> list[str]:
    """The children of this process that have not been waited for."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()


def test_the_result_comes_from_another_process() -> None:
    here = os.getpid()
    assert reading.apart(os.getpid) != here
    assert reading.apart(os.getppid) == here
    assert reading.apart(lambda: reading.apart(os.getppid)) == here  # a reading process starts no other
    assert len(reading.apart(lambda: bytes(3 << 20))) == 3 << 20


def test_nothing_that_the_work_changes_is_changed_here() -> None:
    seen: list[int] = []
    reading.apart(lambda: seen.append(1))
    assert seen == []


@pytest.mark.parametrize(
    "error",
    [
        NotEmptyError("sda is not empty", hint="look"),
        ToolError("it failed", hint="look", argv=("mkfs", "-q"), status=-9, stderr="no"),
        OSError(5, "Input/output error", "/dev/sda"),
    ],
)
def test_an_exception_is_raised_here_with_all_that_it_has(error: Exception) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        reading.apart(work)
    assert vars(caught.value) == vars(error)
    assert str(caught.value) == str(error)


def test_a_defect_keeps_its_traceback() -> None:
    def work() -> None:
        raise KeyError("surprise")

    with pytest.raises(KeyError) as caught:
        reading.apart(work)
    assert "in work" in caught.value.__notes__[0]


def test_a_device_that_does_not_answer_is_named() -> None:
    before = children()
    with pytest.raises(ToolError, match="/dev/sda did not answer a read within"):
        reading.apart(wait_for_ever)
    assert children() == before


def test_work_may_take_longer_than_each_of_its_reads() -> None:
    def work() -> str:
        for _ in range(8):
            with pending.of("/dev/sda"):
                time.sleep(0.2)
        return "done"

    assert reading.apart(work) == "done"


def test_a_killed_process_is_an_error() -> None:
    with pytest.raises(ToolError, match="killed by signal 9"):
        reading.apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(ToolError, match="ended before it was done"):
        reading.apart(lambda: os._exit(3))


def test_a_silent_device_costs_the_others_nothing() -> None:
    def work(device: str) -> str:
        if "silent" in device:
            wait_for_ever(device)
        return device.upper()

    began = time.monotonic()
    assert reading.each(work, ["a", "silent1", "b", "silent2", "c", "silent3"], 0.2) == [
        "A",
        None,
        "B",
        None,
        "C",
        None,
    ]
    assert time.monotonic() - began < 10
    assert reading.each(work, [], 0.2) == []


def test_a_signal_ends_the_wait_for_a_silent_device() -> None:
    LIMIT.seconds = 600
    before = children()
    with subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -TERM {os.getpid()}"]):
        began = time.monotonic()
        with pytest.raises(InterruptedRunError), signals.caught():
            reading.apart(wait_for_ever)
        assert time.monotonic() - began < 5
    assert children() == before


def test_a_process_that_is_left_behind_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)

    def is_open() -> bool:
        with contextlib.suppress(OSError):
            os.fstat(handle)
            return True
        return False

    with lock.passed_on(handle):
        assert not reading.apart(is_open)
    os.close(handle)


def test_it_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    marker = tmp_path / "still there"

    def work() -> None:
        parent = os.getppid()
        os.kill(parent, signal.SIGKILL)
        while os.getppid() == parent:
            time.sleep(0.01)
        with pending.of("/dev/sda"):
            marker.touch()

    child = os.fork()
    if not child:
        reading.apart(work)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    time.sleep(0.3)
    assert not marker.exists()


def test_no_process_to_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fork)
    with pytest.raises(ToolError, match="no process can be started to read the disks: Resource"):
        reading.apart(os.getpid)


def test_its_log_is_that_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("zosstorage.block.scan")

    def work() -> str:
        log.info("read %d of %s", 3, Path("/dev/sda"), extra={"disk": "/dev/sda"})
        return "done"

    with caplog.at_level(logging.INFO, "zosstorage"):
        assert reading.apart(work) == "done"
    (record,) = caplog.records
    assert (record.getMessage(), record.disk) == ("read 3 of /dev/sda", "/dev/sda")  # type: ignore[attr-defined]


def test_any_number_of_lines_is_logged_before_a_result(caplog: pytest.LogCaptureFixture) -> None:
    """A full scan of a large disk logs its progress for hours."""

    def work() -> str:
        for number in range(3000):
            logging.getLogger("zosstorage.block.scan").info("line %d", number)
        return "done"

    with caplog.at_level(logging.INFO, "zosstorage"):
        assert reading.apart(work) == "done"
    assert len(caplog.records) == 3000


def test_lines_of_the_log_do_not_extend_the_time_for_a_device() -> None:
    def work(_: str) -> None:
        while True:
            logging.getLogger("zosstorage.block.scan").info("still reading")
            time.sleep(0.05)

    assert reading.each(work, ["silent"], 0.3) == [None]


def test_a_device_that_reports_a_timeout_is_no_silent_one() -> None:
    def work(_: str) -> None:
        raise TimeoutError(110, "Connection timed out", "/dev/sda")

    with pytest.raises(TimeoutError, match="Connection timed out"):
        reading.each(work, ["sda"], 5.0)


def test_it_holds_no_standard_stream_open() -> None:
    mine = [os.fstat(number) for number in range(3)]
    theirs = reading.apart(lambda: [os.fstat(number) for number in range(3)])
    null = Path(os.devnull).stat()
    assert all((one.st_dev, one.st_ino) == (null.st_dev, null.st_ino) for one in theirs), mine
