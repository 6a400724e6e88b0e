"""The cache of builds: folders that a build fills and later builds use again.

Each folder has a file MANIFEST with the SHA-256 digest of every other file in it, in the format of sha256sum.
"""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "MANIFEST"


def cached_folder(path: Path, fill: Callable[[Path], None], *, rebuild: bool = False) -> Path:
    """Return the folder `path`, filled by `fill`.

    `fill` is called only if the folder is not there or its files differ from its manifest, or if `rebuild` is set.
    """
    if not rebuild and _is_intact(path):
        return path
    if path.exists() and not rebuild:
        print(f"{path} is incomplete or was changed since it was built: it is built again")
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    fill(path)
    rows = [f"{sha256(path / name)}  {name}\n" for name in sorted(_files(path))]
    (path / MANIFEST).write_text("".join(rows), "utf-8")
    return path


def _is_intact(path: Path) -> bool:
    """Return whether every file of the manifest is there and unchanged; remove files that it does not name."""
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
    """Return the SHA-256 digest of a file in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
