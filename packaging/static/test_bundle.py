"""The static file: its format, that it runs in an empty root, and that it does what the program of this tree does."""

from __future__ import annotations

import ast
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
PROGRAM = Path(os.environ["ZOSSTORAGE_PROGRAM"])
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 1, 2, 3, 0x6474E551


Done = subprocess.CompletedProcess[str]


def run(*argv: object, program: tuple[object, ...] = (PROGRAM,), **options: Any) -> Done:
    defaults = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 120}
    return subprocess.run([*map(str, (*program, *argv))], check=False, **{**defaults, **options})


def segments() -> dict[int, tuple[int, int]]:
    """Read the program headers: type → (flags, size in memory in bytes)."""
    with PROGRAM.open("rb") as file:
        header = struct.unpack("<16sHHIQQQIHHHHHH", file.read(64))
        file.seek(header[5])
        rows = [struct.unpack("<IIQQQQQQ", file.read(header[9])) for _ in range(header[10])]
    assert (header[0][:5], header[2]) == (b"\x7fELF\x02", 62)  # 64 bit, x86_64
    return {row[0]: (row[1], row[6]) for row in rows}


def test_it_is_static_with_a_thread_stack_of_8_mib() -> None:
    found = segments()
    assert PT_LOAD in found
    assert not {PT_INTERP, PT_DYNAMIC} & set(found)
    assert found[PT_GNU_STACK] == (6, 8 << 20)  # readable and writable, not executable


def test_its_size() -> None:
    assert PROGRAM.stat().st_size <= 12_000_000


def test_it_contains_no_folder_name_of_the_build_machine() -> None:
    data = PROGRAM.read_bytes()
    assert b"zosstorage/machine.py" in data
    for folder in (TOP, Path.home(), Path(sys.prefix)):
        assert f"{folder}/".encode() not in data


class Root:
    """A folder that contains only the program and is the root directory of its processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copy(PROGRAM, path / "zosstorage")

    def __call__(self, *argv: str) -> Done:
        return run(*argv, program=("chroot", self.path, "/zosstorage"))

    def names(self) -> set[str]:
        """List everything in the folder except the program."""
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*")} - {"zosstorage"}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_it_runs_in_an_empty_root(root: Root) -> None:
    assert root("--version").stdout == run("--version").stdout != ""
    assert root("--help").stdout == run("--help", program=PYTHON).stdout
    (root.path / "good.yaml").write_text("version: 1\ntopology: {mode: single}\n")
    (root.path / "bad.yaml").write_text("version: 1\ntopology: {mode: none}\nno: 1\n")
    good, bad = root("config", "check", "good.yaml"), root("config", "check", "bad.yaml")
    assert (good.returncode, good.stderr) == (0, "")
    assert (bad.returncode, bad.stdout) == (3, "")
    assert "topology.mode" in bad.stderr
    assert root.names() == {"good.yaml", "bad.yaml"}


def test_it_runs_without_standard_streams() -> None:
    def close() -> None:
        os.closerange(0, 3)

    streams: dict[str, Any] = {"stdin": None, "capture_output": False, "preexec_fn": close}
    assert run("--version", **streams).returncode == 0
    assert run("--cmdline", "/dev/null", "--set", "devices.include=[/dev/none]", "plan", **streams).returncode == 4


def test_a_run_in_an_empty_root_reports_what_is_missing(root: Root) -> None:
    without_proc = root("run")
    assert (without_proc.returncode, without_proc.stdout) == (6, "")
    (line,) = map(json.loads, without_proc.stderr.splitlines())
    assert (line["message"], line["exit_code"]) == ("/proc is not mounted", 6)
    (root.path / "proc").mkdir()
    (root.path / "proc/cmdline").touch()
    without_sys = root("run")
    assert (without_sys.returncode, without_sys.stdout) == (6, "")
    (line,) = map(json.loads, without_sys.stderr.splitlines())
    assert (line["message"], line["hint"]) == ("/sys is not mounted", "mount -t sysfs sysfs /sys")
    assert root.names() == {"proc", "proc/cmdline"}


# The same results as the program of this tree.

PYTHON = (sys.executable, "-m", "zosstorage")


@pytest.mark.parametrize(
    "argv",
    [
        *("schema config", "schema report", "schema checkpoint", "graph", "graph --format dot"),
        *("--cmdline /dev/null config show --origins", "--run-dir /nonexistent status", "config check /nonexistent"),
        *("--set devices.min_size=1KiB --set x=1 plan", "--cmdline /dev/null --run-dir /nonexistent status --json"),
    ],
)
def test_it_prints_what_the_program_of_this_tree_prints(argv: str) -> None:
    one, other = run(*argv.split()), run(*argv.split(), program=PYTHON, cwd=TOP)
    assert (one.returncode, one.stdout, _timeless(one.stderr)) == (
        other.returncode,
        other.stdout,
        _timeless(other.stderr),
    )
    assert one.stdout or one.returncode


def _timeless(log: str) -> str:
    """Return lines of the log without their times."""
    return re.sub(r'"time": "[^"]+"', "", log)


def test_it_contains_every_module_of_both_packages() -> None:
    table = (TOP / "build/static/modules.h").read_text()
    names = {
        str(path.relative_to(TOP)) for package in ("zosstorage", "states") for path in (TOP / package).rglob("*.py")
    }
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names}
    assert {name for name in modules if f'{{"{name}", ' not in table} == set()


def test_it_ignores_variables_and_files_of_python(tmp_path: Path) -> None:
    for name in ("zosstorage", "encodings", "os"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    (tmp_path / "pyvenv.cfg").write_text("home = /nonexistent\n")
    shutil.copy(PROGRAM, tmp_path / "program")
    env = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONINSPECT": "1", "PYTHONVERBOSE": "1"}
    done = run("--version", program=(tmp_path / "program",), cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")


# Defects and limits.


def test_a_traceback_has_file_and_line() -> None:
    """A limit on memory causes a MemoryError somewhere; its traceback in the debug log has lines of the source."""
    flags = ("--log-level", "debug", "--cmdline", os.devnull, "--include", "/dev/none", "plan")
    for kib in range(20 << 10, 60 << 10, 256):
        done = run(*flags, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (kib << 10, kib << 10)))
        frames = re.findall(r'File ."((?:zosstorage|states)/[\w/]+\.py).", line (\d+), in (\w+)', done.stderr)
        if "a defect of zosstorage" in done.stderr and frames:
            break
    else:
        pytest.fail("no limit on memory causes a traceback in the log")
    assert frames[0][::2] == ("zosstorage/__main__.py", "_command")
    for name, line, where in frames:
        text = (TOP / name).read_text()
        spans = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == where]
        assert any(node.lineno < int(line) <= (node.end_lineno or 0) for node in spans), (name, line, where)


def test_deep_nesting_is_an_error_and_no_crash(tmp_path: Path) -> None:
    deep = tmp_path / "deep.yaml"
    deep.write_text("version: 1\ntopology: " + "[" * 100_000 + "\n")
    done = run("config", "check", deep)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_on_stdout_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = run("schema", stdout=write, capture_output=False, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


# Building.


def test_builds_are_reproducible(tmp_path: Path) -> None:
    """A build in another folder, with only the downloads in its cache, gives the same bytes.

    It is a release build, unless the pinned revision is replaced.
    """
    other = tmp_path / "another-folder-with-a-longer-name"
    for name in ("packaging", "vm-tests", "zosstorage", "states"):
        shutil.copytree(TOP / name, other / name)
    shutil.copy(TOP / "pyproject.toml", other)
    cache = other / ".cache/static"
    cache.mkdir(parents=True)
    for path in (TOP / ".cache/static").iterdir():
        if not path.name.startswith(("python-", "musl-")):
            (cache / path.name).symlink_to(path)
    flags = [] if PROGRAM.with_name(f"{PROGRAM.name}.unpinned").exists() else ["--release"]
    done = run(other / "packaging/static/build.py", *flags, program=(sys.executable,), timeout=None)
    assert done.returncode == 0, done.stderr
    assert (other / "dist" / PROGRAM.name).read_bytes() == PROGRAM.read_bytes()
