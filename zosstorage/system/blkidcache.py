"""A cache file for libblkid that is ours alone: it spares tools a look at every block device of the machine.

Where no udev keeps links, `mount UUID=` looks for its filesystem on all of them, each mount anew; `mkfs.btrfs -U` does
so always, to see that no other has the UUID, which for a random one is so. With many disks nothing takes longer.
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
# libblkid ignores a line without a type, and nothing asks for it.
_TYPE = "unknown"
# What libblkid saw it writes back, for the next one to read: not into this file, which others read meanwhile.
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


@contextmanager
def naming(filesystems: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The environment of commands that look for filesystems by UUID: `filesystems` are node → UUID.

    With a time of 0, libblkid looks at the device itself before it believes the file, and at all devices if that is not
    what it finds.
    """
    with _file(_line(node, "0.0", f' UUID="{uuid}"') for node, uuid in filesystems.items()) as environment:
        yield environment


@contextmanager
def looked_at(nodes: Iterable[str]) -> Iterator[dict[str, str]]:
    """The environment of commands to which these nodes carry nothing of interest.

    libblkid believes what was seen within the last two seconds, unless it was written to later.
    """
    end_of_this_second = f"{int(time.time())}.999999"
    with _file(_line(node, end_of_this_second) for node in nodes) as environment:
        yield environment


def _line(node: str, seen: str, tags: str = "") -> str:
    try:
        number = Path(node).stat().st_rdev
    except OSError:  # the kernel has it and /dev has not: nobody can look at it
        return ""
    return _LINE.format(number=number, seen=seen, tags=tags, type=_TYPE, node=node)


@contextmanager
def _file(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Where the kernel gives no such file, tools look at all devices, as they always do."""
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
    """Whether a path is our file's. In the /proc of another PID namespace it is a stranger's, and would be written."""
    try:
        return os.path.samestat(Path(path).stat(), os.fstat(handle))
    except OSError:
        return False
