"""A libblkid cache file of our own, so that tools do not read every block device of the machine.

Without links from udev, `mount UUID=` reads all devices for each mount. `mkfs.btrfs -U` always reads all devices, to
check that no other filesystem has the UUID; ours is random. With many disks nothing in a run takes longer.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_LINE = '<device DEVNO="{number:#06x}" TIME="{seen}"{tags} TYPE="{type}">{node}</device>\n'
# libblkid ignores a line without a type; nothing asks for this one.
_TYPE = "unknown"
# libblkid updates its cache file, and several commands read ours at the same time: the seals prevent all changes.
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def with_filesystems(filesystems: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the environment for commands that look for filesystems by UUID; `filesystems` maps node to UUID.

    The time is 0: libblkid then verifies the entry on the device itself, and reads all devices if it is wrong.
    """
    with _file(_line(node, "0.0", f' UUID="{uuid}"') for node, uuid in filesystems.items()) as environment:
        yield environment


@contextmanager
def without_filesystems(nodes: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the environment for commands that must not look for filesystems on these nodes.

    libblkid does not verify an entry that is at most two seconds old, unless the device was written later.
    """
    end_of_this_second = f"{int(time.time())}.999999"
    with _file(_line(node, end_of_this_second) for node in nodes) as environment:
        yield environment


def _line(node: str, seen: str, tags: str = "") -> str:
    try:
        number = Path(node).stat().st_rdev
    except OSError:  # the device has no node in /dev, so no tool can read it
        return ""
    return _LINE.format(number=number, seen=seen, tags=tags, type=_TYPE, node=node)


@contextmanager
def _file(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the environment with a sealed file in memory; empty if it cannot be made, then tools read all devices."""
    try:
        handle = os.memfd_create("blkid.tab", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        yield {}
        return
    try:
        os.write(handle, "".join(lines).encode())
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)
        path = f"/proc/{os.getpid()}/fd/{handle}"
        yield {"BLKID_FILE": path} if _is_same_file(path, handle) else {}
    finally:
        os.close(handle)


def _is_same_file(path: str, handle: int) -> bool:
    """Return whether a path below /proc is our file.

    If /proc is that of another PID namespace, the path belongs to another process, and libblkid would write to its
    file.
    """
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(handle))
    except OSError:
        return False
