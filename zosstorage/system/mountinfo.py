"""What is mounted, by mountinfo: a mount program may ignore an option that it does not know, the kernel tells."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

PROC = Path("/proc")
_OURS = PROC / "self/mountinfo"


@attrs.frozen
class Mounted:
    """A line of mountinfo (proc_pid_mountinfo(5)).

    Attributes:
        number: `major:minor` of the filesystem; btrfs and bcachefs show an anonymous one.
        root: the path within the filesystem that is mounted here: the subvolume.
        target: the path of the mount point.
        source: a device, several joined by colons (bcachefs), or any text.
        options: those of the mount and of the filesystem together.
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
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    # No `splitlines`: the kernel escapes the newline, and no other character that ends a line for Python.
    return tuple(_parse(line) for line in text.split("\n") if " - " in line)


def at(target: str, path: Path = _OURS) -> Mounted | None:
    """The topmost mount at a path.

    Raises:
        OSError: mountinfo cannot be read.
    """
    return next((mounted for mounted in reversed(read(path)) if mounted.target == target), None)


def every_namespace() -> tuple[Mounted, ...]:
    """The mounts of every mount namespace that a visible process lives in."""
    seen: dict[str, tuple[Mounted, ...]] = {}
    for process in PROC.glob("[0-9]*"):
        try:
            namespace = str((process / "ns/mnt").readlink())
            if namespace not in seen:
                seen[namespace] = read(process / "mountinfo")
        except OSError:  # the process has ended, or is a zombie
            continue
    return tuple(mounted for mounts in seen.values() for mounted in mounts)


def _parse(line: str) -> Mounted:
    before, _, after = line.partition(" - ")
    _, _, number, root, target, options, *_ = before.split(" ")
    fstype, source, superblock = [*after.split(" "), "", ""][:3]
    return Mounted(
        number=number,
        root=_unescaped(root),
        target=_unescaped(target),
        fstype=fstype,
        source=_unescaped(source),
        options=frozenset(options.split(",")) | frozenset(superblock.split(",")),
    )


def _unescaped(text: str) -> str:
    """Undo the octal escapes of space, tab, newline, backslash and hash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
