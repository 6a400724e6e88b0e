"""Look at devices that are no targets of a run, each for 2 s at most: a silent one must not hold up the boot."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zosstorage.block import contents, emptiness
from zosstorage.errors import ToolError
from zosstorage.model import Depth, Disk, Evidence
from zosstorage.observed import ObservedDisk
from zosstorage.system import reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.model import Content

log = logging.getLogger(__name__)

_SECONDS = 2.0


def observe(disks: Sequence[Disk], depth: Depth, esp_size: int) -> tuple[ObservedDisk, ...]:
    """Examine disks for information only: one after the other, so that errors stay apart.

    No disk is claimed: another program may be about to use it. If one cannot be examined, or does not answer in time,
    its evidence says why.

    Raises:
        ToolError: no process can be started.
    """
    found = reading.each(lambda disk: _observe(disk, depth, esp_size), disks, _SECONDS)
    silent = f"it did not answer within {_SECONDS:g} s"
    return tuple(seen or _unexamined(disk, silent) for disk, seen in zip(disks, found, strict=True))


def _observe(disk: Disk, depth: Depth, esp_size: int) -> ObservedDisk:
    try:
        return emptiness.observe([disk], depth, esp_size, claim=False)[0]
    except (ToolError, OSError) as error:
        return _unexamined(disk, str(error))


def _unexamined(disk: Disk, reason: str) -> ObservedDisk:
    return ObservedDisk(disk, findings=(Evidence("probe", None, f"it cannot be examined: {reason}"),))


def read_contents(devices: Sequence[str]) -> dict[str, Content]:
    """Read the superblocks of filesystems of ours: device → its superblock, for each device that has one.

    A device that cannot be read has none; the log names one that does not answer in time.

    Raises:
        ToolError: no process can be started.
    """
    found: dict[str, Content] = {}
    for device, seen in zip(devices, reading.each(_read, devices, _SECONDS), strict=True):
        if seen is None:
            message = f"{device} does not answer: whether it carries a copy of a filesystem is not known"
            log.warning(message, extra={"event": "disk.silent", "disk": device})
        elif seen[0]:
            found[device] = seen[0]
    return found


def _read(device: str) -> tuple[Content | None]:
    try:
        return (contents.read_here(device),)
    except ToolError:  # the device has no medium or cannot be opened
        return (None,)
