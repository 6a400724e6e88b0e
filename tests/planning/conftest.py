"""Fixtures of the tests of planning."""

import sys
from pathlib import Path

import pytest
from fakes import FakeTools

sys.path.insert(0, str(Path(__file__).parent))  # for the helper modules: test files are not a package

from fake_machine import FakeMachine


@pytest.fixture
def machine(
    fake_tools: FakeTools, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> FakeMachine:
    """A machine on which nothing prevents a plan."""
    return FakeMachine(tmp_path_factory.mktemp("proc"), fake_tools, monkeypatch)
