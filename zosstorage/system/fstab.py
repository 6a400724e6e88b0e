"""The format of fstab(5): our lines, and how they are merged into the lines of others. Pure functions on text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def line(source: str, target: str, fstype: str, options: str) -> str:
    """An entry that is neither dumped nor checked at boot; `target` is a path without the root prefix."""
    return " ".join([*map(_escape, (source, target, fstype, options)), "0", "0"])


def _escape(text: str) -> str:
    return re.sub(r"[\\ \t\n]", lambda match: f"\\{ord(match[0]):03o}", text)


def merged(before: str, wanted: Sequence[str]) -> str:
    """The text of an fstab with our lines in it.

    They replace the lines that an earlier system of ours left for the same targets, and are appended in their order.
    Every other line is unchanged, and the whole text is when our lines, and no others of ours, are in it in order.
    """
    targets = {_target(one) for one in wanted}
    rows = before.removesuffix("\n").split("\n") if before else []
    present = [row for row in rows if _is_ours(row, targets)]
    if present == list(wanted):
        return before
    return "\n".join([*(row for row in rows if not _is_ours(row, targets)), *wanted]) + "\n"


def others(rows: Iterable[str], targets: Iterable[str]) -> list[str]:
    """Those of the lines of an fstab that mount something of others at our targets (paths without the root prefix)."""
    escaped = {_escape(target) for target in targets}
    return [row for row in rows if _target(row) in escaped and not _is_ours(row, escaped)]


def _is_ours(row: str, targets: set[str]) -> bool:
    """Whether a line mounts a subvolume by UUID at one of our (escaped) targets, as this and earlier systems do."""
    source, _, _, options, *_ = [*row.split(), *4 * [""]]
    subvolume = any(option.startswith(("subvol=", "X-mount.subdir=")) for option in options.split(","))
    return _target(row) in targets and source.startswith("UUID=") and subvolume


def _target(row: str) -> str:
    """The escaped target of a line; empty for a comment, or for a line that is no entry."""
    words = row.split()
    return words[1] if len(words) > 1 and not words[0].startswith("#") else ""
