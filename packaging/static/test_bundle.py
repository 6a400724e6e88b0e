"""The static file: what it is, that it needs nothing around it, and that it does what this tree's program does."""

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

import pytest

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
PROGRAM = Path(os.environ["ZOSSTORAGE_PROGRAM"])
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 1, 2, 3, 0x6474E551


def run(*argv, program=(PROGRAM,), **options):
    fixed = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL, "timeout": 120}
    return subprocess.run([*map(str, (*program, *argv))], check=False, **{**fixed, **options})


def segments():
    """The program headers: type → (flags, size in memory)."""
    with PROGRAM.open("rb") as file:
        header = struct.unpack("<16sHHIQQQIHHHHHH", file.read(64))
        file.seek(header[5])
        rows = [struct.unpack("<IIQQQQQQ", file.read(header[9])) for _ in range(header[10])]
    assert (header[0][:5], header[2]) == (b"\x7fELF\x02", 62)  # 64 bit, x86_64
    return {row[0]: (row[1], row[6]) for row in rows}


def test_it_is_static_and_its_threads_have_room():
    found = segments()
    assert PT_LOAD in found
    assert not {PT_INTERP, PT_DYNAMIC} & set(found)
    assert found[PT_GNU_STACK] == (6, 8 << 20)  # readable and writable, not executable


def test_its_size():
    assert PROGRAM.stat().st_size <= 12_000_000


def test_it_names_no_folder_of_the_machine_it_was_built_on():
    data = PROGRAM.read_bytes()
    assert b"zosstorage/machine.py" in data
    for folder in (TOP, Path.home(), Path(sys.prefix)):
        assert f"{folder}/".encode() not in data


@pytest.fixture
def room(tmp_path):
    """An empty folder to be the root of the program; the contract's own folders are made by those who want them."""
    shutil.copy(PROGRAM, tmp_path / "zosstorage")

    def inside(*argv, **options):
        return run(*argv, program=("chroot", tmp_path, "/zosstorage"), **options)

    inside.path = tmp_path
    inside.names = lambda: {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} - {"zosstorage"}
    return inside


def test_an_empty_root_is_enough(room):
    assert room("--version").stdout == run("--version").stdout != ""
    assert room("--help").stdout == run("--help", program=PYTHON).stdout
    (room.path / "good.yaml").write_text("version: 1\ntopology: {mode: single}\n")
    (room.path / "bad.yaml").write_text("version: 1\ntopology: {mode: none}\nno: 1\n")
    good, bad = room("config", "check", "good.yaml"), room("config", "check", "bad.yaml")
    assert (good.returncode, good.stderr) == (0, "")
    assert (bad.returncode, bad.stdout) == (3, "")
    assert "topology.mode" in bad.stderr
    assert room.names() == {"good.yaml", "bad.yaml"}


def test_without_standard_streams():
    def close():
        os.closerange(0, 3)

    streams = {"stdin": None, "capture_output": False, "preexec_fn": close}
    assert run("--version", **streams).returncode == 0
    assert run("--cmdline", "/dev/null", "--set", "devices.include=[/dev/none]", "plan", **streams).returncode == 4


def test_a_run_in_an_empty_root_says_what_is_missing(room):
    without_proc = room("run")
    assert (without_proc.returncode, without_proc.stdout) == (6, "")
    (line,) = map(json.loads, without_proc.stderr.splitlines())
    assert (line["message"], line["exit_code"]) == ("/proc is not mounted", 6)
    (room.path / "proc").mkdir()
    (room.path / "proc/cmdline").touch()
    without_sys = room("run")
    assert (without_sys.returncode, without_sys.stdout) == (6, "")
    (line,) = map(json.loads, without_sys.stderr.splitlines())
    assert (line["message"], line["hint"]) == ("/sys is not mounted", "mount -t sysfs sysfs /sys")
    assert room.names() == {"proc", "proc/cmdline"}


# As the program of this tree.

PYTHON = (sys.executable, "-m", "zosstorage")


@pytest.mark.parametrize(
    "argv",
    [
        *("schema config", "schema report", "schema checkpoint", "graph", "graph --format dot"),
        *("--cmdline /dev/null config show --origins", "--run-dir /nonexistent status", "config check /nonexistent"),
        *("--set devices.min_size=1KiB --set x=1 plan", "--cmdline /dev/null --run-dir /nonexistent status --json"),
    ],
)
def test_it_says_what_the_program_of_this_tree_says(argv):
    one, other = run(*argv.split()), run(*argv.split(), program=PYTHON, cwd=TOP)
    assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
    assert one.stdout or one.returncode


def test_every_module_of_both_packages_is_in_it():
    table = (TOP / "build/static/modules.h").read_text()
    names = {
        str(path.relative_to(TOP)) for package in ("zosstorage", "states") for path in (TOP / package).rglob("*.py")
    }
    modules = {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names}
    assert {name for name in modules if f'{{"{name}", ' not in table} == set()


def test_variables_and_files_of_python_change_nothing(tmp_path):
    for name in ("zosstorage", "encodings", "os"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    (tmp_path / "pyvenv.cfg").write_text("home = /nonexistent\n")
    shutil.copy(PROGRAM, tmp_path / "program")
    env = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "PYTHONINSPECT": "1", "PYTHONVERBOSE": "1"}
    done = run("--version", program=(tmp_path / "program",), cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr) == (0, "")


# Defects and limits.


def test_a_traceback_names_file_and_line():
    """Memory runs out, at one place or another: what is told of it at level debug names lines of the source."""
    words = ("--log-level", "debug", "--cmdline", os.devnull, "--include", "/dev/none", "plan")
    for kib in range(20 << 10, 60 << 10, 256):
        done = run(*words, preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (kib << 10, kib << 10)))
        frames = re.findall(r'File ."((?:zosstorage|states)/[\w/]+\.py).", line (\d+), in (\w+)', done.stderr)
        if "a defect of zosstorage" in done.stderr and frames:
            break
    else:
        pytest.fail("memory never runs out where it is told")
    assert frames[0][::2] == ("zosstorage/__main__.py", "_command")
    for name, line, where in frames:
        text = (TOP / name).read_text()
        spans = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name == where]
        assert any(node.lineno < int(line) <= node.end_lineno for node in spans), (name, line, where)


def test_deep_nesting_is_an_error_not_a_crash(tmp_path):
    deep = tmp_path / "deep.yaml"
    deep.write_text("version: 1\ntopology: " + "[" * 100_000 + "\n")
    done = run("config", "check", deep)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = run("schema", stdout=write, capture_output=False, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


# Building.


def test_two_builds_are_the_same_to_the_byte(tmp_path):
    """From another folder and an empty cache, but for what was downloaded; the second as a release, if it can be."""
    other = tmp_path / "another-folder-with-a-longer-name"
    for name in ("packaging", "vm-tests", "zosstorage", "states"):
        shutil.copytree(TOP / name, other / name)
    shutil.copy(TOP / "pyproject.toml", other)
    cache = other / ".cache/static"
    cache.mkdir(parents=True)
    for path in (TOP / ".cache/static").iterdir():
        if not path.name.startswith(("python-", "musl-")):
            (cache / path.name).symlink_to(path)
    words = [] if PROGRAM.with_name(f"{PROGRAM.name}.unpinned").exists() else ["--release"]
    done = run(other / "packaging/static/build.py", *words, program=(sys.executable,), timeout=None)
    assert done.returncode == 0, done.stderr
    assert (other / "dist" / PROGRAM.name).read_bytes() == PROGRAM.read_bytes()
