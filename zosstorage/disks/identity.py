"""Is it still the same disk, and ours alone for the moment of writing?"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zosstorage.disks import sysfs
from zosstorage.errors import NotEmptyError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.facts import Disk


def check(disk: Disk) -> None:
    """Hold a disk's identity (number, serial, WWN, sizes, diskseq) against what the plan was made for.

    Raises:
        NotEmptyError: another disk answers to its name, or none.
    """
    try:
        now = sysfs.read_disk(disk.name)
    except OSError:
        raise NotEmptyError(
            f"{disk.path} is gone since it was examined", hint="run again with the disks as they are"
        ) from None
    names = ("device number", "serial", "WWN", "size", "sector size", "diskseq")
    for name, then, here in zip(names, disk.identity, now.identity, strict=True):
        if then != here:
            raise NotEmptyError(
                f"{disk.path} is not the disk that was examined: its {name} was {then!r} and is {here!r}",
                hint="run again with the disks as they are",
            )


@contextmanager
def locked(disk: Disk, *, exclusive: bool) -> Iterator[None]:
    """Hold the BSD lock of a whole disk (udev leaves it alone meanwhile) and, if `exclusive`, the kernel's claim on it.

    The claim (O_EXCL) fails while anything uses the disk or a partition, and nothing can mount or claim it while it is
    ours; partitions cannot be made a filesystem of meanwhile.

    Raises:
        NotEmptyError: the disk is in use.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_EXCL if exclusive else 0)
    try:
        handle = os.open(disk.path, flags)
    except OSError as error:
        raise NotEmptyError(
            f"{disk.path} cannot be claimed: {error.strerror}", hint=f"see fuser -v {disk.path}; something uses it now"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise NotEmptyError(
            f"another program holds the lock of {disk.path}", hint=f"see fuser -v {disk.path}"
        ) from error
    finally:
        os.close(handle)
