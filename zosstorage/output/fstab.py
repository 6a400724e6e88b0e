"""Writes the four subvolume mounts of a plan to fstab; all other lines stay unchanged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.errors import ToolError
from zosstorage.system import fstab
from zosstorage.system.files import read_regular, write_atomic

if TYPE_CHECKING:
    from zosstorage.facts import Facts

_DEFAULT_MODE = 0o644


def lines(facts: Facts) -> list[str]:
    """Return the fstab lines for the subvolumes of the primary, in the order of the plan."""
    primary = next(one for one in facts.plan.data if one.uuid == facts.mounted.primary)
    return [
        fstab.line(f"UUID={primary.uuid}", target.inside, primary.type, ",".join(target.options))
        for target in facts.plan.targets
    ]


def is_current(facts: Facts) -> bool:
    """Return whether fstab has the lines of the plan; true if the plan writes no fstab.

    Raises:
        OSError: fstab cannot be read.
    """
    if facts.plan.fstab is None:
        return True
    text = _read(Path(facts.plan.fstab))
    return fstab.merged(text, lines(facts)) == text


def update(facts: Facts) -> None:
    """Append the lines to fstab and remove older lines for the same targets; do nothing if the plan writes no fstab.

    Raises:
        ToolError: fstab cannot be read or written.
    """
    if facts.plan.fstab is None:
        return
    path = Path(facts.plan.fstab)
    try:
        before = _read(path) if path.exists() else ""
        after = fstab.merged(before, lines(facts))
        if after != before:
            mode = path.stat().st_mode & 0o7777 if path.exists() else _DEFAULT_MODE
            write_atomic(Path(os.path.realpath(path)), after, mode)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise ToolError(message, hint="fix the file or its directory, or run with --no-fstab") from error


def _read(path: Path) -> str:
    return read_regular(path).decode("utf-8", "surrogateescape")
