"""Every command through the entry point: its output, and its exit code and message if it fails."""

import json
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import UGLY

from zosstorage import __version__, checkpoint, cli
from zosstorage.__main__ import main
from zosstorage.checkpoint import Checkpoint, Failure
from zosstorage.commands import _COMMANDS
from zosstorage.errors import ExitCode
from zosstorage.output import failure
from zosstorage.system import lock


@pytest.fixture
def run_dir(tmp_path: Path) -> list[str | Path]:
    return ["--cmdline", os.devnull, "--run-dir", tmp_path / "run"]


def run_command(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, its standard output and its standard error output."""
    status = main([os.fspath(word) for word in words])
    out, err = capsys.readouterr()
    assert not [word for word in UGLY if word in err], err
    return status, out, err


def test_every_command_has_a_function() -> None:
    assert {*_COMMANDS} == {*cli.COMMANDS, "help", "version"}


def test_prints_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(capsys, "--version") == (0, f"zosstorage {__version__}\n", "")
    assert run_command(capsys, "--help") == (0, cli.help_text(), "")


@pytest.mark.parametrize("document", ["config", "report", "checkpoint", "plan", "failure", "event"])
def test_prints_valid_schemas(capsys: pytest.CaptureFixture[str], document: str) -> None:
    status, out, _ = run_command(capsys, "schema", document)
    assert status == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


def test_the_schema_of_a_written_document_requires_all_keys(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(run_command(capsys, "schema", "checkpoint")[1])
    assert schema["required"] == ["version", "boot_id", "config_digest", "program", "digest", "states"]
    assert "exit_code" in schema["$defs"]["Failure"]["required"]
    assert "required" not in json.loads(run_command(capsys, "schema", "config")[1])


def test_prints_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(capsys, "graph")[1].startswith("---\ntitle: zosstorage\n---\nstateDiagram-v2\n")
    assert run_command(capsys, "graph", "--format", "dot")[1].startswith("digraph zosstorage {\n")


def test_checks_a_configuration_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("version: 1\n")
    (tmp_path / "bad.yaml").write_text("versoin: 1\ntopology: 1\n")
    assert run_command(capsys, "config", "check", tmp_path / "good.yaml") == (0, f"{tmp_path}/good.yaml: valid\n", "")
    status, out, err = run_command(capsys, "config", "check", tmp_path / "bad.yaml")
    assert (status, out) == (3, "")
    logged = json.loads(err)
    assert logged["message"] == "2 mistakes in the configuration"
    assert [name for name in ("versoin", "topology") for problem in logged["problems"] if name in problem]
    assert len(logged["problems"]) == 2
    assert logged["hint"]


@pytest.mark.parametrize("words", [["config", "check"], ["config", "show", "--config"], ["run", "--cmdline"]])
def test_refuses_a_file_that_is_not_regular(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", "/dev/full", tmp_path):
        given = [*words, path] if "--cmdline" in words else ["--cmdline", os.devnull, *words, path]
        status, out, err = run_command(capsys, *given)
        assert (status, out) == (3, "")
        assert f"{path}: " in err
        assert re.search(r"it is not a regular file but a (FIFO|character device|directory)", err)
        assert json.loads(err)["hint"]


def saved(folder: Path, change: Callable[[Checkpoint], None] = lambda _: None) -> dict[str, Any]:
    """Write a checkpoint to a run directory and return it as a document."""
    folder.mkdir()
    found = Checkpoint(boot_id=checkpoint.boot_id(), config_digest="0" * 64)
    change(found)
    checkpoint.save(folder / "checkpoint.json", found)
    document: dict[str, Any] = json.loads((folder / "checkpoint.json").read_text())
    return document


def fail_validate(found: Checkpoint) -> None:
    found.record("validate").status = "failed"
    found.record("validate").error = Failure("no", "do it", 5)


def test_prints_the_status_of_an_empty_and_of_a_failed_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path]
) -> None:
    status, out, _ = run_command(capsys, *run_dir, "status", "--json")
    assert (status, {record["status"] for record in json.loads(out)["states"]}) == (4, {"pending"})
    document = saved(tmp_path / "run", fail_validate)
    assert json.loads(run_command(capsys, *run_dir, "status", "--json")[1]) == document
    assert re.search(r"validate +failed .* no", run_command(capsys, *run_dir, "status")[1])


def test_the_status_follows_its_schema(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path]
) -> None:
    schema = jsonschema.Draft202012Validator(json.loads(run_command(capsys, "schema", "checkpoint")[1]))
    schema.validate(json.loads(run_command(capsys, *run_dir, "status", "--json")[1]))
    document = saved(tmp_path / "run", fail_validate)
    schema.validate(document)
    for key in document:
        assert not schema.is_valid({name: value for name, value in document.items() if name != key}), key
    assert not schema.is_valid(document | {"version": 2})


def finish(found: Checkpoint) -> None:
    for record in found.states:
        record.status = "done"


def pend(found: Checkpoint) -> None:
    finish(found)
    found.forget("mount")


def age(found: Checkpoint) -> None:
    finish(found)
    found.boot_id = "1" * 36


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (finish, 0, "all states are done in this boot"),
        (fail_validate, 1, "validate failed in this boot"),
        (pend, 4, "4 of 6 states are done in this boot; the next one is mount"),
        (age, 4, "the checkpoint is of another boot (1111"),
    ],
)
def test_the_status_has_its_own_exit_codes(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    run_dir: list[str | Path],
    form: list[str],
    change: Callable[[Checkpoint], None],
    code: int,
    said: str,
) -> None:
    document = saved(tmp_path / "run", change)
    status, out, err = run_command(capsys, *run_dir, "status", *form)
    assert status == code
    assert form or said in out.splitlines()[-1]
    assert not form or json.loads(out) == document
    assert (said in err) if form and change is age else (err == "")


def test_a_state_that_failed_in_another_boot_does_not_count(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path]
) -> None:
    def change(found: Checkpoint) -> None:
        fail_validate(found)
        found.boot_id = "1" * 36

    saved(tmp_path / "run", change)
    assert run_command(capsys, *run_dir, "status")[0] == 4


@pytest.mark.parametrize(
    ("start", "said"),
    [("format", "examines them again"), ("mount", "continues with mount"), ("validate", "continues with validate")],
)
def test_reset_says_what_the_next_run_does(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path], start: str, said: str
) -> None:
    saved(tmp_path / "run", finish)
    status, out, err = run_command(capsys, *run_dir, "reset", "--from", start)
    assert (status, out) == (0, "")
    logged = json.loads(err)
    assert (logged["event"], said in logged["message"]) == ("checkpoint.reset", True)


def test_reset_forgets_all_states_or_later_ones(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path]
) -> None:
    saved(tmp_path / "run", finish)
    assert run_command(capsys, *run_dir, "reset", "--from", "format")[:2] == (0, "")
    records = json.loads((tmp_path / "run/checkpoint.json").read_text())["states"]
    assert [record["status"] for record in records] == ["done"] * 3 + ["pending"] * 3
    assert run_command(capsys, *run_dir, "reset")[0] == 0
    assert not (tmp_path / "run/checkpoint.json").exists()
    assert run_command(capsys, *run_dir, "reset")[0] == 0


def test_reports_a_damaged_checkpoint_and_reset_forgets_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoint.json").write_bytes(b"{\xff")
    status, out, err = run_command(capsys, *run_dir, "status")
    assert (status, out) == (1, "")
    assert "remove it with zosstorage reset" in err
    assert run_command(capsys, *run_dir, "reset", "--from", "mount")[0] == 0
    assert run_command(capsys, *run_dir, "status")[0] == 4


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["status"], ExitCode.DEFECT, "it is damaged: it is not a regular file but a directory"),
        (["reset"], ExitCode.CONFIG, "Is a directory"),
        (["reset", "--from", "mount"], ExitCode.CONFIG, "Is a directory"),
    ],
)
def test_refuses_a_directory_in_place_of_the_checkpoint(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    run_dir: list[str | Path],
    words: list[str],
    code: ExitCode,
    reason: str,
) -> None:
    (tmp_path / "run/checkpoint.json").mkdir(parents=True)
    status, _, err = run_command(capsys, *run_dir, *words)
    assert status == code
    assert f": {reason}" in err
    assert "move it away" in err


def test_a_fifo_in_place_of_the_checkpoint_is_damaged_and_can_be_reset(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path]
) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    os.mkfifo(tmp_path / "run/checkpoint.json")
    status, _, err = run_command(capsys, *run_dir, "status")
    assert status == 1
    assert "it is damaged: it is not a regular file but a FIFO" in err
    assert run_command(capsys, *run_dir, "reset")[0] == 0
    assert run_command(capsys, *run_dir, "status")[0] == 4


@pytest.mark.parametrize(("words", "subject"), [(["status"], "checkpoint"), (["reset"], "the run directory")])
def test_refuses_a_run_directory_that_is_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path], words: list[str], subject: str
) -> None:
    (tmp_path / "run").write_bytes(b"")
    status, _, err = run_command(capsys, *run_dir, *words)
    assert status == ExitCode.CONFIG
    assert subject in err
    assert "--run-dir" in err


@pytest.fixture
def nobody() -> Iterator[None]:
    """Run the test as an unprivileged user."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    assert os.geteuid() != 0
    yield
    os.seteuid(was)


@pytest.mark.parametrize("command", ["run", "step", "plan"])
def test_commands_that_use_disks_need_root(
    capsys: pytest.CaptureFixture[str], run_dir: list[str | Path], nobody: None, command: str
) -> None:
    status, out, err = run_command(capsys, *run_dir, command)
    assert (status, out) == (ExitCode.USAGE, "")
    assert "needs root" in err
    assert json.loads(err)["exit_code"] == 2


def test_status_of_a_checkpoint_of_root_needs_root(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, run_dir: list[str | Path], request: pytest.FixtureRequest
) -> None:
    saved(tmp_path / "run")
    (tmp_path / "run/checkpoint.json").chmod(0)
    request.getfixturevalue("nobody")
    status, out, err = run_command(capsys, *run_dir, "status")
    assert (status, out) == (ExitCode.USAGE, "")
    assert "run it as root" in err


def test_refuses_a_run_directory_without_write_permission(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tmp_path.chmod(0o555)
    request.getfixturevalue("nobody")
    status, _, err = run_command(capsys, "--cmdline", os.devnull, "--run-dir", tmp_path / "run", "reset")
    assert status == ExitCode.CONFIG
    assert "cannot be written: Permission denied" in err


def test_refuses_to_reset_while_the_lock_is_held(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_dir: list[str | Path]
) -> None:
    monkeypatch.setattr(lock, "_WAIT_SECONDS", 0.05)
    with lock.held(tmp_path / "run"):
        status, out, err = run_command(capsys, *run_dir, "reset")
    assert (status, out) == (ExitCode.LOCKED, "")
    assert "another zosstorage" in err


# Signals and defects.


def test_an_interrupt_is_reported_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_COMMANDS, "version", lambda _: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for a background job
    try:
        status, out, err = run_command(capsys, "--version")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (status, out) == (128 + signal.SIGINT, "")
    logged = json.loads(err)
    assert (logged["message"], logged["hint"]) == ("stopped by SIGINT", "run zosstorage again to continue")
    assert (logged["event"], logged["exit_code"]) == ("stopped", 128 + signal.SIGINT)


def defect(_: object) -> None:
    raise RuntimeError("surprise")


def test_a_defect_is_reported_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_COMMANDS, "version", defect)
    assert main(["--version"]) == ExitCode.DEFECT
    err = capsys.readouterr().err
    line = defect.__code__.co_firstlineno + 1
    logged = json.loads(err)
    expected = f"a defect of zosstorage {__version__} at test_main.py:{line}: RuntimeError: surprise"
    assert (logged["message"], logged["event"]) == (expected, "failed")
    assert logged["hint"] == "report a bug with this line; the command stopped here"


def test_the_debug_log_has_the_traceback_of_a_defect(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError) as caught:
        defect(None)
    with caplog.at_level(logging.DEBUG, "zosstorage"):
        assert failure.report(caught.value) == ExitCode.DEFECT
    assert caplog.records[0].exc_info
