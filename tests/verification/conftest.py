"""Recorded tools and what they are asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded import Recorded

from zosstorage.output.verification import Check


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def seen() -> Callable[[Any], dict[str, tuple[bool, str]]]:
    """The checks of one thing by their names: (ok, seen)."""

    def by_name(checks: Any) -> dict[str, tuple[bool, str]]:
        found: list[Check] = list(checks)
        assert len({(one.name, one.check) for one in found}) == len(found)
        return {one.check: (one.ok, one.seen) for one in found}

    return by_name


@pytest.fixture
def show_super() -> str:
    """The output of bcachefs show-super 1.12.0 on a filesystem of one SSD and two HDDs in two copies."""
    return (Path(__file__).parent / "show-super.txt").read_text("utf-8")
