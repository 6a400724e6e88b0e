"""A folder that one build leaves to the next. MANIFEST has the SHA-256 digest of each file, as sha256sum writes it."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "MANIFEST"


def folder(path: Path, fill: Callable[[Path], None], *, anew: bool = False) -> Path:
    """The folder `path`, filled by `fill`: now, or by an earlier build if every file is as that build left it.

    With `anew`, what an earlier build left is not used.
    """
    if not anew and _is_intact(path):
        return path
    if path.exists() and not anew:
        print(f"{path} is incomplete or not as its build left it: it is built again")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    fill(path)
    rows = [f"{sha256(path / name)}  {name}\n" for name in sorted(_files(path))]
    (path / MANIFEST).write_text("".join(rows), "utf-8")
    return path


def _is_intact(path: Path) -> bool:
    """Whether every file of the manifest is there and unchanged. Files it does not name are removed."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        return False
    rows = [row.split("  ", 1) for row in manifest.read_text("utf-8").splitlines()]
    known = {name: digest for digest, name in rows}
    present = _files(path) - {MANIFEST}
    for name in present - known.keys():
        (path / name).unlink()
    return known.keys() <= present and all(sha256(path / name) == digest for name, digest in known.items())


def _files(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*") if found.is_symlink() or found.is_file()}


def sha256(path: Path) -> str:
    """The digest of a file, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
