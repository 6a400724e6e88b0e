"""The executables behind the tools' names: where they are, who packs them, and which are no more than applets."""

from __future__ import annotations

import os
from pathlib import Path

# Searched behind PATH: initramfs environments often lack the sbin folders in it.
SYSTEM_PATH = ":/usr/sbin:/sbin:/usr/bin:/bin"


def which(name: str) -> str | None:
    """The executable of that name on PATH, or in the system's own folders; a path stands for itself."""
    # As shutil.which does, whose import would cost more than all the searches of a run.
    folders = f"{os.environ.get('PATH', '')}{SYSTEM_PATH}".split(":")
    found = (name if "/" in name else f"{folder}/{name}" for folder in folders if folder)
    return next((path for path in found if os.access(path, os.X_OK) and Path(path).is_file()), None)


# The packages that carry a tool: Alpine's and Debian's name, where they differ.
_PACKAGES = {
    "blkid": ("blkid", "util-linux"),
    "wipefs": ("wipefs", "util-linux"),
    "sfdisk": ("sfdisk", "fdisk"),
    "partx": ("partx", "util-linux"),
    "mount": ("mount", "mount"),
    "umount": ("umount", "mount"),
    "mkfs.fat": ("dosfstools", "dosfstools"),
    "mkfs.btrfs": ("btrfs-progs", "btrfs-progs"),
    "btrfs": ("btrfs-progs", "btrfs-progs"),
    "bcachefs": ("bcachefs-tools", "bcachefs-tools"),
}


def package(tool: str) -> str:
    """Which package an operator installs to get a tool."""
    alpine, debian = _PACKAGES.get(tool, (tool, tool))
    return f"the package {alpine}" if alpine == debian else f"the package {alpine} (Alpine) or {debian} (Debian)"


def is_applet(path: str) -> str | None:
    """Name the multi-call binary that a tool really is (busybox, toybox): such an applet ignores options we rely on.

    A link gives it away by its target; a copy or hard link by the banner that the binary holds.
    """
    real = Path(path).resolve()
    if (name := real.name.partition(".")[0]) in ("busybox", "toybox"):
        return name
    with real.open("rb") as binary:
        data = binary.read(min(4 << 20, os.fstat(binary.fileno()).st_size))
    if b"BusyBox v" not in data and b"toybox " not in data:  # a search for plain bytes is quicker by far
        return None
    import re

    found = re.search(rb"(BusyBox) v\d|(toybox) \d", data)
    return found[0].split()[0].decode("ascii").lower() if found else None
