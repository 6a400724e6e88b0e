import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import support

from zosstorage.errors import ConfigError, ExitCode, LockedError
from zosstorage.system import lock

HOLDER = """
import pathlib, sys
from zosstorage.system import lock
with lock.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


# Starts a tool that writes and one that does not, and prints their PIDs.
PARENT = """
import pathlib, sys, time
from zosstorage.system import lock, run
with lock.held(pathlib.Path(sys.argv[1])):
    writer, reader = run.start(["sleep", "1001"], writes=True), run.start(["sleep", "1003"])
    print(writer.process.pid, reader.process.pid, flush=True)
    time.sleep(1000)
"""
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_makes_the_run_directory(tmp_path: Path) -> None:
    with lock.held(tmp_path / "run/zosstorage"):
        assert (tmp_path / "run/zosstorage/lock").exists()


def test_accepts_the_run_directory_as_text(tmp_path: Path) -> None:
    with lock.held(f"{tmp_path}/run/"):
        assert (tmp_path / "run/lock").exists()


def test_can_be_taken_again_after_its_release(tmp_path: Path) -> None:
    for _ in range(2):
        with lock.held(tmp_path):
            pass


def test_is_released_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="work"), lock.held(tmp_path):
        raise RuntimeError("work")
    with lock.held(tmp_path):
        pass


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_WAIT_SECONDS", 0.05)


def test_only_root_can_open_the_lock_file(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(mode=0o666)
    old = os.umask(0)
    try:
        with lock.held(tmp_path), lock.held(tmp_path / "other"):
            pass
    finally:
        os.umask(old)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("lock", "other/lock")]
    assert modes == [0o600, 0o600]


def test_waits_for_a_lock_that_is_released_soon(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(0.1, other.close).start()
        with lock.held(tmp_path):
            assert other.closed


def test_a_tool_that_outlives_its_parent_holds_the_lock_and_is_named(tmp_path: Path, short_wait: None) -> None:
    """Only the parent is killed; its child still has the lock."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, env=ENVIRONMENT)
    assert parent.stdout
    pids = parent.stdout.readline().split()
    writer, reader = (int(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    try:
        with pytest.raises(LockedError) as caught, lock.held(tmp_path):
            pytest.fail("held twice")
        assert f"process {writer} (sleep 1001)" in caught.value.message
        assert str(reader) not in caught.value.message
        assert f"ps -fp {writer} " in caught.value.hint
    finally:
        for pid in (writer, reader):
            os.kill(pid, signal.SIGKILL)
    with lock.held(tmp_path):  # waits until the kernel has ended the process
        pass


def test_a_process_that_waits_for_the_lock_is_not_named(tmp_path: Path, short_wait: None) -> None:
    with (tmp_path / "lock").open("w") as waits, (tmp_path / "lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        argv = ["sleep", "1002"]
        with subprocess.Popen(argv, pass_fds=[waits.fileno()]) as waiting:
            with pytest.raises(LockedError) as caught, lock.held(tmp_path):
                pytest.fail("held twice")
            waiting.kill()
    assert "1002" not in caught.value.message
    assert "a process that /proc does not show" in caught.value.message  # this process has it


def test_a_blocking_io_error_of_the_block_is_not_a_held_lock(tmp_path: Path) -> None:
    with pytest.raises(BlockingIOError, match="no thread"), lock.held(tmp_path):
        raise BlockingIOError("no thread")


def test_names_the_process_that_holds_the_lock(tmp_path: Path, short_wait: None) -> None:
    argv = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LockedError) as caught, lock.held(tmp_path):
            pytest.fail("held twice")
        assert caught.value.exit_code is ExitCode.LOCKED
        assert str(tmp_path / "lock") in caught.value.message
        assert f"process {other.pid} ({sys.executable} -c" in caught.value.message
        assert caught.value.hint
        other.kill()
        other.wait()
        with lock.held(tmp_path):
            pass


def test_refuses_a_run_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError) as caught, lock.held(tmp_path / "file/run"):
        pytest.fail("held")
    assert "the run directory" in caught.value.message
    assert "--run-dir" in caught.value.hint


def test_refuses_a_fifo_in_place_of_the_lock_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(ConfigError, match="cannot be written"), lock.held(tmp_path):
        pass


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
def test_the_umask_does_not_decide_the_mode_of_the_run_directory(tmp_path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        with lock.held(tmp_path / "run/zosstorage"):
            pass
    finally:
        os.umask(old)
    modes = [
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("run", "run/zosstorage", "run/zosstorage/lock")
    ]
    assert modes == [0o755, 0o755, 0o600]


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_refuses_a_run_directory_that_others_can_write(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(ConfigError, match="can be written by other users") as caught, lock.held(tmp_path):
        pass
    assert caught.value.exit_code is ExitCode.CONFIG
    assert "--run-dir" in caught.value.hint
    assert not (tmp_path / "lock").exists()


def test_refuses_a_run_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir(mode=0o755)
    real = Path.stat

    def stat_of(path: Path, **rest: Any) -> os.stat_result:
        found = real(path, **rest)
        return os.stat_result([*found[:4], 1234, *found[5:]]) if path == run_dir else found

    monkeypatch.setattr(Path, "stat", stat_of)
    with pytest.raises(ConfigError, match="belongs to the user 1234"), lock.held(run_dir):
        pass


@pytest.mark.parametrize(
    ("make", "kind"), [(os.mkfifo, "FIFO"), (os.mkdir, "directory"), (support.make_socket, "socket")]
)
def test_refuses_a_lock_that_is_not_a_regular_file(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    make(tmp_path / "lock")
    with pytest.raises(ConfigError, match=f"lock: it is not a regular file but a {kind}"), lock.held(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINTR])
def test_a_lock_that_cannot_be_taken_for_another_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigError, match=f"lock cannot be locked: {os.strerror(number)}"), lock.held(tmp_path):
        pass


def test_a_path_that_is_too_long_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="File name too long"), lock.held(tmp_path / ("x" * 300)):
        pass
    with pytest.raises(ConfigError, match="File name too long"), lock.held(f"{tmp_path}{5000 * '/x'}"):
        pass
