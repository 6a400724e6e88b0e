"""What is mounted, read from mountinfo: the only witness, since a mount program may ignore what it does not know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_OURS = PROC / "self/mountinfo"


class Mounted(NamedTuple):
    """A line of mountinfo (proc_pid_mountinfo(5)).

    Attributes:
        number: `major:minor` of the filesystem; btrfs and bcachefs show an anonymous one.
        root: the path within the filesystem that is mounted here: the subvolume.
        options: of the mount and of the filesystem together.
    """

    number: str
    root: str
    target: str
    fstype: str
    source: str
    options: frozenset[str]


def read(path: Path = _OURS) -> tuple[Mounted, ...]:
    """The mounts of one namespace, in the order they were made.

    Raises:
        OSError: it cannot be read (no /proc, or the process is gone).
    """
    return tuple(_parse(line) for line in _lines(path))


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return [line for line in text.split("\n") if " - " in line]  # no other character ends one


def at(target: str, path: Path = _OURS) -> Mounted | None:
    """The topmost mount at a path; of the other lines, the most by far, no more is read than where they are."""
    lines = (line for line in reversed(_lines(path)) if _plain(line.split(" ", 5)[4]) == target)
    return next(map(_parse, lines), None)


def every_namespace() -> tuple[Mounted, ...]:
    """The mounts of every mount namespace that some visible process lives in."""
    seen: dict[str, tuple[Mounted, ...]] = {}
    for process in PROC.glob("[0-9]*"):
        try:
            namespace = str((process / "ns/mnt").readlink())
            if namespace not in seen:
                seen[namespace] = read(process / "mountinfo")
        except OSError:  # it ended meanwhile, or is a zombie
            continue
    return tuple(mounted for mounts in seen.values() for mounted in mounts)


def _parse(line: str) -> Mounted:
    before, _, after = line.partition(" - ")
    _, _, number, root, target, options, *_ = before.split(" ")
    fstype, source, superblock = [*after.split(" "), "", ""][:3]
    return Mounted(
        number,
        _plain(root),
        _plain(target),
        fstype,
        _plain(source),
        frozenset(options.split(",")) | frozenset(superblock.split(",")),
    )


def _plain(text: str) -> str:
    """Undo the octal escapes of blank, tab, newline, backslash and hash."""
    if "\\" not in text:
        return text
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
