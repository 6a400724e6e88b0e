"""bcachefs: making it, recognising it, mounting it."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING
from uuid import UUID

from zosstorage.errors import UnreadableFilesystemError
from zosstorage.model import Content, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.planned import PlannedFilesystem, PlannedMount
    from zosstorage.system.ioctl import Ioctl

TYPE = "bcachefs"
LABEL = "ZOSDATA"
TOOLS = ("bcachefs",)
# The superblock (bcachefs_format.h, struct bch_sb): at 4 KiB; magic at 24 of it, the user's UUID at 56, label at 72 (32
# bytes), index of the device at 122, number of devices at 123, flags[0] at 144: bit 0 once format has come to its end,
# the wanted data replicas in bits 52 to 55.
SUPERBLOCK = 4096
_MAGIC = UUID("c68573f6-66ce-90a9-d96a-60cf803df7ef").bytes
_INITIALIZED = 1
_REPLICAS_SHIFT, _REPLICAS_MASK = 52, 0xF
# A line of `bcachefs list` (linux fs/bcachefs/dirent.c, bch2_dirent_to_text), and the root directory's inode.
# A subvolume has two numbers, its parent's and its own. A name may look like one.
_DIRENT = re.compile(
    r"u64s \d+ type dirent (\d+):\d+:\S+ len \d+ ver \d+: "
    r"(?:(?P<subvolume>.+) -> \d+ -> \d+ type subvol|(?P<name>.+) -> \d+ type (?!subvol)(?P<type>\w+))"
)
_ROOT_INODE = "4096"
# `bcachefs format` now and then segfaults at exit after a complete format: the superblock, read back, is what counts.
FORMAT_STATUS = (0, 139, -11)
# The oldest util-linux whose mount knows X-mount.subdir; an older one mounts the root, and says that all is well.
MOUNT_VERSION: tuple[int, int] | None = (2, 39)
# A subvolume's root has no inode of its own kind.
SUBVOLUME_INODE: int | None = None
# bcachefs has no call of its own that writes everything through: sync(2) does, for all filesystems.
SYNC: Ioctl | None = None


def read(at: Callable[[int, int], bytes]) -> Content | None:
    """Read the primary superblock of a device."""
    block = at(SUPERBLOCK, 512)
    if block[24:40] != _MAGIC:
        return None
    flags = struct.unpack_from("<Q", block, 144)[0]
    return Content(
        TYPE,
        block[72:104].partition(b"\0")[0].decode("utf-8", "replace"),
        str(UUID(bytes=block[56:72])),
        f"device {block[122]}",
        block[123],
        flags >> _REPLICAS_SHIFT & _REPLICAS_MASK,
    )


def use(members: Sequence[Callable[[int, int], bytes]], names: Sequence[str]) -> str:  # noqa: ARG001 - see below
    """What cannot be told without the tool: only that nothing is there, as format did not come to its end.

    Raises:
        UnreadableFilesystemError: it did; `listed_use` tells.
    """
    if any(struct.unpack_from("<Q", at(SUPERBLOCK, 512), 144)[0] & _INITIALIZED for at in members):
        raise UnreadableFilesystemError("only bcachefs list can read it")
    return ""


def list_argv(nodes: Sequence[str]) -> list[str]:
    """The command that lists all directory entries of a filesystem; it neither mounts it nor writes to it.

    With --fsck it replays the journal, in memory: after a power loss, what was synced may be nowhere else.
    """
    return ["bcachefs", "list", "--fsck", "--btree=dirents", *nodes]


def listed_use(listing: str, names: Sequence[str]) -> str:
    """What somebody put on a filesystem besides subvolumes of those names and lost+found; empty if nothing.

    `listing` is what `list_argv` printed: a line for each entry, `u64s … type dirent DIRECTORY:…: NAME -> … type TYPE`,
    and lines on how the filesystem was opened.

    Raises:
        UnreadableFilesystemError: it has an entry of an unknown form, or none: a new filesystem has lost+found.
    """
    lines = [line for line in listing.splitlines() if line.startswith("u64s ")]
    if not lines:
        raise UnreadableFilesystemError("bcachefs list shows not even lost+found")
    for line in lines:
        if " type hash_whiteout " in line:  # an entry that was removed
            continue
        entry = _DIRENT.fullmatch(line)
        if entry is None:
            raise UnreadableFilesystemError(f"bcachefs list shows an entry of an unknown form, {line[:100]!r}")
        name, kind = entry["subvolume"] or entry["name"], entry["type"] or "subvol"
        ours = {("lost+found", "dir"), *((subvolume, "subvol") for subvolume in names)}
        if entry[1] != _ROOT_INODE or (name, kind) not in ours:
            return f"a file or folder '{name}'"
    return ""


def mkfs_options(compression: str | None, replicas: int | None, further: Sequence[str]) -> tuple[str, ...]:
    """Further words for bcachefs format; what is None is left to it."""
    return (
        *((f"--compression={compression}",) if compression else ()),
        *((f"--replicas={replicas}",) if replicas else ()),
        *further,
    )


def mkfs_argv(filesystem: PlannedFilesystem, members: Sequence[tuple[str, Role]], *, force: bool) -> list[str]:
    """The command bcachefs format over (node, role) pairs; targets only where there is a cache."""
    forced = ("--force",) if force else ()
    names = ("-L", filesystem.label, f"--uuid={filesystem.uuid}")
    return ["bcachefs", "format", "--quiet", *forced, *names, *filesystem.options, *_labelled(members)]


def _labelled(members: Sequence[tuple[str, Role]]) -> list[str]:
    """Each device behind its label: device options stick to the devices that follow."""
    if not any(role is Role.CACHE for _, role in members):
        return [node for node, _ in members]
    found, counts = [], {"ssd": 0, "hdd": 0}
    for node, role in members:
        group = "ssd" if role is Role.CACHE else "hdd"
        found += [f"--label={group}.{counts[group]}", node]
        counts[group] += 1
    return [*found, "--foreground_target=ssd", "--promote_target=ssd", "--background_target=hdd"]


def scan_argv(nodes: Sequence[str]) -> list[str] | None:  # noqa: ARG001 - mount names the members
    """Nothing has to be made known to the kernel."""
    return None


def mount_options(further: Sequence[str], compression: str | None) -> tuple[str, ...]:  # noqa: ARG001 - it is set by mkfs
    """The options of every mount."""
    return tuple(further)


def top_options(options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of the whole filesystem."""
    return tuple(options)


def subvolume_options(name: str, options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of a subvolume."""
    return (f"X-mount.subdir={name}", *options)


def mount_argv(uuid: str, mount: PlannedMount, nodes: Sequence[str]) -> list[str]:  # noqa: ARG001 - see below
    """The command mount. It wants the members named where no udev runs; they were found by the UUID."""
    return ["mount", "-t", TYPE, "-o", ",".join(mount.options), ":".join(nodes), mount.target]


def create_subvolume(top: str, name: str) -> Ioctl | list[str]:
    """What makes a subvolume below the mounted top of a filesystem."""
    return ["bcachefs", "subvolume", "create", f"{top}/{name}"]
