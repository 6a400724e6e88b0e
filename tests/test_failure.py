"""What stays after a run that failed: failure.json and a stale report; and what the next success removes."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from attrs import evolve
from program import call
from support import discovery, disk, foreign

from zosstorage import __version__, checkpoint, commands
from zosstorage.config import load
from zosstorage.errors import (
    ConfigError,
    Finding,
    InterruptedRunError,
    LockedError,
    NoDiskError,
    NotEmptyError,
    ToolError,
    UnimplementedError,
    UsageError,
)
from zosstorage.flags import CliOptions, Setting
from zosstorage.machine import Provisioner
from zosstorage.model import Rejected
from zosstorage.output import failure
from zosstorage.planning.discovery import require
from zosstorage.planning.refusal import combined, refusal

A, B = disk("sda"), disk("sdb")
SCHEMA = json.loads(call("schema", "failure").stdout)


def read(folder: Path) -> dict[str, Any]:
    """Read failure.json, which must follow its schema."""
    document: dict[str, Any] = json.loads((folder / "failure.json").read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return document


def test_has_the_error_and_the_evidence_with_serials(tmp_path: Path) -> None:
    error = combined([refusal([foreign(A), foreign(B)], 2), ToolError("no mkfs")])
    before = os.umask(0o077)
    try:
        failure.record(error, str(tmp_path / "run"), state="validate", discovery=discovery(A))
    finally:
        os.umask(before)
    found = read(tmp_path / "run")
    assert (found["version"], found["exit_code"], found["state"], found["program"]) == (1, 5, "validate", __version__)
    assert found["boot_id"] == checkpoint.boot_id()
    assert found["error"] == error.message
    assert found["hint"] == error.hint
    expected = {"check": "wipefs", "offset": 1080, "found": "a signature of ext4"}
    assert found["evidence"] == [
        {"disk": "/dev/sda", "serial": "serial-sda", **expected},
        {"disk": "/dev/sdb", "serial": "", **expected},
    ]
    assert stat.S_IMODE((tmp_path / "run/failure.json").stat().st_mode) == 0o644
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["failure.json"]


def test_the_evidence_of_no_disk_is_why_each_was_rejected(tmp_path: Path) -> None:
    found = evolve(discovery(), rejected=(Rejected(A, "read-only"),))
    with pytest.raises(NoDiskError) as caught:
        require(found, load.usable(CliOptions()))
    failure.record(caught.value, str(tmp_path))
    one = {"disk": "/dev/sda", "serial": "serial-sda", "check": "eligible", "offset": None, "found": "read-only"}
    assert read(tmp_path)["evidence"] == [one]


@pytest.mark.parametrize("error", [UsageError("x"), LockedError("x"), UnimplementedError("x")])
def test_says_nothing_where_nothing_was_tried(tmp_path: Path, error: Exception) -> None:
    failure.record(error, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "code"), [(InterruptedRunError("SIGTERM", 15), 143), (RuntimeError("x"), 1), (ConfigError("x"), 3)]
)
def test_has_signals_and_defects(tmp_path: Path, error: BaseException, code: int) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    failure.record(caught.value, str(tmp_path))
    assert read(tmp_path)["exit_code"] == code


def test_lists_every_mistake_of_a_configuration(tmp_path: Path) -> None:
    failure.record(ConfigError("2 mistakes", problems=("one", "two")), str(tmp_path))
    assert read(tmp_path)["error"] == "2 mistakes\none\ntwo"


def test_is_not_written_where_others_can_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    failure.record(ToolError("x"), str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    failure.record(ToolError("x"), "/proc/none")  # cannot be written: no second error


@pytest.mark.parametrize("command", ["run", "step"])
@pytest.mark.parametrize("wrong", ["--set=nokey=1", "--set=logging.level=loud", "--config=/nowhere"])
def test_exit_3_leaves_word_in_the_run_directory(tmp_path: Path, command: str, wrong: str) -> None:
    run_dir = tmp_path / "run"
    done = call("--cmdline", os.devnull, wrong, "--run-dir", run_dir, "--log-file", tmp_path / "log", command)
    assert done.returncode == 3
    found = read(run_dir)
    assert (found["exit_code"], found["state"], found["evidence"]) == (3, None, [])
    for line in (done.stderr, (tmp_path / "log").read_text()):
        logged = json.loads(line)
        assert (logged["event"], logged["exit_code"]) == ("refused", 3)
        assert found["error"].startswith(logged["message"])


def test_commands_that_are_no_run_leave_no_word(tmp_path: Path) -> None:
    for command in ("plan", "status", "reset"):
        done = call("--cmdline", os.devnull, "--set", "nokey=1", "--run-dir", tmp_path / "run", command)
        assert done.returncode == 3
    assert not (tmp_path / "run").exists()


@pytest.fixture
def loaded(tmp_path: Path) -> load.Loaded:
    settings = (Setting("run_dir", str(tmp_path / "run")), Setting("report", str(tmp_path / "state.json")))
    (tmp_path / "empty").touch()
    return load.load(CliOptions(settings=settings, cmdline=str(tmp_path / "empty")))


def fail(provisioner: Provisioner) -> None:
    provisioner.entered = "mount"
    raise NotEmptyError("no", evidence=(Finding("/dev/sda", "mount", None, "nothing"),))


def test_a_failed_run_makes_the_report_stale_and_the_next_success_clears_up(
    tmp_path: Path, loaded: load.Loaded
) -> None:
    (tmp_path / "state.json").write_text("old")
    with pytest.raises(NotEmptyError):
        commands._work(loaded, fail)
    assert not (tmp_path / "state.json").exists()
    assert (tmp_path / "state.json.stale").read_text() == "old"
    assert (read(tmp_path / "run")["state"], read(tmp_path / "run")["exit_code"]) == ("mount", 5)
    with pytest.raises(NotEmptyError):  # a second failure keeps the report that there was
        commands._work(loaded, fail)
    assert (tmp_path / "state.json.stale").read_text() == "old"
    commands._work(loaded, lambda _: (tmp_path / "state.json").write_text("new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "run", "state.json"]
    assert list((tmp_path / "run").iterdir()) == []


def test_a_step_that_writes_no_report_keeps_the_stale_one(tmp_path: Path, loaded: load.Loaded) -> None:
    (tmp_path / "state.json.stale").write_text("old")
    commands._work(loaded, lambda _: None)
    assert (tmp_path / "state.json.stale").exists()


def test_a_report_that_is_no_file_stays(tmp_path: Path) -> None:
    failure.retire(os.devnull)
    (tmp_path / "state.json").mkdir()
    failure.retire(str(tmp_path / "state.json"))
    assert Path(os.devnull).exists()
    assert (tmp_path / "state.json").exists()
