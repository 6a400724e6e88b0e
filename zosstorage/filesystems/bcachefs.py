"""bcachefs: superblock, content, and the commands that make and mount it."""

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
# The superblock (bcachefs_format.h, struct bch_sb) is at 4 KiB. Offsets in it, in bytes: magic 24, user UUID 56, label
# 72 (32 bytes), index of the device 122, number of devices 123, flags[0] 144. Bit 0 of flags[0] is set at the end of
# bcachefs format; bits 52 to 55 are the number of data replicas.
SUPERBLOCK = 4096
_MAGIC = UUID("c68573f6-66ce-90a9-d96a-60cf803df7ef").bytes
_INITIALIZED = 1
_REPLICAS_SHIFT, _REPLICAS_MASK = 52, 0xF
# An entry in the output of `bcachefs list --fsck`, up to the end of its line. Another thread prints log lines to the
# same stream, so an entry may follow the first half of a log line.
_ENTRY = re.compile(r"^u64s .*|u64s \d+ type (?:dirent|hash_whiteout) .*")
# An entry (linux fs/bcachefs/dirent.c, bch2_dirent_to_text). A subvolume has two numbers: that of its parent and its
# own. A file name may contain " -> " and numbers too.
_DIRENT = re.compile(
    r"u64s \d+ type dirent (\d+):\d+:\S+ len \d+ ver \d+: "
    r"(?:(?P<subvolume>.+) -> \d+ -> \d+ type subvol|(?P<name>.+) -> \d+ type (?!subvol)(?P<type>\w+))"
)
# The inode of the root directory.
_ROOT_INODE = "4096"
# `bcachefs format` may crash (SIGSEGV) at exit after a complete format: the superblock that is read back counts.
FORMAT_STATUS = (0, 139, -11)
# The oldest util-linux whose mount knows X-mount.subdir: an older one ignores it, mounts the root and exits with 0.
MOUNT_VERSION: tuple[int, int] | None = (2, 39)
# The inode number of a subvolume's root does not identify it as one.
SUBVOLUME_INODE: int | None = None
# bcachefs has no ioctl that flushes one filesystem; sync(2) flushes all filesystems.
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


def use(members: Sequence[Callable[[int, int], bytes]], names: Sequence[str]) -> str:  # noqa: ARG001 - the other types need it
    """Nothing, if bcachefs format did not complete; otherwise only `bcachefs list` can read the content.

    Raises:
        UnreadableFilesystemError: it completed; use `list_argv` and `listed_use`.
    """
    if any(struct.unpack_from("<Q", at(SUPERBLOCK, 512), 144)[0] & _INITIALIZED for at in members):
        raise UnreadableFilesystemError("only bcachefs list can read it")
    return ""


def list_argv(nodes: Sequence[str]) -> list[str]:
    """The command that lists all directory entries of a filesystem without mounting or writing it.

    --fsck makes it replay the journal, in memory: after a power loss, synced entries may be in the journal only.
    """
    return ["bcachefs", "list", "--fsck", "--btree=dirents", *nodes]


def listed_use(listing: str, names: Sequence[str]) -> str:
    """The first directory entry other than lost+found and subvolumes with some names; empty if there is none.

    Args:
        listing: the output of the command of `list_argv`: a line for each entry, `u64s … type dirent DIRECTORY:…: NAME
            -> … type TYPE`, and log lines.
        names: the names of the subvolumes.

    Raises:
        UnreadableFilesystemError: an entry has an unknown form, or there is no entry: a new filesystem has lost+found.
    """
    found = [_ENTRY.search(line) for line in listing.splitlines()]
    lines = [match[0] for match in found if match]
    if not lines:
        raise UnreadableFilesystemError("bcachefs list printed no entry, not even lost+found")
    for line in lines:
        if " type hash_whiteout " in line:  # a removed entry
            continue
        entry = _DIRENT.fullmatch(line)
        if entry is None:
            raise UnreadableFilesystemError(f"bcachefs list printed an entry of an unknown form: {line[:100]!r}")
        name, kind = entry["subvolume"] or entry["name"], entry["type"] or "subvol"
        own = {("lost+found", "dir"), *((subvolume, "subvol") for subvolume in names)}
        if entry[1] != _ROOT_INODE or (name, kind) not in own:
            return f"a file or directory '{name}'"
    return ""


def mkfs_options(compression: str | None, replicas: int | None, more: Sequence[str]) -> tuple[str, ...]:
    """Arguments for bcachefs format; it uses its default for what is None. `more` are appended."""
    return (
        *((f"--compression={compression}",) if compression else ()),
        *((f"--replicas={replicas}",) if replicas else ()),
        *more,
    )


def mkfs_argv(filesystem: PlannedFilesystem, members: Sequence[tuple[str, Role]], *, force: bool) -> list[str]:
    """The bcachefs format command for (node, role) pairs; it sets targets only if a cache is among them."""
    forced = ("--force",) if force else ()
    names = ("-L", filesystem.label, f"--uuid={filesystem.uuid}")
    return ["bcachefs", "format", "--quiet", *forced, *names, *filesystem.options, *_device_arguments(members)]


def _device_arguments(members: Sequence[tuple[str, Role]]) -> list[str]:
    """The nodes, each after its label: bcachefs format applies a device option to the devices that follow it."""
    if not any(role is Role.CACHE for _, role in members):
        return [node for node, _ in members]
    found, counts = [], {"ssd": 0, "hdd": 0}
    for node, role in members:
        group = "ssd" if role is Role.CACHE else "hdd"
        found += [f"--label={group}.{counts[group]}", node]
        counts[group] += 1
    return [*found, "--foreground_target=ssd", "--promote_target=ssd", "--background_target=hdd"]


def scan_argv(nodes: Sequence[str]) -> list[str] | None:  # noqa: ARG001 - mount gets the members
    """None: the members of a bcachefs need not be registered with the kernel."""
    return None


def mount_options(more: Sequence[str], compression: str | None) -> tuple[str, ...]:  # noqa: ARG001 - mkfs sets it
    """The options of every mount of the filesystem."""
    return tuple(more)


def top_options(options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of the whole filesystem."""
    return tuple(options)


def subvolume_options(name: str, options: Sequence[str]) -> tuple[str, ...]:
    """The options of the mount of a subvolume."""
    return (f"X-mount.subdir={name}", *options)


def mount_argv(uuid: str, mount: PlannedMount, nodes: Sequence[str]) -> list[str]:  # noqa: ARG001 - see below
    """The mount command. It names the members, as mount cannot find them by UUID without udev."""
    return ["mount", "-t", TYPE, "-o", ",".join(mount.options), ":".join(nodes), mount.target]


def create_subvolume(top: str, name: str) -> Ioctl | list[str]:
    """The command that creates a subvolume; `top` is where the whole filesystem is mounted."""
    return ["bcachefs", "subvolume", "create", f"{top}/{name}"]
