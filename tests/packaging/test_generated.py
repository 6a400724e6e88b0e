"""The files that packaging/shared generates are up to date, and the man page is one."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import generate
import manpage
import tables
from zosstorage import cli
from zosstorage.config import show
from zosstorage.config.schema import Config
from zosstorage.flags import FLAGS

TOP = Path(__file__).parents[2]
PAGE = TOP / "docs/zosstorage.8"


@pytest.mark.parametrize("path", generate.files(), ids=str)
def test_a_generated_file_is_up_to_date(path: Path, request: pytest.FixtureRequest) -> None:
    expected = generate.files()[path]
    if request.config.getoption("--regenerate") and (TOP / path).read_text("utf-8") != expected:
        (TOP / path).write_text(expected, "utf-8")
        pytest.fail(f"{path} was regenerated: read the diff, then run without --regenerate", pytrace=False)
    assert (TOP / path).read_text("utf-8") == expected


# The man page.


def rendered() -> str:
    """The page as a terminal of 200 columns shows it, without emphasis."""
    argv: list[str | Path] = ["mandoc", "-T", "utf8", "-O", "width=200", PAGE]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return re.sub(".\x08", "", done.stdout)


def test_the_man_page_has_no_fault_that_mandoc_finds() -> None:
    done = subprocess.run(["mandoc", "-T", "lint", PAGE], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("title", cli.help_sections())
def test_the_man_page_has_every_row_of_the_help(title: str) -> None:
    squeezed = " ".join(rendered().split())
    for left, meaning in cli.help_sections()[title]:
        shown = left.replace("/--", ", --").replace(" …", "…") if title == "Flags" else left
        assert f"{shown} {meaning}" in squeezed


def leaves(document: dict[str, Any], prefix: str = "") -> list[str]:
    """The path of each key of a configuration."""
    found = []
    for name, value in document.items():
        found += leaves(value, f"{prefix}{name}.") if isinstance(value, dict) and value else [prefix + name]
    return found


def test_the_man_page_has_every_key_and_every_kernel_parameter() -> None:
    page = rendered()
    keys = leaves(show.as_file(Config()))
    assert len(keys) > 20
    assert [key for key in keys if not re.search(rf"^ +{re.escape(key)} \(default: ", page, re.MULTILINE)] == []
    assert [name for name in FLAGS if f"zosstorage.{name}" not in page] == []


def test_a_line_of_the_man_page_that_begins_with_a_dot_is_text() -> None:
    assert manpage._prose(".ci holds a script. 'quoted") == ["\\&.ci holds a script. 'quoted"]
    assert manpage._prose(r"a\b-c `~^`") == [r"a\eb\-c \fB\(ti\(ha\fP"]


# The tables that man page and completions are made from.


def test_the_tables_know_the_values_of_flags_and_the_operands_of_commands() -> None:
    flags = {flag.names[0]: flag for flag in tables.flags()}
    assert flags["--topology"].choices == FLAGS["topology"].choices
    assert flags["--until"].choices == cli.STATES
    assert flags["--format"].choices == cli.FORMATS
    assert flags["--fstab"].names == ("--fstab", "--no-fstab")
    assert (flags["--run-dir"].is_folder, flags["--report"].is_path, flags["--set"].is_path) == (True, True, False)
    assert [name for name, flag in flags.items() if flag.is_repeatable] == ["--include", "--exclude", "--set"]
    commands = {command.name: command for command in tables.commands()}
    assert commands["schema"].words == cli.DOCUMENTS
    assert (commands["config"].words, commands["config"].before_file) == (("show", "check"), ("check",))
    assert commands["graph"].words == commands["step"].words == ()
