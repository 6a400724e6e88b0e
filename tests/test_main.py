"""The door as a shell sees it: exit codes and sentences, whatever standard streams, locale and files are like."""

import json
import logging
import os
import re
import signal
import subprocess
import sys

import jsonschema
import pytest

from zosstorage import __version__, checkpoint, cli, failure, lock, streams
from zosstorage.__main__ import _COMMANDS, main
from zosstorage.checkpoint import Checkpoint, Failure
from zosstorage.errors import ExitCode

PROGRAM = [sys.executable, "-m", "zosstorage"]
# What shells and init systems do to standard streams, as redirections of sh.
CLOSED = "<&- >&- 2>&-"
UGLY = ("Traceback", "Exception ignored", "a defect of", "Error:", "Errno", "Logging error")


def started(
    *words, redirect="", program=PROGRAM, unbuffered=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **env
):
    """The program under `sh` with redirections; its output is checked for what no operator should see."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    environment |= {"PYTHONUNBUFFERED": "1"} if unbuffered else {}
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *program, *map(os.fspath, words)],
        env=environment | env,
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
def unread():
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.fixture
def run_dir(tmp_path):
    return ["--cmdline", os.devnull, "--run-dir", tmp_path / "run"]


# Streams that are closed, full, or left by their reader.

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
    (["--cmdline", os.devnull, "--set", "x=1", "config", "show"], 3, "is not known"),
    (["--cmdline", "/nonexistent", "run"], 3, "cannot read /nonexistent"),
]
UNBUFFERED = pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_what_is_printed_into_a_full_file_ends_in_a_sentence(words):
    done = started(*words, redirect=">/dev/full")
    assert done.returncode == ExitCode.DEFECT
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "free the space, or send stdout elsewhere" in done.stderr


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_a_reader_that_went_away_is_no_failure(words, unread):
    done = started(*words, stdout=unread)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", CLOSED, "2>/dev/full"])
def test_streams_that_are_not_needed_may_be_closed(redirect):
    done = started("--version", redirect=redirect)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (b"" if ">&-" in redirect.split() else f"zosstorage {__version__}\n".encode())


@UNBUFFERED
@pytest.mark.parametrize(
    ("redirect", "status"),
    [(">/dev/full 2>/dev/full", 1), (">/dev/full 2>&-", 1), (">/dev/full", 1), ("1</dev/null", 1), (">&-", 0)],
)
def test_the_code_says_what_no_stream_can(redirect, status, unbuffered):
    assert started("--help", redirect=redirect, unbuffered=unbuffered).returncode == status


@pytest.mark.parametrize("redirect", ["", "2>&-", "2>/dev/full", "2</dev/null", ">&-", CLOSED])
@pytest.mark.parametrize(("words", "status", "told"), FAILS, ids=[words[-1] for words, *_ in FAILS])
def test_a_failure_keeps_its_code(words, status, told, redirect):
    done = started(*words, redirect=redirect)
    assert done.returncode == status
    silent = "2" in redirect
    assert (done.stderr == "") if silent else (told in done.stderr and "\nhint: " in done.stderr)


@UNBUFFERED
@pytest.mark.parametrize(("words", "status", "told"), FAILS, ids=[words[-1] for words, *_ in FAILS])
def test_a_failure_that_nobody_reads_keeps_its_code(words, status, told, unread, unbuffered):
    assert started(*words, stderr=unread, unbuffered=unbuffered).returncode == status


@pytest.mark.parametrize("stderr", ["there", "unread"])
def test_a_log_file_that_is_full_is_told_once_and_costs_no_more(tmp_path, run_dir, unread, stderr):
    (tmp_path / "run/checkpoint.json").mkdir(parents=True)
    done = started(
        *run_dir, "--log-file", "/dev/full", "status", stderr=unread if stderr == "unread" else subprocess.PIPE
    )
    assert done.returncode == ExitCode.CONFIG
    assert done.stderr.count("the log file cannot be written") == (0 if stderr == "unread" else 1)
    assert done.stderr.count("\n") == (0 if stderr == "unread" else 2)


@pytest.mark.parametrize("redirect", ["<&-", ">&-", "2>&-", CLOSED, ""])
def test_no_file_of_ours_becomes_a_standard_stream(tmp_path, redirect):
    code = (
        "import os, sys; from zosstorage import streams; streams.open_closed(); handle = os.open('/', os.O_RDONLY);"
        "open(sys.argv[1], 'w').write(f'{handle} {[os.get_inheritable(each) for each in range(3)]}')"
    )
    done = started(tmp_path / "told", program=[sys.executable, "-c", code], redirect=redirect)
    assert done.returncode == 0
    handle, inherited = (tmp_path / "told").read_text().split(" ", 1)
    assert int(handle) > 2
    assert inherited == "[True, True, True]"


def test_without_dev_null_there_is_still_nowhere(monkeypatch):
    monkeypatch.setattr(os, "devnull", "/nonexistent/null")
    handle = streams._nowhere()
    assert os.write(handle, b"x") == 1
    assert os.read(handle, 1) == b""
    os.close(handle)


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
def test_what_a_locale_cannot_write_is_escaped(tmp_path, locale, shown):
    path = tmp_path / "config.yaml"
    path.write_text("report: {path: /ä…}\n", "utf-8")
    done = started("--cmdline", os.devnull, "--config", path, "config", "show", **locale)
    assert (done.returncode, done.stderr) == (0, "")
    text = done.stdout.decode(locale.get("PYTHONIOENCODING", "utf-8"))
    assert f"\n  path: {shown}\n" in text


# Python makes UTF-8 of the locale C by itself, and of no other; this is as any other one.
ASCII = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_a_path_that_the_locale_cannot_name_is_told_before_anything_is_done(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("report: {path: /ä}\n", "utf-8")
    done = started("--cmdline", os.devnull, "--config", path, "run", **ASCII)
    assert done.returncode == ExitCode.CONFIG
    assert r"report.path: found the text '/\xe4'; allowed: a path of the characters" in done.stderr
    assert "LC_ALL=C.UTF-8" in done.stderr


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, ASCII], ids=["own", "c", "ascii"])
def test_words_that_are_no_text_are_told_by_their_bytes(locale):
    for words in (["config", "check", b"/no\xff"], ["--cmdline", b"/no\xff", "run"], [b"no\xff"]):
        done = started(*words, **locale)
        assert done.returncode in (ExitCode.USAGE, ExitCode.CONFIG)
        assert r"no\xff" in done.stderr


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


@pytest.mark.parametrize("document", ["config", "report", "checkpoint"])
def test_schemas(capsys, document):
    status, out, _ = told(capsys, "schema", document)
    assert status == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


def test_a_schema_of_a_document_that_is_written_asks_for_every_key(capsys):
    schema = json.loads(told(capsys, "schema", "checkpoint")[1])
    assert schema["required"] == ["version", "boot_id", "config_digest", "states"]
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
    """This process without root's rights; what it imports late is imported before."""
    import pythonjsonlogger.json  # noqa: F401  the log's

    from zosstorage import logs, tools  # noqa: F401
    from zosstorage.config import build, sources  # noqa: F401

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
    monkeypatch.setitem(_COMMANDS, "version", lambda _: os.kill(os.getpid(), number))
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
