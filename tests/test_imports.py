"""The rooms of docs/ARCHITECTURE.md: imports run down, there is no circle, and some libraries stay in one room."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
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
    return {name.strip().strip("`"): re.findall(r"`([\w.]+)`", cell) for name, cell in rows}


ROOMS = table("room")
PACKAGES = table("package")
LIBRARIES = table("library")


def imported(path):
    """The names of all modules that a file imports, late and for types too, ours with their last part."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


IMPORTS = {name: set(imported(path)) for name, path in MODULES.items()}
OURS = {name: (found & set(MODULES)) - {"zosstorage", name} for name, found in IMPORTS.items()}


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


def package_of(module):
    return module.rpartition(".")[0]


def height(module):
    """A module's place in its package, counted from the bottom; the package itself hands on what its modules hold."""
    if module in PACKAGES:
        return len(PACKAGES[module]) + 1
    names = PACKAGES[package_of(module)]
    return len(names) - names.index(module.rpartition(".")[2])


def test_the_tables_were_read_and_name_only_what_exists():
    assert len(ROOMS) == 13
    entries = [entry for room in ROOMS.values() for entry in room]
    assert len(entries) > 20
    assert set(entries) <= set(MODULES)
    listed = {f"{package}.{name}" for package, names in PACKAGES.items() for name in names}
    inner = {name for name in MODULES if package_of(name) and name not in entries and name not in PACKAGES}
    assert listed == inner


@pytest.mark.parametrize("module", [name for name in MODULES if name != "zosstorage"])
def test_no_import_runs_up_or_sideways(module):
    here, entry = place(module)
    for name in OURS[module]:
        there, other = place(name)
        assert there > here or other == entry, f"{module} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_down_inside_a_package(package):
    for module in [name for name in MODULES if package_of(name) == package]:
        for name in OURS[module]:
            if package_of(name) == package:
                assert height(name) < height(module), f"{module} imports {name}"


def test_there_is_no_circle():
    try:
        tuple(TopologicalSorter(OURS).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_package_itself_imports_nothing_of_ours():
    assert not IMPORTS["zosstorage"] & set(MODULES)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("states")])
def test_the_engine_does_not_know_the_states(module):
    known = [name for name in OURS[module] if name.partition(".")[0] == "states"]
    assert (not known) is (module != "zosstorage.commands")


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("states.")])
def test_a_state_does_not_know_another(module):
    assert [name for name in OURS[module] if name.startswith("states")] == []


def test_who_writes_reads_no_configuration():
    """Nobody but those who decide imports the configuration."""
    users = {name for name, found in OURS.items() if any(f"{one}.".startswith("zosstorage.config.") for one in found)}
    outside = {name for name in users if not f"{name}.".startswith("zosstorage.config.")}
    allowed = ("zosstorage.commands", "states.discover", "states.validate", "zosstorage.output.logs")
    assert outside - {name for name in outside if name.startswith("zosstorage.planning.")} == set(allowed)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_stays_in_its_room(library):
    users = [name for name, found in IMPORTS.items() if library in {one.partition(".")[0] for one in found}]
    assert sorted(users) == sorted(LIBRARIES[library])


def test_nothing_starts_commands_behind_the_back_of_system_run():
    users = [name for name, found in IMPORTS.items() if {"pty", "multiprocessing"} & found]
    assert users == []


@pytest.mark.parametrize("module", MODULES)
def test_the_size_of_a_module(module):
    """At most 300 lines; one of less than 25 says in its first line what for."""
    lines = MODULES[module].read_text("utf-8").splitlines()
    assert len(lines) <= 300
    assert len(lines) >= 25 or not lines or len(lines[0]) > 40
