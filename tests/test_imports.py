"""The rooms of docs/ARCHITECTURE.md: imports run down, and some libraries stay in one room."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/ARCHITECTURE.md").read_text("utf-8")
FILES = sorted([*(ROOT / "zosstorage").rglob("*.py"), *(ROOT / "states").rglob("*.py")])


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def table(head):
    """The rows of the table whose head begins with a word: first cell → names in the second."""
    text = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines()[2:]]
    return {name.strip(): re.findall(r"`([\w.]+)`", cell) for name, cell in rows}


ROOMS = table("room")
LIBRARIES = table("library")


def imported(path):
    """The names of all modules that a file imports, ours with their last part."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def place(module):
    """The number of a module's room, counted from the top, and the entry of the table that it belongs to."""
    found = [
        (number, entry)
        for number, entries in enumerate(ROOMS.values())
        for entry in entries
        if f"{module}.".startswith(f"{entry}.")
    ]
    assert len(found) == 1, f"{module} must have exactly one room in docs/ARCHITECTURE.md, it has {len(found)}"
    return found[0]


def test_the_table_was_read_and_names_only_what_exists():
    assert len(ROOMS) == 14
    entries = [entry for room in ROOMS.values() for entry in room]
    assert len(entries) > 20
    assert set(entries) <= set(MODULES)


@pytest.mark.parametrize("module", [name for name in MODULES if name != "zosstorage"])
def test_no_import_runs_up_or_sideways(module):
    here, entry = place(module)
    for name in set(imported(MODULES[module])) & set(MODULES) - {"zosstorage"}:
        there, other = place(name)
        assert there > here or other == entry, f"{module} imports {name}"


def test_the_package_itself_imports_nothing_of_ours():
    assert not set(imported(MODULES["zosstorage"])) & set(MODULES)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("states")])
def test_the_engine_does_not_know_the_states(module):
    known = [name for name in imported(MODULES[module]) if name.partition(".")[0] == "states"]
    assert (not known) is (module != "zosstorage.__main__")


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("states.")])
def test_a_state_does_not_know_another(module):
    assert [name for name in imported(MODULES[module]) if name.startswith("states")] == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_room(library):
    users = [name for name, path in MODULES.items() if library in {one.partition(".")[0] for one in imported(path)}]
    assert sorted(users) == sorted(LIBRARIES[library])


def test_nothing_starts_commands_behind_the_back_of_tools():
    users = [name for name, path in MODULES.items() if {"subprocess", "pty", "multiprocessing"} & set(imported(path))]
    assert users == []
