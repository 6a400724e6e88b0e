"""The paths that a run mounts on or writes, as they are on this machine.

With `trial`, what the run will do with a file is done with a temporary one, which is removed: permissions do not show a
full filesystem, or one like /proc. Without it, nothing is written, and only what can be asked is found out.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.filesystems import DATA_TYPES
from zosstorage.observed import ObservedPlace
from zosstorage.system import ioctl, mountinfo
from zosstorage.system.files import under, unused_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zosstorage.config.schema import Config
    from zosstorage.system.mountinfo import Mounted

# The space that a file must get, in bytes: a report with some hundred disks.
_FILE_BYTES = 256 << 10


def observe(config: Config, kept: Iterable[str], *, trial: bool) -> list[ObservedPlace]:
    """The places of a plan; `kept` are the UUIDs of finished filesystems, whose mount points may exist."""
    data_root = under(config.root, config.mounts.data_root)
    fstab = [under(config.root, config.fstab.path)] if config.fstab.enabled else []
    return [
        *(_folder(under(config.root, target), trial=trial) for target in config.mounts.targets.values()),
        _folder(data_root, parent=True, trial=trial),
        _folder(config.run_dir, trial=trial),
        *(_folder(f"{data_root}/{uuid}", trial=trial) for uuid in kept),
        _file(config.report.path, config.report.path, trial=trial),
        # A symbolic link is kept; its target is replaced.
        *(_file(path, os.path.realpath(path), trial=trial) for path in fstab),
    ]


def _folder(path: str, *, trial: bool, parent: bool = False) -> ObservedPlace:
    """A directory to mount on, or with `parent` one in which mount points are created."""
    above = _above(Path(path))
    exists = above == Path(path)
    real = os.path.realpath(path)
    mounted = mountinfo.at(real)
    refused = _leads_nowhere(Path(path))
    if not refused and above.is_dir() and (parent or not exists):
        refused = _too_long(above, *Path(path).relative_to(above).parts) or _refused(above, trial=trial, size=0)
    source = _source(mounted) if mounted else None
    return ObservedPlace(path, exists, str(above), above.is_dir(), exists and above.is_file(), refused, real, source)


def _file(path: str, where: str, *, trial: bool) -> ObservedPlace:
    """A file that will be replaced; `where` is its path without a final symbolic link, if that is followed."""
    above = _above(Path(where))
    exists = above == Path(where)
    folder = above.parent if exists else above
    refused = (
        _leads_nowhere(Path(where).parent)
        or ("" if folder.is_dir() else f"{folder} is a file")
        or _too_long(folder, *Path(where).relative_to(folder).parts)
        or (_not_replaced(where) if exists else "")
        or _refused(folder, trial=trial, size=_FILE_BYTES)
    )
    real = os.path.realpath(path)
    return ObservedPlace(path, exists, str(above), above.is_dir(), exists and above.is_file(), refused, real)


def _source(mounted: Mounted) -> str:
    """What is mounted; the source of another type than those that we make is a text that anybody may have chosen."""
    return mounted.source if mounted.fstype in DATA_TYPES else f"{mounted.source} ({mounted.fstype})"


def _above(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    # Not Path.exists, which raises an exception for a name that is too long.
    return next(parent for parent in (path, *path.parents) if os.path.exists(parent))  # noqa: PTH110


def _leads_nowhere(path: Path) -> str:
    """Which symbolic link in a path has no target; empty if there is none."""
    links = (link for link in (path, *path.parents) if os.path.islink(link) and not os.path.exists(link))  # noqa: PTH110, PTH114
    return next((f"{link} is a symbolic link that leads nowhere" for link in links), "")


def _too_long(folder: Path, *names: str) -> str:
    """Why a name below a directory is too long for the filesystem; empty if none is."""
    most = os.pathconf(folder, "PC_NAME_MAX")
    size = max((len(os.fsencode(name)) for name in names), default=0)
    return f"a name in it has {size} bytes, and {folder} takes at most {most}" if size > most else ""


def _not_replaced(path: str) -> str:
    """Why a file that exists cannot be replaced by another one; empty if it can."""
    if mountinfo.at(os.path.realpath(path)):
        return "it is a mount point (a bind mount), so it cannot be replaced"
    flags = ioctl.protection(path) if Path(path).is_file() else ()
    return f"it is {' and '.join(flags)} (lsattr)" if flags else ""


def _refused(folder: Path, *, trial: bool, size: int) -> str:
    """Why no file of `size` bytes can be created in a directory, and renamed; empty if one can."""
    try:
        (_try if trial else _ask)(folder, size)
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def _try(folder: Path, size: int) -> None:
    tried, renamed = unused_name(folder / "zosstorage"), unused_name(folder / "zosstorage")
    handle = os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(bytes(size))  # not fallocate(2), which ramfs and FAT lack, and which musl does not emulate
        tried.rename(renamed)
    finally:
        tried.unlink(missing_ok=True)
        renamed.unlink(missing_ok=True)


def _ask(folder: Path, size: int) -> None:
    """Raise the error that `_try` would raise, as far as the kernel tells."""
    seen = os.statvfs(folder)
    problems = (
        (seen.f_flag & os.ST_RDONLY, errno.EROFS),
        (not os.access(folder, os.W_OK | os.X_OK), errno.EACCES),
        (ioctl.protection(str(folder)), errno.EPERM),
        (seen.f_files and not seen.f_favail, errno.ENOSPC),
        (seen.f_blocks and seen.f_bavail * seen.f_frsize < size, errno.ENOSPC),
    )
    for applies, number in problems:
        if applies:
            raise OSError(number, os.strerror(number))
