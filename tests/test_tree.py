"""Rules for the files of the repository: sizes, the version, pinned tools, skipped tests, commit subjects."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from zosstorage import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TESTS = sorted(
    path.relative_to(ROOT) for folder in ("tests", "vm-tests", "packaging") for path in (ROOT / folder).rglob("*.py")
)
# These name the version for readers or for tools that cannot read Python; tests/packaging holds APKBUILD to it.
NAMES_VERSION = {"CHANGELOG.md", "zosstorage/__init__.py", "packaging/alpine/APKBUILD"}
TEXT = {"", ".md", ".py", ".toml", ".yaml", ".yml", ".sh", ".files", ".modules", ".initd", ".confd"}


@pytest.mark.parametrize("path", TESTS, ids=str)
def test_test_files_have_less_than_400_lines(path: Path) -> None:
    assert len((ROOT / path).read_text("utf-8").splitlines()) < 400


# The version.


def files() -> list[Path]:
    """Text files of the repository, without those that builds and tools leave behind."""
    rest = ("benchmarks", "demo", "docs", "examples", "packaging", "vm-tests")
    found = [
        path
        for folder in (".ci", "states", "tests", "zosstorage", *rest)
        for path in (ROOT / folder).rglob("*")
        if "golden" not in path.parts
    ]
    return [path for path in (*ROOT.iterdir(), *found) if path.is_file() and path.suffix in TEXT]


def test_the_version_is_written_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "zosstorage/__init__.py"
    literal = re.compile(rf"(?<![\w.]){re.escape(__version__)}(?![\w.])".encode())
    naming = {path.relative_to(ROOT).as_posix() for path in files() if literal.search(path.read_bytes())}
    assert naming - {"PKG-INFO"} == NAMES_VERSION


def test_the_changelog_has_the_version() -> None:
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert headings[0] == __version__


# Tools.


def test_tools_that_build_and_check_are_pinned() -> None:
    groups = PROJECT["dependency-groups"]
    pinned = [*PROJECT["build-system"]["requires"], *groups["dev"], *groups["lint"][:2]]
    assert [word.partition("==")[0] for word in pinned] == ["hatchling", "nox", "mypy", "ruff"]
    assert all("==" in word for word in pinned)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run"])
def test_pages_install_the_pinned_nox(name: str) -> None:
    (pin,) = PROJECT["dependency-groups"]["dev"]
    installed = re.findall(r"pip install (?:--quiet )?(nox\S*)", (ROOT / name).read_text("utf-8"))
    assert set(installed) == {pin}


def test_tests_that_the_noxfile_names_exist() -> None:
    text = (ROOT / "noxfile.py").read_text("utf-8")
    paths = re.findall(r"tests/[\w/]+\.py", text)
    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []
    topologies = (ROOT / "tests/loop/test_topologies.py").read_text("utf-8")
    names = re.findall(r'"(\w+)"', text.partition("for name in (")[2].partition(")")[0])
    assert len(names) == 2
    assert [name for name in names if f"def test_{name}(" not in topologies] == []


def test_pytest_knows_the_markers_that_the_unit_session_leaves_out() -> None:
    names = [text.partition(":")[0] for text in PROJECT["tool"]["pytest"]["ini_options"]["markers"]]
    assert names == ["loop", "slow"]
    assert '"not loop and not slow"' in (ROOT / "noxfile.py").read_text("utf-8")


# Skipped tests.

SKIPPING = {
    "function": "import pytest\n\ndef test_one():\n    pytest.skip('no tool')\n",
    "mark": "import pytest\n\n@pytest.mark.skip(reason='no tool')\ndef test_one():\n    pass\n",
    "module": "import pytest\n\npytest.skip('no tool', allow_module_level=True)\n",
    "expected": "import pytest\n\n@pytest.mark.xfail\ndef test_one():\n    assert False\n",
}


def run_pytest(folder: Path, **env: str) -> str:
    """Run pytest with the plugin on the files of SKIPPING; return the summary, a line for each file and a last one."""
    for name, text in SKIPPING.items():
        (folder / f"test_{name}.py").write_text(text, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
    variables = {key: value for key, value in os.environ.items() if key != "CI" and not key.startswith("PYTEST")}
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no_skips",
        "-p",
        "no:cacheprovider",
        "-q",
        "-rA",
        "--continue-on-collection-errors",
    ]
    path = {"PYTHONPATH": str(Path(__file__).parent), "COLUMNS": "200"}
    done = subprocess.run(argv, cwd=folder, env=variables | path | env, capture_output=True, text=True, check=False)
    return done.stdout.partition("short test summary info")[2]


def test_skipped_tests_fail_in_ci(tmp_path: Path) -> None:
    summary = run_pytest(tmp_path, CI="true")
    for name in ("function", "mark", "module"):
        notice = rf"(FAILED|ERROR) test_{name}\.py.*CI is set, and no test may be skipped there.*no tool"
        assert re.search(notice, summary), summary
    assert "XFAIL test_expected.py" in summary
    assert "skipped" not in summary.splitlines()[-1]


def test_tests_may_be_skipped_outside_ci(tmp_path: Path) -> None:
    assert "3 skipped, 1 xfailed" in run_pytest(tmp_path)


# Commit subjects.

GOOD = [
    "gpt: read the backup table where the primary is damaged",
    "vm-tests: use KVM only where it is asked for\n\nNested KVM hangs.",
    "a: " + "b" * 69,
    "Merge branch 'one'",
]
BAD = ["Read the backup table", "gpt:read", "gpt: ", ": read", "a: " + "b" * 70, "two words: read", ""]


def rejects_subject(message: str) -> bool:
    """Whether the hook for commit messages finds fault with one."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0]["hooks"]
    (entry,) = [hook["entry"] for hook in hooks if hook["id"] == "commit-subject"]
    return re.search(entry, message, re.MULTILINE) is not None


@pytest.mark.parametrize("message", GOOD)
def test_the_hook_accepts_a_subject_that_names_area_and_change(message: str) -> None:
    assert not rejects_subject(message)


@pytest.mark.parametrize("message", BAD)
def test_the_hook_rejects_any_other_subject(message: str) -> None:
    assert rejects_subject(message)
