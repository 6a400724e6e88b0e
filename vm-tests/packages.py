"""Debian packages of other suites, downloaded through a private apt folder and unpacked; nothing is installed.

The sources are derived from this system's own: the same mirror, another suite. ZOSSTORAGE_VM_MIRROR overrides the
mirror. Everything lies under .cache/vm, in a folder named after the versions that were downloaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
_KEYRINGS = Path("/usr/share/keyrings")
CACHE = TOP / ".cache" / "vm"
SUITE = "trixie"
TOOLS = (
    *("util-linux", "mount", "fdisk", "dosfstools", "btrfs-progs", "busybox-static", "kmod", "udev"),
    *("python3.13-minimal", "libpython3.13-stdlib", "strace"),
)
# Not in trixie; built for unstable, it may want newer libraries than trixie has: apt takes those with it.
EXPERIMENTAL = ("bcachefs-tools",)
KERNELS = {"cloud": "linux-image-cloud-amd64", "generic": "linux-image-amd64"}


def mirror() -> str:
    """The mirror of this system's Debian packages."""
    if override := os.environ.get("ZOSSTORAGE_VM_MIRROR"):
        return override
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        text = file.read_text() if file.is_file() else ""
        found = re.search(r"^URIs:\s*(\S+/debian)/?\s*$", text, re.MULTILINE)
        found = found or re.search(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+/debian)/?\s", text, re.MULTILINE)
        if found:
            return found[1]
    raise SystemExit("no Debian mirror found in /etc/apt; name one in ZOSSTORAGE_VM_MIRROR")


class Apt:
    """An apt of its own: own sources, own lists, own cache, and a dpkg status that knows no package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("lists/partial", "cache/archives/partial", "etc", "parts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        ring = folder / "debian.gpg"
        # All of the system's archive keys in one file: an older system knows a newer suite by its newest key.
        ring.write_bytes(b"".join(path.read_bytes() for path in sorted(_KEYRINGS.glob("debian-archive-*.gpg"))))
        stanza = "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {}\n"
        suites = (SUITE, "unstable", "experimental")
        text = "\n".join(stanza.format(mirror(), suite, ring) for suite in suites)
        (folder / "sources.sources").write_text(text)
        (folder / "etc/preferences").write_text(
            "Package: *\nPin: release n=trixie\nPin-Priority: 900\n\n"
            "Package: *\nPin: release a=unstable\nPin-Priority: 100\n\n"
            "Package: bcachefs-tools\nPin: release a=experimental\nPin-Priority: 950\n"
        )

    def __call__(self, *words: str, cwd: Path | None = None) -> str:
        options = {
            "Dir::Etc::sourcelist": self.folder / "sources.sources",
            "Dir::Etc::sourceparts": self.folder / "parts",
            "Dir::Etc::preferences": self.folder / "etc/preferences",
            "Dir::Etc::preferencesparts": self.folder / "parts",
            "Dir::State::status": self.folder / "status",
            "Dir::State::lists": self.folder / "lists",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        flags = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        done = subprocess.run(["apt-get", "-qq", *flags, *words], cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"apt-get {' '.join(words)} failed:\n{done.stderr}")
        return done.stdout

    def closure(self, *packages: str) -> list[str]:
        """The file names of packages and of all they depend on."""
        empty = self.folder / "none"  # else apt leaves out what it has downloaded already
        (empty / "partial").mkdir(parents=True, exist_ok=True)
        options = ["-o", f"Dir::Cache::archives={empty}"]
        rows = self(*options, "install", "--yes", "--print-uris", *packages).splitlines()
        return [row.split()[1] for row in rows if row.startswith("'")]


def fetch() -> dict[str, Path]:
    """Download and unpack: "tools" → a root with the userland, a kernel's name → a root with it and its modules."""
    apt = Apt(CACHE / "apt")
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
