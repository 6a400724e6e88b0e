"""Fixtures and options for all tests."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zosstorage.system import executables
from zosstorage.system.running import LIMIT

sys.path.insert(0, str(Path(__file__).parent))  # for the helper modules: test files are not a package

from fakes import FakeTools, SysfsTree


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --regenerate."""
    parser.addoption("--regenerate", action="store_true", help="write the golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """Compare a text with a golden file. With `--regenerate`, write the file and fail the test."""
    written = []

    def check(name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if request.config.getoption("--regenerate"):
            path.write_text(text, "utf-8")
            written.append(name)
            return
        assert path.exists(), f"{name} is missing: run with --regenerate"
        assert text == path.read_text("utf-8")

    yield check
    if written:
        pytest.fail(f"wrote {', '.join(written)}: read the diff, then run without --regenerate", pytrace=False)


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Restore the loggers after each test: `logs.set_up` changes them for the whole process."""
    loggers = [logging.getLogger(name) for name in ("zosstorage", "states")]
    before = [(logger.handlers[:], logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in set(logger.handlers) - set(handlers):
            handler.close()
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture(autouse=True)
def _restored_limit() -> Iterator[None]:
    """Restore the time limit of commands after each test."""
    before = LIMIT.seconds
    yield
    LIMIT.seconds = before


@pytest.fixture
def fake_tools(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> FakeTools:
    """Fake tools, without any other tool on PATH."""
    fakes = FakeTools(tmp_path_factory.mktemp("tools"))
    monkeypatch.setenv("PATH", str(fakes.bin))
    monkeypatch.setattr(executables, "SYSTEM_PATH", "")
    return fakes


@pytest.fixture
def sysfs_tree(tmp_path: Path) -> SysfsTree:
    """An empty fake sysfs."""
    return SysfsTree(tmp_path)
