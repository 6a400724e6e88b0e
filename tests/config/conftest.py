import shlex

import hypothesis
import pytest

from zosstorage import cli
from zosstorage.config import load as loading
from zosstorage.config import show, sources
from zosstorage.errors import ConfigError

# A shared machine decides how long an example takes, so none is held to a deadline.
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture
def default_file(tmp_path, monkeypatch):
    """The path of the default configuration file, which does not exist until a test writes it."""
    path = tmp_path / "default.yaml"
    monkeypatch.setattr(sources, "DEFAULT_FILE", str(path))
    return path


@pytest.fixture
def load(default_file):
    def load(arguments="", kernel=""):
        argv = shlex.split(arguments) if isinstance(arguments, str) else arguments
        return loading.load(cli.parse(argv), read_cmdline=lambda _: kernel.encode())

    return load


@pytest.fixture
def check_file(tmp_path):
    """Checks a file of that text (or bytes); returns its path and the problems told, without the path before them."""

    def check(content):
        path = tmp_path / "config.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            show.check(str(path))
        except ConfigError as error:
            told = error.problems or (error.message,)
            assert all(str(path) in problem for problem in told)
            return [problem.removeprefix(f"{path}:") for problem in told]
        return []

    return check
