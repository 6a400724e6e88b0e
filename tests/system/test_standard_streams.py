"""Exit codes and messages of the program with closed, full or unread standard streams and with other locales."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from support import UGLY

from zosstorage import __version__
from zosstorage.errors import ExitCode

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-m", "zosstorage"]
# A redirection of sh that closes all standard streams, as some init systems do.
CLOSED = "<&- >&- 2>&-"


def run_from_sh(
    *words: str | bytes | Path,
    redirect: str = "",
    unbuffered: bool = False,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    env: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[Any]:
    """Run the program from `sh` with redirections, and check that stderr has no text of UGLY."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    done: subprocess.CompletedProcess[Any] = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *PROGRAM, *words],
        env={**environment, **env},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        timeout=60,
        check=False,
    )
    done.stderr = (done.stderr or b"").decode()
    assert not [word for word in UGLY if word in done.stderr], done.stderr
    return done


@pytest.fixture
def unread() -> Iterator[int]:
    """The write end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def run_dir(tmp_path: Path) -> list[str | Path]:
    return ["--cmdline", os.devnull, "--run-dir", tmp_path / "run"]


def logged(stderr: str) -> dict[str, Any]:
    """The one line of the log: JSON, since stderr is no terminal."""
    line: dict[str, Any] = json.loads(stderr)
    return line


# Streams that are closed, full or unread.

PRINTS = [
    ["--help"],
    ["--version"],
    ["graph"],
    ["graph", "--format", "dot"],
    ["schema", "checkpoint"],
    ["--cmdline", os.devnull, "config", "show"],
    ["config", "check", os.devnull],
    ["--cmdline", os.devnull, "--run-dir", "/nonexistent", "status"],
    ["--cmdline", os.devnull, "--run-dir", "/nonexistent", "status", "--json"],
]
FAILS = [
    (["--force"], 8, "not implemented"),
    (["bogus"], 2, "unknown command"),
    (["--cmdline", os.devnull, "--set", "x=1", "config", "show"], 3, "unknown key"),
    (["--cmdline", "/nonexistent", "run"], 3, "cannot read /nonexistent"),
]
UNBUFFERED = pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_reports_that_stdout_is_full(words: list[str]) -> None:
    done = run_from_sh(*words, redirect=">/dev/full")
    assert done.returncode == ExitCode.DEFECT
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "free disk space, or redirect stdout" in done.stderr


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_a_closed_pipe_is_not_a_failure(words: list[str], unread: int) -> None:
    done = run_from_sh(*words, stdout=unread)
    status = ExitCode.NO_DISK if "status" in words else ExitCode.OK  # there is no checkpoint
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", CLOSED, "2>/dev/full"])
def test_streams_that_are_not_needed_may_be_closed(redirect: str) -> None:
    done = run_from_sh("--version", redirect=redirect)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (b"" if ">&-" in redirect.split() else f"zosstorage {__version__}\n".encode())


@UNBUFFERED
@pytest.mark.parametrize(
    ("redirect", "status"),
    [(">/dev/full 2>/dev/full", 1), (">/dev/full 2>&-", 1), (">/dev/full", 1), ("1</dev/null", 1), (">&-", 0)],
)
def test_the_exit_code_reports_a_failure_without_streams(redirect: str, status: int, unbuffered: bool) -> None:
    assert run_from_sh("--help", redirect=redirect, unbuffered=unbuffered).returncode == status


@pytest.mark.parametrize("redirect", ["", "2>&-", "2>/dev/full", "2</dev/null", ">&-", CLOSED])
@pytest.mark.parametrize(("words", "status", "expected"), FAILS, ids=[words[-1] for words, *_ in FAILS])
def test_closed_streams_do_not_change_the_exit_code(
    words: list[str], status: int, expected: str, redirect: str
) -> None:
    done = run_from_sh(*words, redirect=redirect)
    assert done.returncode == status
    if "2" in redirect:
        assert done.stderr == ""
    else:
        line = logged(done.stderr)
        assert any(expected in text for text in (line["message"], *line.get("problems", ())))
        assert line["hint"]


@UNBUFFERED
@pytest.mark.parametrize(("words", "status", "expected"), FAILS, ids=[words[-1] for words, *_ in FAILS])
def test_an_unread_stderr_does_not_change_the_exit_code(
    words: list[str], status: int, expected: str, unread: int, unbuffered: bool
) -> None:
    assert run_from_sh(*words, stderr=unread, unbuffered=unbuffered).returncode == status


@pytest.mark.parametrize("stderr", ["readable", "unread"])
def test_warns_once_about_a_full_log_file(tmp_path: Path, run_dir: list[str | Path], unread: int, stderr: str) -> None:
    (tmp_path / "run/checkpoint.json").mkdir(parents=True)
    done = run_from_sh(
        *run_dir, "--log-file", "/dev/full", "status", stderr=unread if stderr == "unread" else subprocess.PIPE
    )
    assert done.returncode == 1  # the checkpoint is damaged
    assert done.stderr.count("the log file cannot be written") == (0 if stderr == "unread" else 1)
    assert done.stderr.count("\n") == (0 if stderr == "unread" else 2)


# Locales.


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ({"LC_ALL": "C"}, '"/ä…"'),
        ({"LC_ALL": "POSIX"}, '"/ä…"'),
        ({"LC_ALL": "C.UTF-8"}, '"/ä…"'),
        ({"PYTHONIOENCODING": "ascii"}, r'"/\xe4\u2026"'),
        ({"PYTHONIOENCODING": "latin-1"}, '"/ä' + r'\u2026"'),
    ],
    ids=str,
)
def test_escapes_characters_that_the_locale_cannot_encode(tmp_path: Path, locale: dict[str, str], shown: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("report: {path: /ä…}\n", "utf-8")
    done = run_from_sh("--cmdline", os.devnull, "--config", path, "config", "show", env=locale)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout.decode(locale.get("PYTHONIOENCODING", "utf-8"))
    assert f"\n  path: {shown}\n" in text


# Python replaces the locale C, and no other, by UTF-8; these variables turn that off, as if it were another locale.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_refuses_a_path_that_the_locale_cannot_encode(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("report: {path: /ä}\n", "utf-8")
    done = run_from_sh("--cmdline", os.devnull, "--config", path, "run", env=ASCII)
    assert done.returncode == ExitCode.CONFIG
    line = logged(done.stderr)
    assert done.stderr.isascii()  # JSON escapes what this locale lacks
    assert "report.path: found the text '/\u00e4'; allowed: a path that this locale can encode" in line["message"]
    assert "LC_ALL=C.UTF-8" in done.stderr


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, ASCII], ids=["own", "c", "ascii"])
def test_shows_the_bytes_of_arguments_that_are_not_utf_8(locale: dict[str, str]) -> None:
    for words in (["config", "check", b"/no\xff"], ["--cmdline", b"/no\xff", "run"], [b"no\xff"]):
        done = run_from_sh(*words, env=locale)
        assert done.returncode in (ExitCode.USAGE, ExitCode.CONFIG)
        assert r"no\xff" in logged(done.stderr)["message"]
