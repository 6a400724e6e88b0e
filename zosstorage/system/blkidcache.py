"""A libblkid cache file of our own, which spares tools from reading every block device of the machine.

`mount UUID=` reads all of them where no udev keeps links, again for each mount. `mkfs.btrfs -U` always does, to see
that no other filesystem has the UUID, which is random. With many disks nothing in a run takes longer.
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
# libblkid writes what it sees back to the file, which several commands read at the same time: prevent that.
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def naming(filesystems: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment of commands that look for filesystems by UUID; `filesystems` maps node to UUID.

    The time is 0: libblkid then verifies the entry on the device itself, and reads all devices if it is wrong.
    """
    with _file(_line(node, "0.0", f' UUID="{uuid}"') for node, uuid in filesystems.items()) as environment:
        yield environment


@contextmanager
def looked_at(nodes: Iterable[str]) -> Iterator[dict[str, str]]:
    """The environment of commands for which these nodes carry nothing of interest.

    libblkid believes an entry that is at most two seconds old, unless the device was written later.
    """
    end_of_this_second = f"{int(time.time())}.999999"
    with _file(_line(node, end_of_this_second) for node in nodes) as environment:
        yield environment


def _line(node: str, seen: str, tags: str = "") -> str:
    try:
        number = Path(node).stat().st_rdev
    except OSError:  # the kernel knows the device, but it has no node in /dev: no tool can read it
        return ""
    return _LINE.format(number=number, seen=seen, tags=tags, type=_TYPE, node=node)


@contextmanager
def _file(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Where the kernel cannot make such a file, the environment is empty and tools read all devices."""
    try:
        handle = os.memfd_create("blkid.tab", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        yield {}
        return
    try:
        os.write(handle, "".join(lines).encode())
        fcntl.fcntl(handle, fcntl.F_ADD_SEALS, _SEALS)
        path = f"/proc/{os.getpid()}/fd/{handle}"
        yield {"BLKID_FILE": path} if _leads_to(path, handle) else {}
    finally:
        os.close(handle)


def _leads_to(path: str, handle: int) -> bool:
    """Whether a path is our file: in the /proc of another PID namespace, it is some process' file and gets written."""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(handle))
    except OSError:
        return False
