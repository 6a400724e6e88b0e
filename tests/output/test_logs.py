"""The log: formats, levels and the log file."""

import json
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import config, make_socket

from zosstorage.errors import ConfigError, ExitCode
from zosstorage.model import Kind
from zosstorage.output import logs


@pytest.fixture
def logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Set up the log, write to it, and return the lines, which stderr and the file share."""

    def write(work: Callable[[logging.Logger], object], **settings: Any) -> list[str]:
        path = tmp_path / "sub/log"
        logs.set_up(config(logging={"file": str(path)} | settings).logging)
        work(logging.getLogger("zosstorage.some"))
        out, err = capsys.readouterr()
        assert out == ""
        assert err == path.read_text("utf-8")
        return err.splitlines()

    return write


def test_json_has_one_object_per_line(logged: Callable[..., list[str]]) -> None:
    def work(log: logging.Logger) -> None:
        log.info(
            "a %s\nb", "message", extra={"disk": "/dev/sda", "size_bytes": 5, "kind": Kind.BLANK, "list": ["ä", 1]}
        )
        log.warning("two", extra={"hint": "do it"})

    first, second = (json.loads(line) for line in logged(work))
    assert first["message"] == "a message\nb"
    assert (first["level"], second["level"]) == ("INFO", "WARNING")
    assert (first["disk"], first["size_bytes"], first["kind"], first["list"]) == ("/dev/sda", 5, "blank", ["ä", 1])
    assert second["hint"] == "do it"
    assert "time" in first


def test_json_has_the_traceback_of_an_exception(logged: Callable[..., list[str]]) -> None:
    def work(log: logging.Logger) -> None:
        log.debug("traceback", exc_info=ValueError("no"))

    (line,) = logged(work, level="debug")
    assert "ValueError: no" in json.loads(line)["exc_info"]


def test_text_has_the_extra_fields_after_the_message(logged: Callable[..., list[str]]) -> None:
    def work(log: logging.Logger) -> None:
        log.info("disk %s", "seen", extra={"disk": "/dev/sda", "reason": "two words", "empty": ""})

    (line,) = logged(work, format="text")
    time, rest = line.split(" ", 1)
    assert len(time) == 8
    assert rest == "INFO    disk seen disk=/dev/sda reason='two words' empty=''"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("error", ["error"]),
        ("warn", ["warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("debug", ["debug", "info", "warning", "error"]),
    ],
)
def test_drops_lines_below_the_level(logged: Callable[..., list[str]], level: str, shown: list[str]) -> None:
    def work(log: logging.Logger) -> None:
        for name in ("debug", "info", "warning", "error"):
            getattr(log, name)("x")

    assert [json.loads(line)["level"].lower() for line in logged(work, level=level)] == shown


def test_logs_the_states_and_no_other_package(logged: Callable[..., list[str]]) -> None:
    def work(_: logging.Logger) -> None:
        logging.getLogger("states.mount").info("mine")
        logging.getLogger("sh.command").warning("not mine")

    assert [json.loads(line)["message"] for line in logged(work)] == ["mine"]


def test_a_second_set_up_does_not_duplicate_lines(logged: Callable[..., list[str]]) -> None:
    logged(lambda _: None)
    assert len(logged(lambda log: log.info("x"))) == 1


def test_appends_to_the_log_file(logged: Callable[..., list[str]], tmp_path: Path) -> None:
    logged(lambda log: log.info("one"))
    logs.set_up(config(logging={"file": str(tmp_path / "sub/log")}).logging)
    logging.getLogger("zosstorage").info("two")
    assert len((tmp_path / "sub/log").read_text("utf-8").splitlines()) == 2


def test_escapes_bytes_that_are_not_text(tmp_path: Path) -> None:
    logs.set_up(config(logging={"file": str(tmp_path / "log"), "format": "text"}).logging)
    logging.getLogger("zosstorage").info("ä… \udcff")
    assert (tmp_path / "log").read_text("utf-8").endswith("ä… \\xff\n")


def test_refuses_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        logs.set_up(config(logging={"file": f"{tmp_path}"}).logging)
    assert caught.value.exit_code is ExitCode.CONFIG
    assert "--log-file" in caught.value.hint


def test_only_root_can_read_the_log_file_whatever_the_umask(tmp_path: Path) -> None:
    (tmp_path / "old").touch(mode=0o644)
    before = os.umask(0)
    try:
        for name in ("old", "sub/new"):
            logs.set_up(config(logging={"file": str(tmp_path / name)}).logging)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("old", "sub", "sub/new")]
    assert modes == [0o600, 0o755, 0o600]


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "FIFO"), (os.mkdir, "directory"), (make_socket, "socket")])
def test_refuses_a_log_file_of_another_type_without_waiting(
    tmp_path: Path, make: Callable[[Path], None], kind: str
) -> None:
    make(tmp_path / "log")
    with pytest.raises(ConfigError, match=f"cannot be written: it is not a regular file but a {kind}"):
        logs.set_up(config(logging={"file": str(tmp_path / "log")}).logging)


def test_a_character_device_can_be_the_log_file() -> None:
    logs.set_up(config(logging={"file": "/dev/null"}).logging)


EVIL = "x\x1b[2J\n12:00:00 ERROR   hint=\x9bwipe"


def test_text_escapes_what_is_foreign(logged: Callable[..., list[str]]) -> None:
    def work(log: logging.Logger) -> None:
        log.error("label %s", EVIL, extra={"hint": EVIL, "list": [EVIL]})

    (line,) = logged(work, format="text")
    assert line.isprintable()
    assert line.count("\\x1b[2J") == 3
    assert line.count("\\x0a12:00:00") == 1  # in the message; the values are quoted


def test_text_keeps_the_lines_of_a_traceback(logged: Callable[..., list[str]]) -> None:
    def work(log: logging.Logger) -> None:
        log.debug("traceback", exc_info=ValueError("\x1b"))

    assert logged(work, format="text", level="debug")[-1] == "ValueError: \\x1b"
