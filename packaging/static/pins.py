"""Read and renew pins.toml: the versions and SHA-256 digests of everything that goes into the static file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fetch

_FILES = re.compile(r'(?<=^\[python\.files\]\n)(?:".+\n)+', re.MULTILINE)


def load(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


def renew(path: Path) -> str:
    """Pin the current source package of CPython in the suite; other lines of the file do not change.

    Returns:
        A sentence with the old and the new revision.

    Raises:
        SystemExit: apt cannot reach the suite or cannot verify its package lists.
    """
    pinned = load(path)["python"]
    with TemporaryDirectory() as scratch:
        files = fetch.Suite(pinned, Path(scratch)).files
    rows = "".join(f'"{name}" = "{digest}"\n' for name, digest in files.items())
    path.write_text(_FILES.sub(lambda _: rows, path.read_text("utf-8")), "utf-8")
    old, new = fetch.revision(pinned["files"]), fetch.revision(files)
    return f"{path} pins {pinned['package']} {new}" + (f" instead of {old}" if new != old else ", as before")
