"""An apt of its own, for the packages of other suites: nothing of it touches what this system has installed.

The sources are derived from this system's own: the same mirror, another suite. ZOSSTORAGE_VM_MIRROR overrides the
mirror.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_KEYRINGS = Path("/usr/share/keyrings")


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

    def __init__(self, folder: Path, suites: tuple[str, ...], *, kind: str = "deb", preferences: str = "") -> None:
        """`kind` is deb or deb-src; `preferences` is the text of an apt_preferences file."""
        self.folder = folder
        for name in ("lists/partial", "cache/archives/partial", "etc", "parts"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        ring = folder / "debian.gpg"
        # The archive's keys of all suites in one file: an older system knows a newer suite by its newest key. The ring
        # of removed keys is not in it; one of these never expires.
        rings = sorted({*_KEYRINGS.glob("debian-archive-*.gpg")} - {_KEYRINGS / "debian-archive-removed-keys.gpg"})
        ring.write_bytes(b"".join(path.read_bytes() for path in rings))
        stanza = "Types: {}\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: {}\n"
        text = "\n".join(stanza.format(kind, mirror(), suite, ring) for suite in suites)
        (folder / "sources.sources").write_text(text)
        (folder / "etc/preferences").write_text(preferences)

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
