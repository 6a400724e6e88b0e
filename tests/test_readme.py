"""README and docs, held against the program. `--regenerate` writes the tables and the diagram anew."""

import json
import re
from pathlib import Path

import pytest
from program import call

from zosstorage import cli, topologies
from zosstorage.errors import ExitCode
from zosstorage.facts import STATES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def zosstorage(*argv):
    done = call(*argv)
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme():
    return (ROOT / "README.md").read_text("utf-8")


def section(title):
    """What stands in the README below a heading, up to the next one of its depth or a higher one."""
    depth, _, rest = re.search(rf"^(#+) ({re.escape(title)})\n(?s:(.*))", readme(), re.MULTILINE).groups()
    return re.split(rf"^#{{1,{len(depth)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def fences(text, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def held(request):
    """Hold the text between two markers of a page against what it must be, or write it."""

    def check(page, name, expected):
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name.split(':')[0]} -->"
        text = page.read_text("utf-8")
        assert text.count(begin) == 1, f"{page.name} has no marker {begin.strip()}"
        before, _, rest = text.partition(begin)
        found, _, after = rest.partition(end)
        if request.config.getoption("--regenerate") and found != expected:
            page.write_text(f"{before}{begin}{expected}{end}{after}", "utf-8")
            pytest.fail(f"{page.name} was written anew: read its diff, then run without --regenerate", pytrace=False)
        assert found == expected

    return check


# README and --help.


def rendered(title):
    rows = [(f"`{left}`", told) for left, told in cli.help_sections()[title]]
    lines = ["| {} | {} |".format(*(cell.replace("|", r"\|") for cell in row)) for row in rows]
    return "\n".join(["\n| | |", "| --- | --- |", *lines]) + "\n\n"


@pytest.mark.parametrize("title", cli.help_sections())
def test_the_readme_has_the_tables_of_the_help(held, title):
    held(ROOT / "README.md", f"help: {title}", rendered(title))


def test_the_help_that_is_printed_has_every_row():
    printed = zosstorage("--help")
    assert printed == cli.help_text()
    squeezed = " ".join(printed.split())
    for rows in cli.help_sections().values():
        assert all(f"{left} {told}" in squeezed for left, told in rows)


def test_every_exit_code_is_told():
    assert {int(code) for code, _ in cli.help_sections()["Exit codes"]} == set(map(int, ExitCode))


# The README's own claims.


def test_the_states_are_those_of_the_machine():
    named = re.findall(r"^\| (\w+) \| .* \| (?:yes|no) \|$", readme(), re.MULTILINE)
    assert tuple(named) == cli.STATES == STATES


def test_the_topologies_are_those_of_the_configuration():
    named = re.findall(r"^\| `(\w+)` \|", section("Topologies"), re.MULTILINE)
    assert ("auto", *named) == topologies.modes()


def test_the_example_configuration_is_valid(tmp_path):
    (example,) = fences(section("Configuration"), "yaml")
    path = tmp_path / "config.yaml"
    path.write_text(example, "utf-8")
    zosstorage("config", "check", str(path))
    shown = zosstorage("--cmdline", "/dev/null", "--config", str(path), "config", "show", "--origins")
    assert "bcachefs_2copy" in shown


def test_the_example_of_a_kernel_command_line_is_understood(tmp_path):
    (example,) = fences(section("Configuration"), "text")
    path = tmp_path / "cmdline"
    path.write_text(example, "utf-8")
    shown = zosstorage("--cmdline", str(path), "config", "show", "--origins")
    assert shown.count("kernel command line") == len(example.split())


def test_ci_calls_the_commands_of_the_readme():
    script = (ROOT / ".ci/run").read_text("utf-8")
    demo, tests = fences(section("Try it"), "sh")
    for command in (demo, tests):
        assert command.strip().rpartition(" && ")[2] in script.splitlines()


def test_every_package_has_the_form_that_the_commands_expect():
    for name in ("demo", "tests", "vm-tests", "packaging/static"):
        lines = (ROOT / name / "packages").read_text("utf-8").splitlines()
        assert all(re.fullmatch(r"#.*|[a-z0-9.+-]+: [\w. /-]+", line) for line in lines)
        assert lines


# All pages.


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_repository_that_is_named_exists(page):
    named = re.findall(
        r"`((?:\.ci|demo|docs|states|tests|zosstorage|packaging|vm-tests|benchmarks)/[\w./-]+)`",
        page.read_text("utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_diagram_is_the_one_that_graph_draws(held):
    held(ROOT / "docs/ARCHITECTURE.md", "graph", f"\n```mermaid\n{zosstorage('graph')}```\n\n")


def leaves(schema, document, path=""):
    """Every field of a document as `disks[].path`, by its JSON Schema."""
    while "$ref" in schema:
        schema = document["$defs"][schema["$ref"].rpartition("/")[2]]
    if "items" in schema:
        yield from leaves(schema["items"], document, f"{path}[]")
    elif "properties" in schema:
        for name, below in schema["properties"].items():
            yield from leaves(below, document, f"{path}.{name}".removeprefix("."))
    else:
        yield path


def test_the_page_of_the_report_has_every_field_and_no_other():
    schema = json.loads(zosstorage("schema", "report"))
    text = (ROOT / "docs/REPORT.md").read_text("utf-8")
    assert re.findall(r"^\| `([\w.\[\]]+)` \|", text, re.MULTILINE) == list(leaves(schema, schema))
