"""Reads regular files, replaces files atomically, and converts paths to and from the root prefix."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

# The largest file that is read whole: checkpoints, reports and fstabs have some KiB, a few hundred with many disks.
LIMIT_BYTES = 16 << 20
# How much of the name of a file is part of that of a temporary one, in bytes: 255 are allowed (NAME_MAX), 18 are added.
_NAME_BYTES = 200
_KINDS = (
    (stat.S_ISDIR, "directory"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "character device"),
    (stat.S_ISBLK, "block device"),
)


def read_regular(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read, is larger than 16 MiB, or is not a regular file.
    """
    with open(path, "rb", opener=open_regular) as file:
        data = file.read(LIMIT_BYTES + 1)
    if len(data) > LIMIT_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {LIMIT_BYTES >> 20} MiB", str(path))
    return data


def open_regular(path: str, flags: int) -> int:
    """Open or create (mode 0600) a regular file; an opener for `open`. It never waits, whatever the path is.

    Raises:
        OSError: it cannot be opened; with EINVAL, it is something else than a regular file.
    """
    with contextlib.suppress(FileNotFoundError):
        _require_regular(path, Path(path).stat().st_mode)  # before it is opened: that can have an effect on a device
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600)
    try:
        _require_regular(path, os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def open_device(path: str, flags: int) -> int:
    """Open a disk or a partition, or an image file in its place; never wait, whatever the path is.

    Raises:
        OSError: it cannot be opened; with ENOTBLK, it is something else.
    """
    _require_device(path, Path(path).stat().st_mode)
    handle = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_device(path, os.fstat(handle).st_mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _require_device(path: str, mode: int) -> None:
    if not stat.S_ISBLK(mode) and not stat.S_ISREG(mode):
        raise OSError(errno.ENOTBLK, f"it is not a block device but a {_kind(mode)}", path)


def _require_regular(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is not a regular file but a {_kind(mode)}", str(path))


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "file of an unknown type")


def open_log(path: str, flags: int) -> int:
    """Open or create a log file with mode 0600, or open a character device (a console); an opener for `open`.

    Raises:
        OSError: it cannot be opened, or it is something else.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISCHR(Path(path).stat().st_mode):
            return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    handle = open_regular(path, flags)
    os.fchmod(handle, 0o600)
    return handle


def make_folders(path: Path) -> None:
    """Make a directory and its missing parents, each with mode 0755 whatever the umask; existing ones stay as they are.

    Raises:
        OSError: one cannot be made, or something else than a directory is there.
    """
    for folder in reversed([one for one in (path, *path.parents) if not one.is_dir()]):
        try:
            folder.mkdir(mode=0o755)
            folder.chmod(0o755)
        except FileExistsError:  # something else, or made in the meantime
            if not folder.is_dir():
                raise


def write_atomic(path: Path, text: str, mode: int) -> None:
    """Replace a file atomically: a reader finds the whole old or the whole new file, also after a power loss.

    Missing parent folders are made. Surrogate escapes in the text are written as the bytes that they represent.

    Raises:
        OSError: it cannot be written; the old file is unchanged, and no temporary file is left.
    """
    make_folders(path.parent)
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
    """Return a unique temporary name in the folder of a file, as long as most filesystems allow at most."""
    name = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
    return path.with_name(f".{name}.{secrets.token_hex(8)}")


def under(root: str, path: str) -> str:
    """Return a path of the system that is provisioned with the root prefix in front of it."""
    return str(Path(root) / path.lstrip("/"))


def inside(path: str, root: str) -> str:
    """Return a path without the root prefix; the reverse of `under`.

    Raises:
        ValueError: the path is not below the root.
    """
    return f"/{Path(path).relative_to(root)}"
