"""Formats lines of fstab(5) and merges them into an existing fstab. Pure functions on text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def line(source: str, target: str, fstype: str, options: str) -> str:
    """Return an entry that is not dumped and not checked at boot; `target` is a path without the root prefix."""
    return " ".join([*map(_escape, (source, target, fstype, options)), "0", "0"])


def _escape(text: str) -> str:
    return re.sub(r"[\\ \t\n]", lambda match: f"\\{ord(match[0]):03o}", text)


def merged(before: str, wanted: Sequence[str]) -> str:
    """Return the text of an fstab with the wanted lines in it.

    They are appended in their order; lines that an earlier run wrote for the same targets are removed. All other lines
    stay unchanged. If the wanted lines are in the text in their order, and no others of ours, the text is unchanged.
    """
    targets = {_target(one) for one in wanted}
    rows = before.removesuffix("\n").split("\n") if before else []
    present = [row for row in rows if _is_ours(row, targets)]
    if present == list(wanted):
        return before
    return "\n".join([*(row for row in rows if not _is_ours(row, targets)), *wanted]) + "\n"


def others(rows: Iterable[str], targets: Iterable[str]) -> list[str]:
    """Return the lines of an fstab that mount something else at our targets (paths without the root prefix)."""
    escaped = {_escape(target) for target in targets}
    return [row for row in rows if _target(row) in escaped and not _is_ours(row, escaped)]


def _is_ours(row: str, targets: set[str]) -> bool:
    """Return whether a line mounts a subvolume by UUID at one of our (escaped) targets, as the lines of a run do."""
    source, _, _, options, *_ = [*row.split(), *4 * [""]]
    subvolume = any(option.startswith(("subvol=", "X-mount.subdir=")) for option in options.split(","))
    return _target(row) in targets and source.startswith("UUID=") and subvolume


def _target(row: str) -> str:
    """Return the escaped target of a line; empty for a comment, or for a line that is not an entry."""
    words = row.split()
    return words[1] if len(words) > 1 and not words[0].startswith("#") else ""
