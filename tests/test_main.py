"""Every command through the door: what it prints when all is well, its code and sentence when it is not."""

import json
import logging
import os
import re
import signal

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
def run_dir(tmp_path):
    return ["--cmdline", os.devnull, "--run-dir", tmp_path / "run"]


# What each command says when all is well, and when it is not.


def told(capsys, *words):
    """The exit code of a command in this process, and what it printed and told."""
    status = main([os.fspath(word) for word in words])
    out, err = capsys.readouterr()
    assert not [word for word in UGLY if word in err], err
    return status, out, err


def test_every_command_has_a_door():
    assert {*_COMMANDS} == {*cli.COMMANDS, "help", "version"}


def test_version_and_help(capsys):
    assert told(capsys, "--version") == (0, f"zosstorage {__version__}\n", "")
    assert told(capsys, "--help") == (0, cli.help_text(), "")


@pytest.mark.parametrize("document", ["config", "report", "checkpoint", "plan"])
def test_schemas(capsys, document):
    status, out, _ = told(capsys, "schema", document)
    assert status == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


def test_a_schema_of_a_document_that_is_written_asks_for_every_key(capsys):
    schema = json.loads(told(capsys, "schema", "checkpoint")[1])
    assert schema["required"] == ["version", "boot_id", "config_digest", "program", "digest", "states"]
    assert "exit_code" in schema["$defs"]["Failure"]["required"]
    assert "required" not in json.loads(told(capsys, "schema", "config")[1])


def test_graph(capsys):
    assert told(capsys, "graph")[1].startswith("---\ntitle: zosstorage\n---\nstateDiagram-v2\n")
    assert told(capsys, "graph", "--format", "dot")[1].startswith("digraph zosstorage {\n")


def test_config(capsys, tmp_path):
    (tmp_path / "good.yaml").write_text("version: 1\n")
    (tmp_path / "bad.yaml").write_text("versoin: 1\ntopology: 1\n")
    assert told(capsys, "config", "check", tmp_path / "good.yaml") == (0, f"{tmp_path}/good.yaml: valid\n", "")
    status, out, err = told(capsys, "config", "check", tmp_path / "bad.yaml")
    assert (status, out) == (3, "")
    assert re.match(r"zosstorage: 2 mistakes in the configuration\n  .*versoin.*\n  .*topology.*\nhint: ", err)


@pytest.mark.parametrize("words", [["config", "check"], ["config", "show", "--config"], ["run", "--cmdline"]])
def test_what_never_ends_or_begins_is_no_file(capsys, tmp_path, words):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", "/dev/full", tmp_path):
        given = [*words, path] if "--cmdline" in words else ["--cmdline", os.devnull, *words, path]
        status, out, err = told(capsys, *given)
        assert (status, out) == (3, "")
        assert f"{path}: " in err
        assert re.search(r"(it is not a regular file|Is a directory)\nhint: ", err)


def saved(folder, change=lambda _: None):
    """A checkpoint in a run directory."""
    folder.mkdir()
    found = Checkpoint(boot_id=checkpoint.boot_id(), config_digest="0" * 64)
    change(found)
    checkpoint.save(folder / "checkpoint.json", found)
    return json.loads((folder / "checkpoint.json").read_text())


def fail_validate(found):
    found.record("validate").status = "failed"
    found.record("validate").error = Failure("no", "do it", 5)


def test_status_of_nothing_and_of_a_failure(capsys, tmp_path, run_dir):
    status, out, _ = told(capsys, *run_dir, "status", "--json")
    assert (status, {record["status"] for record in json.loads(out)["states"]}) == (0, {"pending"})
    document = saved(tmp_path / "run", fail_validate)
    assert json.loads(told(capsys, *run_dir, "status", "--json")[1]) == document
    assert re.search(r"validate +failed .* no", told(capsys, *run_dir, "status")[1])


def test_what_status_prints_is_by_its_schema(capsys, tmp_path, run_dir):
    schema = jsonschema.Draft202012Validator(json.loads(told(capsys, "schema", "checkpoint")[1]))
    schema.validate(json.loads(told(capsys, *run_dir, "status", "--json")[1]))
    document = saved(tmp_path / "run", fail_validate)
    schema.validate(document)
    for key in document:
        assert not schema.is_valid({name: value for name, value in document.items() if name != key}), key
    assert not schema.is_valid(document | {"version": 2})


def test_reset_forgets_all_or_from_a_state_on(capsys, tmp_path, run_dir):
    def finish(found):
        for record in found.states:
            record.status = "done"

    saved(tmp_path / "run", finish)
    assert told(capsys, *run_dir, "reset", "--from", "format") == (0, "", "")
    records = json.loads((tmp_path / "run/checkpoint.json").read_text())["states"]
    assert [record["status"] for record in records] == ["done"] * 3 + ["pending"] * 3
    assert told(capsys, *run_dir, "reset")[0] == 0
    assert not (tmp_path / "run/checkpoint.json").exists()
    assert told(capsys, *run_dir, "reset")[0] == 0


def test_a_damaged_checkpoint_is_told_and_reset_forgets_it(capsys, tmp_path, run_dir):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/checkpoint.json").write_bytes(b"{\xff")
    status, out, err = told(capsys, *run_dir, "status")
    assert (status, out) == (1, "")
    assert "zosstorage reset forgets it" in err
    assert told(capsys, *run_dir, "reset", "--from", "mount")[0] == 0
    assert told(capsys, *run_dir, "status")[0] == 0


@pytest.mark.parametrize("words", [["status"], ["reset"], ["reset", "--from", "mount"]])
def test_a_folder_where_the_checkpoint_should_be(capsys, tmp_path, run_dir, words):
    (tmp_path / "run/checkpoint.json").mkdir(parents=True)
    status, _, err = told(capsys, *run_dir, *words)
    assert status == ExitCode.CONFIG
    assert "checkpoint.json is no checkpoint: Is a directory" in err
    assert "move away what stands there" in err


@pytest.mark.parametrize(("words", "subject"), [(["status"], "checkpoint"), (["reset"], "the run directory")])
def test_a_run_directory_that_is_a_file(capsys, tmp_path, run_dir, words, subject):
    (tmp_path / "run").write_bytes(b"")
    status, _, err = told(capsys, *run_dir, *words)
    assert status == ExitCode.CONFIG
    assert subject in err
    assert "--run-dir" in err


@pytest.fixture
def nobody():
    """This process without root's rights."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    assert os.geteuid() != 0
    yield
    os.seteuid(was)


@pytest.mark.parametrize("command", ["run", "step", "plan"])
def test_disks_need_root(capsys, run_dir, nobody, command):
    status, out, err = told(capsys, *run_dir, command)
    assert (status, out) == (ExitCode.USAGE, "")
    assert "needs root" in err
    assert json.loads(err)["exit_code"] == 2


def test_a_checkpoint_of_root_is_for_root(capsys, tmp_path, run_dir, request):
    saved(tmp_path / "run")
    (tmp_path / "run/checkpoint.json").chmod(0)
    request.getfixturevalue("nobody")
    status, out, err = told(capsys, *run_dir, "status")
    assert (status, out) == (ExitCode.USAGE, "")
    assert "run it as root" in err


def test_a_run_directory_that_may_not_be_written(capsys, tmp_path, request):
    tmp_path.chmod(0o555)
    request.getfixturevalue("nobody")
    status, _, err = told(capsys, "--cmdline", os.devnull, "--run-dir", tmp_path / "run", "reset")
    assert status == ExitCode.CONFIG
    assert "cannot be written: Permission denied" in err


def test_one_at_a_time(capsys, tmp_path, run_dir):
    with lock.held(tmp_path / "run"):
        status, out, err = told(capsys, *run_dir, "reset")
    assert (status, out) == (ExitCode.LOCKED, "")
    assert "another zosstorage" in err


# Signals and defects.


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interrupt_ends_in_a_sentence(capsys, monkeypatch, number):
    monkeypatch.setitem(_COMMANDS, "version", lambda _: signal.raise_signal(number))
    assert told(capsys, "--version") == (
        128 + number,
        "",
        "zosstorage: stopped by SIGINT\nhint: run again: it goes on from where the disks are\n",
    )


def defect(_):
    raise RuntimeError("surprise")


def test_a_defect_is_told_in_one_line(capsys, monkeypatch):
    monkeypatch.setitem(_COMMANDS, "version", defect)
    assert main(["--version"]) == ExitCode.DEFECT
    err = capsys.readouterr().err
    line = defect.__code__.co_firstlineno + 1
    first = f"zosstorage: a defect of zosstorage {__version__} at test_main.py:{line}: RuntimeError: surprise\n"
    assert err == f"{first}hint: please report it with this line; nothing more was done\n"


def test_the_log_at_level_debug_has_the_rest_of_a_defect(caplog):
    with pytest.raises(RuntimeError) as caught:
        defect(None)
    with caplog.at_level(logging.DEBUG, "zosstorage"):
        assert failure.ended(caught.value) == ExitCode.DEFECT
    assert caplog.records[0].exc_info
