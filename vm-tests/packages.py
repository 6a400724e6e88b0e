"""Debian packages of other suites, downloaded through a private apt folder and unpacked; nothing is installed.

Everything lies under .cache/vm, in a folder named after the versions that were downloaded.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from aptget import Apt

TOP = Path(__file__).resolve().parent.parent
CACHE = TOP / ".cache" / "vm"
SUITE = "trixie"
TOOLS = (
    *("util-linux", "mount", "fdisk", "dosfstools", "btrfs-progs", "busybox-static", "kmod", "udev"),
    *("python3.13-minimal", "libpython3.13-stdlib", "strace"),
)
# Not in trixie; built for unstable, it may want newer libraries than trixie has: apt takes those with it.
EXPERIMENTAL = ("bcachefs-tools",)
PREFERENCES = (
    "Package: *\nPin: release n=trixie\nPin-Priority: 900\n\n"
    "Package: *\nPin: release a=unstable\nPin-Priority: 100\n\n"
    "Package: bcachefs-tools\nPin: release a=experimental\nPin-Priority: 950\n"
)
KERNELS = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}


def fetch() -> dict[str, Path]:
    """Download and unpack: "tools" → a root with the userland, a kernel's name → a root with it and its modules."""
    apt = Apt(CACHE / "apt", (SUITE, "unstable", "experimental"), preferences=PREFERENCES)
    try:
        apt("update")
    except SystemExit:
        if not (CACHE / "roots").exists():
            raise
        print("apt-get update failed: going on with what is cached")
    found = {"tools": _unpacked(apt, "tools", apt.closure(*TOOLS, *EXPERIMENTAL), (*TOOLS, *EXPERIMENTAL))}
    for name, package in KERNELS.items():
        image = next(deb for deb in apt.closure(package) if re.match(r"linux-image-[0-9]", deb))
        found[name] = _unpacked(apt, name, [image], (image.partition("_")[0],), alone=True)
    return found


def _unpacked(apt: Apt, name: str, debs: list[str], packages: tuple[str, ...], *, alone: bool = False) -> Path:
    """The root that those files unpack to; made when these very versions were not unpacked before."""
    key = hashlib.sha256("\n".join(sorted(debs)).encode()).hexdigest()[:12]
    root = CACHE / "roots" / f"{name}-{key}"
    if root.exists():
        return root
    archives = CACHE / "apt/cache/archives"
    if alone:
        apt("download", *packages, cwd=archives)
    else:
        apt("install", "--yes", "--download-only", *packages)
    staging = root.with_suffix(".new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for deb in debs:
        subprocess.run(["dpkg-deb", "--extract", archives / deb, staging], check=True)
    staging.rename(root)
    return root


if __name__ == "__main__":
    for name, root in fetch().items():
        print(name, root)
