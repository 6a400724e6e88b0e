"""The four subvolume mounts in fstab; every other line stays as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.errors import ToolError
from zosstorage.system.files import write_atomic
from zosstorage.system.paths import inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.model import Mount

_DEFAULT_MODE = 0o644


def lines(mounts: Sequence[Mount], root: str) -> list[str]:
    """fstab(5) lines; targets as seen inside the root prefix, neither dumped nor checked at boot."""
    return [
        f"{mount.source} {_escape(inside(mount.target, root))} {mount.fstype} {mount.options} 0 0" for mount in mounts
    ]


def _escape(path: str) -> str:
    return re.sub(r"[\\ \t\n]", lambda match: f"\\{ord(match[0]):03o}", path)


def update(path: Path, wanted: Sequence[str]) -> None:
    """Put the lines at the end of the file, in order, in place of an earlier system's for the same targets.

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
    present = [row for row in rows if _is_ours(row, targets)]
    kept = [row for row in rows if not _is_ours(row, targets)]
    if present == list(wanted):
        return before
    return "\n".join([*kept, *wanted]) + "\n"


def others(path: Path, targets: Iterable[str]) -> list[str]:
    """The lines of a file that mount something else at our targets; none where it cannot be read."""
    try:
        rows = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    escaped = {_escape(target) for target in targets}
    return [row for row in rows if _target(row) in escaped and not _is_ours(row, escaped)]


def _is_ours(line: str, targets: set[str]) -> bool:
    """A line for one of our targets that mounts a subvolume by UUID: this system's, or an earlier one's."""
    source, _, _, options, *_ = [*line.split(), *4 * [""]]
    subvolume = any(option.startswith(("subvol=", "X-mount.subdir=")) for option in options.split(","))
    return _target(line) in targets and source.startswith("UUID=") and subvolume


def _target(line: str) -> str:
    """Where a line mounts; empty for a comment, or what is no entry."""
    words = line.split()
    return words[1] if len(words) > 1 and not words[0].startswith("#") else ""
