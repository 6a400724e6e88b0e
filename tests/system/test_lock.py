import os
import subprocess
import sys

import pytest

from zosstorage.errors import ConfigError, ExitCode, LockedError
from zosstorage.system import lock

HOLDER = """
import pathlib, sys
from zosstorage.system import lock
with lock.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_run_directory_is_made(tmp_path):
    with lock.held(tmp_path / "run/zosstorage"):
        assert (tmp_path / "run/zosstorage/lock").exists()


def test_the_run_directory_by_its_name(tmp_path):
    with lock.held(f"{tmp_path}/run/"):
        assert (tmp_path / "run/lock").exists()


def test_again_after_it_was_let_go(tmp_path):
    for _ in range(2):
        with lock.held(tmp_path):
            pass


def test_let_go_when_the_work_fails(tmp_path):
    with pytest.raises(RuntimeError, match="work"), lock.held(tmp_path):
        raise RuntimeError("work")
    with lock.held(tmp_path):
        pass


def test_another_process_holds_it(tmp_path):
    argv = [sys.executable, "-c", HOLDER, str(tmp_path)]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(LockedError) as caught, lock.held(tmp_path):
            pytest.fail("held twice")
        assert caught.value.exit_code is ExitCode.LOCKED
        assert str(tmp_path / "lock") in caught.value.message
        assert caught.value.hint
        other.kill()
        other.wait()
        with lock.held(tmp_path):
            pass


def test_a_run_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError) as caught, lock.held(tmp_path / "file/run"):
        pytest.fail("held")
    assert "the run directory" in caught.value.message
    assert "--run-dir" in caught.value.hint


def test_a_fifo_in_place_of_the_lock_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(ConfigError, match="cannot be written"), lock.held(tmp_path):
        pass
