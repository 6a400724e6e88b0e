"""`verify`: where its promises come from, which paths it looks at, and that it shares no reader with the run."""

import ast
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from program import call
from support import disk, facts

from zosstorage import checkpoint, verify
from zosstorage.checkpoint import Checkpoint
from zosstorage.converter import unstructure
from zosstorage.errors import NotEmptyError
from zosstorage.facts import STATES
from zosstorage.output import report
from zosstorage.output.report import Report
from zosstorage.verify import Places

ROOT = Path(__file__).parent.parent


def built(root: str = "/") -> Report:
    return report.build(facts(mode="single", disks=(disk("sda"),), root=root))


def save(path: Path, *, done: int = len(STATES)) -> None:
    """A checkpoint with so many states done."""
    known = unstructure(facts(mode="single", disks=(disk("sda"),)))
    found = Checkpoint()
    for record in found.states[:done]:
        record.status, record.facts, record.finished = "done", known[record.name], "2026-01-01T00:00:00Z"
    checkpoint.save(path, found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "state.json").write_text(report.text(built()), "utf-8")
    (tmp_path / "state.json.stale").write_text(report.text(evolve(built(), topology="bcachefs_single")), "utf-8")
    save(tmp_path / "checkpoint.json")
    return tmp_path


def promise(folder: Path) -> verify.Promise | None:
    return verify.promise(str(folder / "state.json"), folder / "checkpoint.json")


def test_the_report_comes_first_then_the_checkpoint_then_a_stale_report(folder: Path) -> None:
    first = promise(folder)
    assert first
    assert (first.source, first.path) == ("report", str(folder / "state.json"))
    assert first.provisioned == first.report.timestamp
    (folder / "state.json").unlink()
    second = promise(folder)
    assert second
    assert (second.source, second.path, second.provisioned) == (
        "checkpoint",
        str(folder / "checkpoint.json"),
        "2026-01-01T00:00:00Z",
    )
    assert evolve(second.report, timestamp="") == evolve(built(), timestamp="")
    save(folder / "checkpoint.json", done=5)
    third = promise(folder)
    assert third
    assert (third.source, third.report.topology) == ("stale report", "bcachefs_single")
    (folder / "state.json.stale").unlink()
    assert promise(folder) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}', "\xff"])
def test_a_report_that_cannot_be_read_is_exit_5(folder: Path, text: str) -> None:
    (folder / "state.json").write_text(text, "latin-1")
    with pytest.raises(NotEmptyError, match="is not a report of this version") as caught:
        promise(folder)
    assert caught.value.hint == "zosstorage run writes it again"


def test_a_report_that_is_no_file_is_exit_5(folder: Path) -> None:
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")
    with pytest.raises(NotEmptyError, match="it is not a regular file"):
        promise(folder)


@pytest.mark.parametrize("flags", [[], ["--json"], ["--prometheus"]])
def test_a_machine_that_was_not_provisioned_is_exit_4(tmp_path: Path, flags: list[str]) -> None:
    if os.geteuid() != 0:
        return  # the command needs root
    done = call("--cmdline", os.devnull, "--run-dir", tmp_path, "--report", tmp_path / "none.json", "verify", *flags)
    assert done.returncode == 4
    assert "nothing was provisioned" in json.loads(done.stderr)["message"]
    assert done.stdout == "" or flags == ["--prometheus"]
    assert "zosstorage_verify_ok 0\n" in done.stdout or flags != ["--prometheus"]


def test_paths_are_those_of_the_report() -> None:
    assert verify.places(built(), "/", "/var/mounts") == Places("", "")
    assert Places("", "").now("/var/cache/etc") == "/var/cache/etc"


def test_a_root_that_was_moved_has_the_prefix_that_it_has_now(tmp_path: Path) -> None:
    root = str(tmp_path / "sysroot")
    moved = verify.places(built(root), "/", "/var/mounts")
    assert moved == Places(root, "")
    assert moved.now(f"{root}/var/cache/etc") == moved.inside(f"{root}/var/cache/etc") == "/var/cache/etc"
    assert verify.places(built("/sysroot"), "/mnt", "/var/mounts").now("/sysroot/var/x") == "/mnt/var/x"
    Path(f"{root}/var/cache/etc").mkdir(parents=True)
    here = verify.places(built(root), "/", "/var/mounts")
    assert here == Places(root, root)
    assert (here.now(f"{root}/a"), here.inside(f"{root}/a")) == (f"{root}/a", "/a")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = [
    ROOT / "zosstorage/verify.py",
    ROOT / "zosstorage/output/verification.py",
    *sorted((ROOT / "zosstorage/verification").glob("*.py")),
]
# What verify may know of the rest: documents and their classes, words of messages, where a tool is.
ALLOWED = (
    *("__version__", "checkpoint", "converter", "errors", "facts", "model", "output.report", "output.verification"),
    *("system.executables", "system.files.read_regular", "text", "topologies", "verification", "output"),
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shares_no_reader_with_the_run(path: Path) -> None:
    ours = {name.removeprefix("zosstorage.") for name in imports(path) if name.startswith("zosstorage")}
    strangers = {name for name in ours if not any(name == one or name.startswith(f"{one}.") for one in ALLOWED[:-1])}
    assert strangers <= {"output.report"}, f"{path.name} imports {strangers}"
    assert len(FILES) == 7


def test_only_the_reader_of_tools_knows_sh_and_nothing_starts_processes_otherwise() -> None:
    users = {path.name for path in FILES if {"sh", "subprocess"} & {name.partition(".")[0] for name in imports(path)}}
    assert users == {"tools.py"}
