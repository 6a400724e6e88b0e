"""Reads mountinfo: what the kernel has really mounted, also if a mount program ignored an option without an error."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

PROC = Path("/proc")
_SELF = PROC / "self/mountinfo"


@attrs.frozen
class Mounted:
    """A line of mountinfo (proc_pid_mountinfo(5)).

    Attributes:
        number: `major:minor` of the filesystem; btrfs and bcachefs show an anonymous one.
        root: the path within the filesystem that is mounted here: the subvolume.
        target: the path of the mount point.
        source: a device, several joined by colons (bcachefs), or any text.
        options: the options of the mount and of the filesystem.
    """

    number: str
    root: str
    target: str
    fstype: str
    source: str
    options: frozenset[str]


def read(path: Path = _SELF) -> tuple[Mounted, ...]:
    """Return the mounts of one mount namespace, in the order in which they were made.

    Raises:
        OSError: mountinfo cannot be read (no /proc, or the process has ended).
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    # Not `splitlines`: the kernel escapes the newline, but not the other characters at which `splitlines` splits.
    return tuple(_parse(line) for line in text.split("\n") if " - " in line)


def at(target: str, path: Path = _SELF) -> Mounted | None:
    """Return the topmost mount at a path, or None.

    Raises:
        OSError: mountinfo cannot be read.
    """
    return next((mounted for mounted in reversed(read(path)) if mounted.target == target), None)


def every_namespace() -> tuple[Mounted, ...]:
    """Return the mounts of all mount namespaces that have a visible process."""
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
