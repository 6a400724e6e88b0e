"""What a person at a terminal sees, on real pseudo-terminals."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from program import call
from terminal import at_terminal

from zosstorage import cli


@pytest.mark.parametrize("argv", [[], ["--topology", "single"]])
def test_a_bare_call_at_a_terminal_prints_the_help_and_does_nothing(argv: list[str], tmp_path: Path) -> None:
    code, shown = at_terminal(*argv, "--cmdline", os.devnull, "--run-dir", tmp_path / "run")
    assert code == 2
    assert shown.startswith(cli.help_text())
    assert "zosstorage plan" in shown[len(cli.help_text()) :]
    assert "zosstorage run" in shown[len(cli.help_text()) :]
    assert not (tmp_path / "run").exists()


def test_the_help_of_a_bare_call_goes_to_stderr_whatever_the_streams_are(tmp_path: Path) -> None:
    with (tmp_path / "err").open("w") as err:
        assert at_terminal("--cmdline", os.devnull, stderr=err, stdin=subprocess.DEVNULL) == (2, "")
    assert (tmp_path / "err").read_text().startswith(cli.help_text())


def test_a_bare_call_without_a_terminal_is_run(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the run directory belongs")
    argv = ["--cmdline", os.devnull, "--run-dir", tmp_path / "run"]
    bare, named = (call(*argv, *words, start_new_session=True) for words in ([], ["run"]))
    assert (bare.returncode, bare.stdout) == (named.returncode, "")
    assert "Usage" not in bare.stderr


@pytest.mark.parametrize("form", ["auto", "text", "json"])
def test_the_log_is_text_on_a_terminal_and_json_lines_elsewhere(form: str, tmp_path: Path) -> None:
    argv = ["--cmdline", os.devnull, "--log-format", form, "--log-file", tmp_path / "log"]
    argv += ["--run-dir", "/proc/none", "run"]
    code, shown = at_terminal(*argv)
    assert code in (2, 3)
    assert shown.startswith("{") is (form == "json")
    assert call(*argv, start_new_session=True).stderr.startswith("{") is (form != "text")
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) >= 2
    assert all(line.startswith("{") is (form != "text") for line in lines)
    assert form == "text" or all(json.loads(line) for line in lines)


@pytest.mark.parametrize(
    ("settings", "coloured"),
    [({"TERM": "xterm"}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_only_on_a_terminal_that_shows_it(settings: dict[str, str], coloured: bool, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | settings
    argv = ["--cmdline", os.devnull, "--run-dir", tmp_path, "status"]
    code, shown = at_terminal(*argv, env=environment)
    assert code == 4
    assert ("\x1b[" in shown) is coloured
    assert "\x1b[" not in call(*argv, env=environment).stdout
