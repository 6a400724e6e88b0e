"""Reads regular files, replaces files atomically, and converts paths to and from the root prefix."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path


def read_regular(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read, or it is not a regular file: reading a FIFO may block, a device may never end.
    """
    with open(path, "rb", opener=open_at_once) as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read()
    raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the other end of a FIFO; an opener for `open`."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def write_atomic(path: Path, text: str, mode: int) -> None:
    """Replace a file atomically: a reader finds the whole old or the whole new file, also after a power loss.

    Missing parent folders are made. Surrogate escapes in the text are written as the bytes that they represent.

    Raises:
        OSError: it cannot be written; the old file is unchanged, and no temporary file is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = unused_name(path)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _fill(handle, text, mode)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _fill(handle: int, text: str, mode: int) -> None:
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(handle, mode)
        file.write(text)
        file.flush()
        os.fsync(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def unused_name(path: Path) -> Path:
    """Return a unique temporary name in the folder of a file."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def under(root: str, path: str) -> str:
    """Return a path of the system that is provisioned with the root prefix in front of it."""
    return str(Path(root) / path.lstrip("/"))


def inside(path: str, root: str) -> str:
    """Return a path without the root prefix; the reverse of `under`.

    Raises:
        ValueError: the path is not below the root.
    """
    return f"/{Path(path).relative_to(root)}"
