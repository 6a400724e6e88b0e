"""README and docs, compared with the program. `--regenerate` writes the generated tables and the diagram again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from program import call

from zosstorage import cli, topologies
from zosstorage.errors import ExitCode
from zosstorage.facts import STATES

ROOT = Path(__file__).parent.parent
PAGES = [path for folder in (".", "docs", "examples") for path in sorted((ROOT / folder).glob("*.md"))]
Held = Callable[[Path, str, str], None]


def zosstorage(*argv: str) -> str:
    """Run the program; return its standard output."""
    done = call(*argv)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def readme() -> str:
    return (ROOT / "README.md").read_text("utf-8")


def section(title: str) -> str:
    """The text of the README below a heading, up to the next heading of its level or a higher one."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(?s:(.*))", readme(), re.MULTILINE)
    assert found, f"README.md has no heading {title}"
    return re.split(rf"^#{{1,{len(found[1])}}} ", found[2], maxsplit=1, flags=re.MULTILINE)[0]


def fences(text: str, kind: str) -> list[str]:
    """The contents of the fenced blocks of one language, also of those in a list."""
    return [found[1] for found in re.findall(rf"^( *)```{kind}\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Held:
    """Compare the text between two markers of a page with the expected text, or write it with `--regenerate`."""

    def check(page: Path, name: str, expected: str) -> None:
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name.split(':', maxsplit=1)[0]} -->"
        text = page.read_text("utf-8")
        assert text.count(begin) == 1, f"{page.name} has no marker {begin.strip()}"
        before, _, rest = text.partition(begin)
        found, _, after = rest.partition(end)
        if request.config.getoption("--regenerate") and found != expected:
            page.write_text(f"{before}{begin}{expected}{end}{after}", "utf-8")
            pytest.fail(f"{page.name} was regenerated: read the diff, then run without --regenerate", pytrace=False)
        assert found == expected

    return check


# README and --help.


def rendered(title: str) -> str:
    """A section of the help as a table."""
    rows = [(f"`{left}`", meaning) for left, meaning in cli.help_sections()[title]]
    lines = ["| {} | {} |".format(*(cell.replace("|", r"\|") for cell in row)) for row in rows]
    return "\n".join(["\n| | |", "| --- | --- |", *lines]) + "\n\n"


@pytest.mark.parametrize("title", cli.help_sections())
def test_readme_has_the_tables_of_the_help(held: Held, title: str) -> None:
    held(ROOT / "README.md", f"help: {title}", rendered(title))


def test_printed_help_has_every_row() -> None:
    printed = zosstorage("--help")
    assert printed == cli.help_text()
    squeezed = " ".join(printed.split())
    for rows in cli.help_sections().values():
        assert all(f"{left} {meaning}" in squeezed for left, meaning in rows)


def test_help_has_every_exit_code() -> None:
    assert {int(code) for code, _ in cli.help_sections()["Exit codes"]} == set(map(int, ExitCode))


# Claims of the README.


def test_readme_names_the_states_of_the_machine() -> None:
    named = re.findall(r"^\| (\w+) \| .* \| (?:yes|no) \|$", readme(), re.MULTILINE)
    assert tuple(named) == cli.STATES == STATES


def test_readme_names_the_topologies_of_the_configuration() -> None:
    named = re.findall(r"^\| `(\w+)` \|", section("Topologies"), re.MULTILINE)
    assert ("auto", *named) == topologies.modes()


def test_example_configuration_is_valid(tmp_path: Path) -> None:
    (example,) = fences(section("Configuration"), "yaml")
    path = tmp_path / "config.yaml"
    path.write_text(example, "utf-8")
    zosstorage("config", "check", str(path))
    shown = zosstorage("--cmdline", "/dev/null", "--config", str(path), "config", "show", "--origins")
    assert "bcachefs_2copy" in shown


def test_example_kernel_command_line_is_accepted(tmp_path: Path) -> None:
    (example,) = fences(section("Configuration"), "text")
    path = tmp_path / "cmdline"
    path.write_text(example, "utf-8")
    shown = zosstorage("--cmdline", str(path), "config", "show", "--origins")
    assert shown.count("kernel command line") == len(example.split())


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    demo, tests = fences(section("Try it"), "sh")
    for command in (demo, tests):
        assert command.strip().rpartition(" && ")[2] in script.splitlines()


@pytest.mark.parametrize("name", ["demo", "tests", "vm-tests", "benchmarks", "packaging/static"])
def test_package_lists_have_the_form_that_the_commands_expect(name: str) -> None:
    lines = (ROOT / name / "packages").read_text("utf-8").splitlines()
    assert all(re.fullmatch(r"#.*|[a-z0-9.+-]+: [\w. /-]+", line) for line in lines)
    assert lines


# All pages.


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that a page has: its headings in lower case, without punctuation, with dashes for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", page.read_text("utf-8")):
        path = page.parent / target if target else page
        assert path.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page.name} links to {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_files_of_the_repository_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:\.ci|demo|docs|examples|schemas|states|tests|zosstorage|packaging|vm-tests|benchmarks)/[\w./-]+)`",
        page.read_text("utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_shell_commands_parse_and_name_only_sessions_that_exist(page: Path) -> None:
    sessions = re.findall(r"^@nox\.session\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE)
    for command in fences(page.read_text("utf-8"), "sh"):
        done = subprocess.run(["/bin/sh", "-n"], input=command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        for names in re.findall(r"nox -s ((?:\w+ ?)+)", command):
            assert set(names.split()) <= set(sessions)


PICTURES = [
    ("README.md", "graph"),
    ("README.md", "layout: dual_independent"),
    ("docs/ARCHITECTURE.md", "graph"),
    *(("docs/ARCHITECTURE.md", f"layout: {name}") for name in topologies.TOPOLOGIES),
]


@pytest.mark.parametrize(("page", "name"), PICTURES)
def test_a_picture_is_the_one_that_graph_draws(held: Held, page: str, name: str) -> None:
    words = ["graph", *(["--layout", name.partition(": ")[2]] if ":" in name else [])]
    held(ROOT / page, name, f"\n```mermaid\n{zosstorage(*words)}```\n\n")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_there_is_no_picture_but_those(page: Path) -> None:
    held_there = [name for where, name in PICTURES if ROOT / where == page]
    assert len(fences(page.read_text("utf-8"), "mermaid")) == len(held_there)


def leaves(schema: dict[str, Any], document: dict[str, Any], path: str = "") -> Iterator[str]:
    """Each field of a document, such as `disks[].path`, from its JSON Schema."""
    while "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rpartition("/")[2]]
    if "items" in schema:
        yield from leaves(schema["items"], document, f"{path}[]")
    elif "properties" in schema:
        for name, below in schema["properties"].items():
            yield from leaves(below, document, f"{path}.{name}".removeprefix("."))
    else:
        yield path


def test_report_page_has_exactly_the_fields_of_the_schema() -> None:
    schema = json.loads(zosstorage("schema", "report"))
    text = (ROOT / "docs/REPORT.md").read_text("utf-8")
    assert re.findall(r"^\| `([\w.\[\]]+)` \|", text, re.MULTILINE) == list(leaves(schema, schema))
