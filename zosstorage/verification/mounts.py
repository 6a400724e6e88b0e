"""Checks of mounts, each by its path, and of the lines of fstab."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from zosstorage.output.verification import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from zosstorage.facts import Mount
    from zosstorage.output.report import Report
    from zosstorage.verification.tools import Tools

_COLUMNS = "ID,TARGET,SOURCE,FSTYPE,FSROOT,VFS-OPTIONS,FS-OPTIONS"
# Options that the kernel lists exactly if they are in force (proc_pid_mountinfo(5)).
_LISTED = frozenset(
    ("nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime", "relatime", "lazytime", "sync", "dirsync")
)
# Options of btrfs with a value that it lists if they are in force; `zstd` is listed as `zstd:3`.
_LISTED_VALUES = ("compress", "compress-force")
# These name the subvolume: the root of the mount shows it.
_SUBVOLUME = ("subvol=", "X-mount.subdir=", "subvolid=")


@frozen
class Seen:
    """A mount, as findmnt shows it.

    Attributes:
        number: its mount ID.
        target: the path of the mount point.
        sources: its device; several for a bcachefs.
        fstype: the type of the filesystem.
        root: the path within the filesystem that is mounted.
        flags: the options of the mount.
        options: the options of the filesystem.
    """

    number: int
    target: str
    sources: tuple[str, ...]
    fstype: str
    root: str
    flags: tuple[str, ...]
    options: tuple[str, ...]

    @property
    def is_writable(self) -> bool:
        """Whether neither the mount nor the filesystem is read-only."""
        return "ro" not in self.flags and "ro" not in self.options


@frozen
class Mounts:
    """All mounts of this mount namespace; `problem` says why they are not known."""

    all: tuple[Seen, ...]
    problem: str = ""

    def at(self, path: str) -> tuple[Seen | None, str]:
        """What somebody who opens a path finds mounted there, and in words what is there instead.

        findmnt alone looks for the text of the path in mountinfo: a mount below a directory that another mount covers
        is still listed there. The kernel tells which mount an open directory is on.
        """
        if self.problem:
            return None, self.problem
        real = os.path.realpath(path)
        number = _mount_id(real)
        here = next((one for one in self.all if one.number == number), None)
        if here and here.target == real:
            return here, ""
        hidden = any(one.target == real for one in self.all)
        if hidden and here:
            return None, f"hidden by {here.fstype} at {here.target}"
        return None, "hidden by another mount" if hidden else "nothing"


def read(tools: Tools) -> Mounts:
    """Read the mounts of this namespace by findmnt."""
    document, problem = tools.json("findmnt", "--kernel", "--json", "--list", "--nofsroot", "--output", _COLUMNS)
    try:
        return Mounts((), problem) if problem else Mounts(tuple(map(_seen, document["filesystems"])))
    except (KeyError, TypeError, ValueError):
        return Mounts((), "findmnt printed JSON of an unknown form")


def _seen(row: Mapping[str, Any]) -> Seen:
    flags, options = (tuple(str(row[key] or "").split(",")) for key in ("vfs-options", "fs-options"))
    source = str(row["source"] or "")
    sources = tuple(source.split(":")) if source.startswith("/dev/") else (source,)
    return Seen(int(row["id"]), str(row["target"]), sources, str(row["fstype"]), str(row["fsroot"]), flags, options)


def _mount_id(path: str) -> int | None:
    """The ID of the mount that a path is on, or would be on if it existed (proc_pid_fdinfo(5))."""
    for place in (path, *map(str, Path(path).parents)):
        try:
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # it does not exist: the directory above it tells what hides it
            continue
        try:
            text = Path(f"/proc/self/fdinfo/{handle}").read_text("ascii")
        finally:
            os.close(handle)
        found = re.search(r"^mnt_id:\s*(\d+)$", text, re.MULTILINE)
        return int(found[1]) if found else None
    return None


def check(mount: Mount, path: str, devices: tuple[str, ...], mounts: Mounts) -> Iterator[Check]:
    """Check what is mounted at a path: filesystem, subvolume, read-write, options.

    Args:
        mount: the promise.
        path: where the promised target is now.
        devices: the nodes on which the promised filesystem was seen.
        mounts: all mounts.
    """
    seen, problem = mounts.at(path)
    promised = f"{mount.source} ({mount.fstype})"
    if seen is None:
        yield Check("mount", path, "mounted", promised, problem, ok=False)
        return
    is_it = is_mounted(seen, mount.fstype, devices)
    told = promised if is_it else f"{':'.join(seen.sources)} ({seen.fstype})"
    yield Check("mount", path, "mounted", promised, told, is_it)
    if not is_it:
        return
    root = "/" + subvolume(mount)
    yield Check("mount", path, "subvolume", root, seen.root, seen.root == root)
    yield _check_writable(path, seen)
    promised_options = [word for word in mount.options.split(",") if not word.startswith(_SUBVOLUME)]
    yield _check_options(path, promised_options, seen)


def is_mounted(seen: Seen, fstype: str, devices: tuple[str, ...]) -> bool:
    """Whether a mount is of the filesystem on those devices."""
    return seen.fstype == fstype and bool(devices) and set(seen.sources) <= set(devices)


def subvolume(mount: Mount) -> str:
    """The name of the subvolume that a mount is promised to show; empty for the whole filesystem."""
    named = (word.partition("=")[2] for word in mount.options.split(",") if word.startswith(_SUBVOLUME[:2]))
    return next(named, "").lstrip("/")


def _check_writable(path: str, seen: Seen) -> Check:
    whole = "ro" in seen.options
    told = "rw" if seen.is_writable else "ro (the whole filesystem)" if whole else "ro (this mount)"
    warning = (
        "" if seen.is_writable else "somebody, or the kernel after an error, made it read-only: see the kernel log"
    )
    return Check("mount", path, "read-write", "rw", told, seen.is_writable, warning)


def _check_options(path: str, promised: list[str], seen: Seen) -> Check:
    listed = {*seen.flags, *seen.options}
    missing = [word for word in promised if not _is_in_force(word, listed)]
    told = ",".join((*seen.flags, *(word for word in seen.options if word not in ("rw", "ro"))))
    return Check("mount", path, "options", ",".join(promised), told, not missing)


def _is_in_force(word: str, listed: set[str]) -> bool:
    """Whether an option is in force; true as well for one of which the kernel shows nothing."""
    key, equals, value = word.partition("=")
    if not equals:
        return word not in _LISTED or word in listed
    values = [one.partition("=")[2] for one in listed if one.startswith(f"{key}=")]
    if not values:
        return key not in _LISTED_VALUES or value in ("no", "none")
    return any(one == value or one.startswith(f"{value}:") for one in values)


def check_fstab(report: Report, path: str, inside: Mapping[str, str], tools: Tools) -> Iterator[Check]:
    """Check that fstab has one line for each subvolume, as promised, and no other line for its target.

    Args:
        report: the promises.
        path: where the fstab is now.
        inside: the target in fstab of each target in the report.
        tools: the tools.
    """
    words = ("--fstab", "--tab-file", path, "--json", "--list", "--output", "SOURCE,TARGET,FSTYPE,OPTIONS")
    document, problem = tools.json("findmnt", *words)
    rows = (document or {}).get("filesystems", [])
    for mount in report.mounts:
        if not subvolume(mount):
            continue
        target = inside[mount.target]
        promised = f"{mount.source} {target} {mount.fstype} {mount.options}"
        lines = [_line(row) for row in rows if row.get("target") == target]
        seen = problem or "; ".join(lines) or "no line"
        yield Check("fstab", path, f"line for {target}", promised, seen, lines == [promised])


def _line(row: Mapping[str, Any]) -> str:
    return " ".join(str(row.get(key)) for key in ("source", "target", "fstype", "options"))
