"""The rooms of docs/ARCHITECTURE.md: imports go down, have no cycle, and some libraries are used in one room only."""

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/ARCHITECTURE.md").read_text("utf-8")
FILES = sorted([*(ROOT / "zosstorage").rglob("*.py"), *(ROOT / "states").rglob("*.py")])


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def table(head: str) -> dict[str, list[str]]:
    """A table of the page, by the first word of its head: the names in the second cell by the first cell."""
    text = PAGE.partition(f"| {head} |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in text.splitlines()[2:]]
    return {name.strip().strip("`"): re.findall(r"`([\w.]+)`", cell) for name, cell in rows}


ROOMS = table("room")
PACKAGES = table("package")
LIBRARIES = table("library")


def imported(path: Path) -> Iterator[str]:
    """The names of all modules that a file imports, including late imports and those for types."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            assert node.module
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


IMPORTS = {name: set(imported(path)) for name, path in MODULES.items()}
OURS = {name: (found & set(MODULES)) - {"zosstorage", name} for name, found in IMPORTS.items()}


def place(module: str) -> tuple[int, str]:
    """The number of a module's room, counted from the top, and its entry in the table."""
    found = [
        (number, entry)
        for number, entries in enumerate(ROOMS.values())
        for entry in entries
        if f"{module}.".startswith(f"{entry}.")
    ]
    assert len(found) == 1, f"{module} must have exactly one room in docs/ARCHITECTURE.md, it has {len(found)}"
    return found[0]


def package_of(module: str) -> str:
    return module.rpartition(".")[0]


def height(module: str) -> int:
    """A module's position in its package, counted from the bottom; the package itself is above its modules."""
    if module in PACKAGES:
        return len(PACKAGES[module]) + 1
    names = PACKAGES[package_of(module)]
    return len(names) - names.index(module.rpartition(".")[2])


def test_the_tables_name_all_modules_and_no_other() -> None:
    assert len(ROOMS) == 14
    entries = [entry for room in ROOMS.values() for entry in room]
    assert len(entries) > 20
    assert set(entries) <= set(MODULES)
    listed = {f"{package}.{name}" for package, names in PACKAGES.items() for name in names}
    inner = {name for name in MODULES if package_of(name) and name not in entries and name not in PACKAGES}
    assert listed == inner


@pytest.mark.parametrize("module", [name for name in MODULES if name != "zosstorage"])
def test_imports_go_down_between_rooms(module: str) -> None:
    here, entry = place(module)
    for name in OURS[module]:
        there, other = place(name)
        assert there > here or other == entry, f"{module} imports {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_down_inside_a_package(package: str) -> None:
    for module in [name for name in MODULES if package_of(name) == package]:
        for name in OURS[module]:
            if package_of(name) == package:
                assert height(name) < height(module), f"{module} imports {name}"


def test_there_is_no_import_cycle() -> None:
    try:
        tuple(TopologicalSorter(OURS).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_the_package_itself_imports_no_module_of_ours() -> None:
    assert not IMPORTS["zosstorage"] & set(MODULES)


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("states")])
def test_the_engine_does_not_know_the_states(module: str) -> None:
    known = [name for name in OURS[module] if name.partition(".")[0] == "states"]
    assert (not known) is (module != "zosstorage.commands")


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("states.")])
def test_a_state_imports_no_other_state(module: str) -> None:
    assert [name for name in OURS[module] if name.startswith("states")] == []


def test_only_modules_that_decide_import_the_configuration() -> None:
    users = {name for name, found in OURS.items() if any(f"{one}.".startswith("zosstorage.config.") for one in found)}
    outside = {name for name in users if not f"{name}.".startswith("zosstorage.config.")}
    allowed = ("zosstorage.commands", "states.discover", "states.validate", "zosstorage.output.logs")
    assert outside - {name for name in outside if name.startswith("zosstorage.planning.")} == set(allowed)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_by_its_modules(library: str) -> None:
    users = [name for name, found in IMPORTS.items() if library in {one.partition(".")[0] for one in found}]
    assert sorted(users) == sorted(LIBRARIES[library])


def test_no_module_starts_processes_by_other_means() -> None:
    users = [name for name, found in IMPORTS.items() if {"pty", "multiprocessing"} & found]
    assert users == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_at_most_300_lines(module: str) -> None:
    """A module of fewer than 25 lines has a docstring of more than 40 characters in its first line."""
    lines = MODULES[module].read_text("utf-8").splitlines()
    assert len(lines) <= 300
    assert len(lines) >= 25 or not lines or len(lines[0]) > 40
