import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zosstorage.system import streams


def python(code: str, *words: str | Path, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that `sh` starts with redirections."""
    argv = ["sh", "-c", f'exec "$@" {redirect}', "sh", sys.executable, "-c", code, *map(str, words)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


# What a process inherits.


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """Restore the signal settings after a test that changes them."""
    mask, handler = signal.pthread_sigmask(signal.SIG_BLOCK, ()), signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def test_inherited_descriptors_are_closed_on_exec() -> None:
    one, other = os.pipe()
    os.set_inheritable(other, True)
    try:
        streams.reset_inherited()
        assert not os.get_inheritable(one)
        assert not os.get_inheritable(other)
        assert all(os.get_inheritable(handle) for handle in (0, 1, 2))
    finally:
        os.close(one)
        os.close(other)


def test_sigchld_is_reset_and_all_signals_are_unblocked(restored_signals: None) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
    streams.reset_inherited()
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_signals_are_reset_without_proc(
    restored_signals: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streams, "_DESCRIPTORS", tmp_path / "none")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    streams.reset_inherited()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


# Standard streams.

OPENED = """
import os, sys
from zosstorage.system import streams
streams.open_closed()
handle = os.open("/", os.O_RDONLY)
with open(sys.argv[1], "w") as file:
    print(handle, *(os.get_inheritable(each) for each in range(3)), sys.stdin.read() == "", file=file)
print("out", flush=True)
print("err", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ""])
def test_an_opened_file_never_becomes_a_standard_stream(tmp_path: Path, redirect: str) -> None:
    done = python(OPENED, tmp_path / "expected", redirect=redirect)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "" if ">&-" in redirect.split() else "out\n",
        "" if "2>&-" in redirect else "err\n",
    )
    handle, *rest = (tmp_path / "expected").read_text().split()
    assert int(handle) > 2
    assert rest == ["True"] * 4


def test_a_file_in_memory_replaces_a_missing_dev_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "devnull", "/nonexistent/null")
    handle = streams._open_null()
    assert os.write(handle, b"x") == 1
    assert os.read(handle, 1) == b""
    os.close(handle)


DISCARDED = """
import sys
from zosstorage.errors import ZosstorageError
from zosstorage.system import streams
try:
    print("x", flush=True)
except OSError as error:
    try:
        streams.discard_stdout(error)
    except ZosstorageError as error:
        print(error.message, error.hint, sep="; ", file=sys.stderr)
print("more")
"""


def test_a_full_stdout_is_reported_once() -> None:
    done = python(DISCARDED, redirect=">/dev/full")
    expected = "the output cannot be written: No space left on device; free disk space, or redirect stdout\n"
    assert (done.returncode, done.stderr) == (0, expected)


def test_a_stdout_without_a_reader_is_not_reported() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(
        [sys.executable, "-c", DISCARDED],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=writing,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(writing)
        assert process.communicate()[1] == b""
    assert process.returncode == 0
