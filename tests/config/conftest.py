"""Fixtures that load and check configurations."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import pytest

from zosstorage import cli
from zosstorage.config import load as loading
from zosstorage.config import show, sources
from zosstorage.config.load import Loaded
from zosstorage.errors import ConfigError

# The time of an example depends on the load of the machine, so no example has a deadline.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture
def default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of the default configuration file, which does not exist until a test writes it."""
    path = tmp_path / "default.yaml"
    monkeypatch.setattr(sources, "DEFAULT_FILE", str(path))
    return path


@pytest.fixture
def load(default_file: Path) -> Callable[..., Loaded]:
    """Load the configuration of a command line and a kernel command line, both given as text."""

    def load(arguments: str | Sequence[str] = "", kernel: str = "") -> Loaded:
        argv = shlex.split(arguments) if isinstance(arguments, str) else arguments
        return loading.load(cli.parse(argv), read_cmdline=lambda _: kernel.encode())

    return load


@pytest.fixture
def check_file(tmp_path: Path) -> Callable[[str | bytes], list[str]]:
    """Check a file with that content; return its mistakes, without the path at their beginning."""

    def check(content: str | bytes) -> list[str]:
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            show.check(str(path))
        except ConfigError as error:
            problems = error.problems or (error.message,)
            assert all(str(path) in problem for problem in problems)
            return [problem.removeprefix(f"{path}:") for problem in problems]
        return []

    return check
