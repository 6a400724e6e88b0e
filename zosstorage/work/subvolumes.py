"""Makes the subvolumes of a mounted filesystem, lists which exist, and syncs the filesystem."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import unfinished
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.system import ioctl, run, threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.work.mounting import Wanted


# The folder for files that a filesystem check recovers; bcachefs and others make it.
_LOST_AND_FOUND = "lost+found"
_MODE = 0o755


def present(top: Wanted, names: Sequence[str]) -> list[str]:
    """Return those of the names that are subvolumes below the mounted top of a filesystem."""
    inode = filesystems.module(top.filesystem.type).SUBVOLUME_INODE
    return [name for name in names if _is_subvolume(Path(top.target) / name, inode)]


def _is_subvolume(path: Path, inode: int | None) -> bool:
    if not path.is_dir() or path.is_symlink():
        return False
    return inode is None or path.stat().st_ino == inode


def check_empty(top: Wanted, names: Sequence[str]) -> None:
    """Check that an unfinished filesystem holds nothing but empty subvolumes, below its mounted top.

    Raises:
        NotEmptyError: it holds something else, which somebody else made.
    """
    place = Path(top.target)
    found = [entry for entry in place.iterdir() if entry.name not in (*names, _LOST_AND_FOUND)]
    for name in (*names, _LOST_AND_FOUND):
        found += (place / name).iterdir() if (place / name).is_dir() else ()
    if found:
        raise NotEmptyError(
            f"{top.filesystem.uuid} is unfinished and contains {found[0].relative_to(place)}: somebody has used it",
            hint=unfinished.HINT,
        )


def make(top: Wanted, names: Sequence[str]) -> None:
    """Make the missing subvolumes and check that all exist.

    Raises:
        ToolError: a command failed, the kernel refused, or a subvolume is still missing.
    """
    have = present(top, names)
    module = filesystems.module(top.filesystem.type)
    _create([module.create_subvolume(top.target, name) for name in names if name not in have], top.target)
    if present(top, names) != list(names):
        raise ToolError(f"the subvolumes of {top.target} are missing after they were made", hint="see the kernel's log")
    for name in names:
        _set_mode(Path(top.target) / name)


def _set_mode(subvolume: Path) -> None:
    """Give a subvolume the mode 0755: the umask of the caller decided it, in this run or in an interrupted one."""
    if stat.S_IMODE(subvolume.stat().st_mode) != _MODE:
        subvolume.chmod(_MODE)


def _create(wanted: Sequence[ioctl.Ioctl | list[str]], top: str) -> None:
    run.commands([one for one in wanted if isinstance(one, list)], writes=True)
    try:
        ioctl.call(top, [one for one in wanted if isinstance(one, ioctl.Ioctl)])
    except OSError as error:
        message = f"the subvolumes of {top} cannot be made: {error.strerror}"
        raise ToolError(message, hint="see the kernel's log") from error


def sync(tops: Sequence[Wanted]) -> None:
    """Sync filesystems to their disks; before that, a power loss can undo a new subvolume.

    Raises:
        ToolError: a filesystem hangs.
        OSError: a filesystem cannot be written.
    """
    threads.each(_sync, tops, lambda top: top.target)


def _sync(top: Wanted) -> None:
    call = filesystems.module(top.filesystem.type).SYNC
    if call:
        ioctl.call(top.target, [call])
    else:
        os.sync()
