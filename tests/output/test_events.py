"""The events of the log: every line has a name of the table, and the fields that its schema has."""

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from program import call
from support import config

from zosstorage.errors import ExitCode, Finding, NotEmptyError, ToolError, ZosstorageError
from zosstorage.output import failure, logs
from zosstorage.output.events import EVENTS

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs/OPERATING.md").read_text("utf-8")


def calls() -> Iterator[tuple[str, str]]:
    """(place, source of the function) of each call of the log."""
    for folder in ("zosstorage", "states"):
        for path in sorted((TOP / folder).rglob("*.py")):
            tree = ast.parse(path.read_text("utf-8"))
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            for node in ast.walk(tree):
                match node:
                    case ast.Call(func=ast.Attribute(attr="debug" | "info" | "warning" | "error")):
                        inside = [one for one in functions if one.lineno <= node.lineno <= (one.end_lineno or 0)]
                        yield f"{path.name}:{node.lineno}", ast.unparse(inside[-1])


CALLS = dict(calls())


@pytest.mark.parametrize("place", CALLS)
def test_each_call_of_the_log_has_an_event_of_the_table(place: str) -> None:
    assert "'event': " in CALLS[place]


def test_each_event_is_logged_somewhere() -> None:
    sources = "".join(path.read_text("utf-8") for path in (TOP / "zosstorage").rglob("*.py") if path.stem != "events")
    sources += "".join(path.read_text("utf-8") for path in (TOP / "states").glob("*.py"))
    assert [name for name in EVENTS if f'"{name}"' not in sources] == []


def test_the_page_for_operators_has_the_table() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert [name for name, meaning in EVENTS.items() if f"| `{name}` | {meaning} |" not in rows] == []


@pytest.fixture
def kernel_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of the kernel log, and a log that writes to it."""
    path = tmp_path / "kmsg"
    path.touch()
    monkeypatch.setattr(logs, "KERNEL_LOG", str(path))
    logs.set_up(config(logging={"kmsg": True}).logging)
    return path


def test_an_error_has_its_fields_and_follows_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    schema = jsonschema.Draft202012Validator(json.loads(call("schema", "event").stdout))
    logs.set_up(config().logging)
    logs.CONTEXT["state"] = "validate"
    try:
        evidence = (Finding("/dev/sda", "scan", 4096, "bytes that are not zero", "S1"),)
        assert failure.report(NotEmptyError("no", hint="look", evidence=evidence)) == ExitCode.NOT_EMPTY
    finally:
        logs.CONTEXT.clear()
    found, refused = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    for one in (found, refused):
        schema.validate(one)
        assert one["state"] == "validate"
    assert (found["event"], found["disk"], found["check"], found["offset"]) == ("evidence", "/dev/sda", "scan", 4096)
    assert (refused["event"], refused["exit_code"], refused["hint"]) == ("refused", 5, "look")
    assert not schema.is_valid(refused | {"event": "other"})


@pytest.mark.parametrize(
    ("error", "event"), [(ToolError("x"), "failed"), (ZosstorageError("x"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_names_the_kind_of_end(capsys: pytest.CaptureFixture[str], error: BaseException, event: str) -> None:
    logs.set_up(config().logging)
    failure.report(error)
    assert json.loads(capsys.readouterr().err)["event"] == event


def test_the_kernel_log_gets_start_refusal_and_end_escaped(kernel_log: Path) -> None:
    log = logging.getLogger("zosstorage")
    log.info("begins", extra={"event": "run.begin"})
    log.info("not this", extra={"event": "verdict"})
    log.info("nor this")
    log.error("label \x1b[2J\n<0>é%s", "x" * 500, extra={"event": "refused", "hint": "look"})
    log.info("ended", extra={"event": "run.end"})
    first, error, hint, last = kernel_log.read_text("ascii").splitlines()
    assert (first, hint, last) == ("<6>zosstorage: begins", "<3>zosstorage: hint: look", "<6>zosstorage: ended")
    assert error.startswith("<3>zosstorage: label \\x1b[2J\\x0a<0>\\xe9xxx")
    assert len(error) < 250


def test_the_kernel_log_gets_at_most_ten_lines(kernel_log: Path) -> None:
    for number in range(20):
        logging.getLogger("zosstorage").info("%s", number, extra={"event": "run.begin"})
    assert len(kernel_log.read_text().splitlines()) == 10


def test_a_kernel_log_that_cannot_be_written_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KERNEL_LOG", "/nowhere/kmsg")
    logs.set_up(config(logging={"kmsg": True}).logging)
    logging.getLogger("zosstorage").info("begins", extra={"event": "run.begin"})


def test_nothing_goes_to_the_kernel_log_by_default(kernel_log: Path) -> None:
    logs.set_up(config().logging)
    logging.getLogger("zosstorage").info("begins", extra={"event": "run.begin"})
    assert kernel_log.read_text() == ""
