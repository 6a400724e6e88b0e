"""The four subvolume mounts of a plan in fstab; every other line stays as it is."""

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
    """The lines for the primary's subvolumes, in the order of the plan."""
    primary = next(one for one in facts.plan.data if one.uuid == facts.mounted.primary)
    return [
        fstab.line(f"UUID={primary.uuid}", target.inside, primary.type, ",".join(target.options))
        for target in facts.plan.targets
    ]


def is_current(facts: Facts) -> bool:
    """Whether fstab has the lines, if it is to have them.

    Raises:
        OSError: it cannot be read.
    """
    if facts.plan.fstab is None:
        return True
    text = _read(Path(facts.plan.fstab))
    return fstab.merged(text, lines(facts)) == text


def update(facts: Facts) -> None:
    """Put the lines at the end of fstab, in place of an earlier system's for the same targets, if it is to have them.

    Raises:
        ToolError: the file cannot be read or written.
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
        raise ToolError(message, hint="run with --no-fstab, or mend it") from error


def _read(path: Path) -> str:
    return read_regular(path).decode("utf-8", "surrogateescape")
