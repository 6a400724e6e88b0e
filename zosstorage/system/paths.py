"""Paths below the root prefix."""

from __future__ import annotations

from pathlib import Path


def under(root: str, path: str) -> str:
    """A path with the root prefix."""
    return str(Path(root) / path.lstrip("/"))


def inside(path: str, root: str) -> str:
    """A path with the root prefix as it is named inside it."""
    return f"/{Path(path).relative_to(root)}"
