"""The four subvolume mounts in fstab; every other line stays as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.errors import ToolError
from zosstorage.files import write_atomic
from zosstorage.paths import inside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.facts import Mount

_DEFAULT_MODE = 0o644


def lines(mounts: Sequence[Mount], root: str) -> list[str]:
    """fstab(5) lines; targets as seen inside the root prefix, neither dumped nor checked at boot."""
    return [
        f"{mount.source} {_escape(inside(mount.target, root))} {mount.fstype} {mount.options} 0 0" for mount in mounts
    ]


def _escape(path: str) -> str:
    return re.sub(r"[\\ \t\n]", lambda match: f"\\{ord(match[0]):03o}", path)


def update(path: Path, wanted: Sequence[str]) -> None:
    """Put the lines at the end of the file, in order, in place of those for the same targets.

    Raises:
        ToolError: the file cannot be read or written.
    """
    try:
        before = path.read_text("utf-8", "surrogateescape") if path.exists() else ""
        after = merged(before, wanted)
        if after != before:
            mode = path.stat().st_mode & 0o7777 if path.exists() else _DEFAULT_MODE
            write_atomic(Path(os.path.realpath(path)), after, mode)
    except OSError as error:
        raise ToolError(
            f"{path} cannot be written: {error.strerror}", hint="run with --no-fstab, or mend it"
        ) from error


def merged(before: str, wanted: Sequence[str]) -> str:
    """The text with our lines in it; unchanged where they stand in it just so."""
    targets = {line.split()[1] for line in wanted}
    rows = before.removesuffix("\n").split("\n") if before else []
    kept = [row for row in rows if not _is_for(row, targets)]
    present = [row for row in rows if _is_for(row, targets)]
    if present == list(wanted):
        return before
    return "\n".join([*kept, *wanted]) + "\n"


def _is_for(line: str, targets: set[str]) -> bool:
    words = line.split()
    return len(words) > 1 and not words[0].startswith("#") and words[1] in targets
