"""Making the subvolumes of a mounted filesystem, seeing which are there, and writing everything through."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import unfinished
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.system import ioctl, run, threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.work.mounting import Wanted


# bcachefs and others make it for what a check recovers.
_LOST_AND_FOUND = "lost+found"


def present(top: Wanted, names: Sequence[str]) -> list[str]:
    """Those of the names that are subvolumes below the mounted top of a filesystem."""
    inode = filesystems.module(top.filesystem.type).SUBVOLUME_INODE
    return [name for name in names if _is_subvolume(Path(top.target) / name, inode)]


def _is_subvolume(path: Path, inode: int | None) -> bool:
    if not path.is_dir() or path.is_symlink():
        return False
    return inode is None or path.stat().st_ino == inode


def check_empty(top: Wanted, names: Sequence[str]) -> None:
    """See that a filesystem that is not finished holds nothing but empty subvolumes, below its mounted top.

    Raises:
        NotEmptyError: somebody has put something there.
    """
    place = Path(top.target)
    found = [entry for entry in place.iterdir() if entry.name not in (*names, _LOST_AND_FOUND)]
    for name in (*names, _LOST_AND_FOUND):
        found += (place / name).iterdir() if (place / name).is_dir() else ()
    if found:
        raise NotEmptyError(
            f"{top.filesystem.uuid} is not finished and holds {found[0].relative_to(place)}: somebody has used it",
            hint=unfinished.HINT,
        )


def make(top: Wanted, names: Sequence[str]) -> None:
    """Make those of the subvolumes that are not there, and see that all are.

    Raises:
        ToolError: a command failed, the kernel refused, or one is not there afterwards.
    """
    have = present(top, names)
    module = filesystems.module(top.filesystem.type)
    _carry_out([module.create_subvolume(top.target, name) for name in names if name not in have], top.target)
    if present(top, names) != list(names):
        raise ToolError(f"the subvolumes of {top.target} are not there after they were made", hint="see dmesg")


def _carry_out(wanted: Sequence[ioctl.Ioctl | list[str]], top: str) -> None:
    run.commands([one for one in wanted if isinstance(one, list)], writes=True)
    try:
        ioctl.call(top, [one for one in wanted if isinstance(one, ioctl.Ioctl)])
    except OSError as error:
        raise ToolError(f"the subvolumes of {top} cannot be made: {error.strerror}", hint="see dmesg") from error


def sync(tops: Sequence[Wanted]) -> None:
    """Write everything of some filesystems through: a new subvolume is lost at a power cut before that.

    Raises:
        ToolError: one hangs.
        OSError: one cannot be written.
    """
    threads.each(_sync, tops, lambda top: top.target)


def _sync(top: Wanted) -> None:
    call = filesystems.module(top.filesystem.type).SYNC
    if call:
        ioctl.call(top.target, [call])
    else:
        os.sync()
