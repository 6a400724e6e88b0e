"""The executables of the tools: where they are, which package has them, and which are applets of busybox or toybox."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

# Searched after PATH: in an initramfs, PATH often lacks the sbin folders.
SYSTEM_PATH = ":/usr/sbin:/sbin:/usr/bin:/bin"

# The packages that contain a tool: Alpine's and Debian's name.
_PACKAGES = {
    "blkid": ("blkid", "util-linux"),
    "wipefs": ("wipefs", "util-linux"),
    "sfdisk": ("sfdisk", "fdisk"),
    "findmnt": ("findmnt", "util-linux"),
    "partx": ("partx", "util-linux"),
    "mount": ("mount", "mount"),
    "umount": ("umount", "mount"),
    "mkfs.fat": ("dosfstools", "dosfstools"),
    "mkfs.btrfs": ("btrfs-progs", "btrfs-progs"),
    "btrfs": ("btrfs-progs", "btrfs-progs"),
    "bcachefs": ("bcachefs-tools", "bcachefs-tools"),
}

# The version banner that each multi-call binary contains.
_BANNERS = {"busybox": rb"BusyBox v\d", "toybox": rb"toybox \d"}
# No multi-call binary is larger, in bytes.
_BANNER_WITHIN = 4 << 20


def which(name: str) -> str | None:
    """Return the path of an executable in the absolute folders of PATH or in the system folders.

    A name with a slash is taken as a path.
    """
    return shutil.which(name, path=_absolute(f"{os.environ.get('PATH', '')}{SYSTEM_PATH}"))


def environment() -> dict[str, str]:
    """Return the environment of this process for a tool, with the absolute folders of PATH only: tools start others."""
    return {**os.environ, "PATH": _absolute(os.environ["PATH"])} if "PATH" in os.environ else {**os.environ}


def _absolute(path: str) -> str:
    """Drop the working directory (an empty entry) and what is below it from a PATH: it may be that of others."""
    return ":".join(folder for folder in path.split(":") if folder.startswith("/"))


def package(tool: str) -> str:
    """Return the package to install for a tool, as a phrase for a hint."""
    alpine, debian = _PACKAGES.get(tool, (tool, tool))
    return f"the package {alpine}" if alpine == debian else f"the package {alpine} (Alpine) or {debian} (Debian)"


def is_applet(path: str) -> str | None:
    """Return `busybox` or `toybox` if a tool is an applet of it, else None; applets lack options that we need.

    A symbolic link is recognised by its target, a copy or a hard link by the banner in the binary.

    Raises:
        OSError: the file cannot be read.
    """
    real = Path(path).resolve()
    if (name := real.name.partition(".")[0]) in _BANNERS:
        return name
    with real.open("rb") as binary:
        data = binary.read(_BANNER_WITHIN)
    return next((name for name, banner in _BANNERS.items() if re.search(banner, data)), None)
