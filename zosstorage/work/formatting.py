"""Making the filesystems of a plan, all at once, and reading back what was made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import sysfs
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.filesystems import bcachefs, btrfs, vfat
from zosstorage.model import Content, Filesystem
from zosstorage.system import blkidcache, run, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Facts, PlannedFilesystem


def devices(filesystem: PlannedFilesystem, facts: Facts) -> tuple[str, ...]:
    """The nodes of a filesystem's partitions."""
    return tuple(facts.device(member) for member in filesystem.members)


def make(wanted: Sequence[PlannedFilesystem], facts: Facts, config: Config, require_marks: Callable[[], None]) -> None:
    """Make filesystems side by side, into marked partitions, and flush them.

    `require_marks` is asked each time, while probers look at the partitions: without the marks it raises.

    Raises:
        NotEmptyError: a partition carries what we would not make there.
        ToolError: a mkfs is missing, failed or timed out.
    """
    leftovers = _leftovers(wanted, facts, require_marks)
    _erase([filesystem for filesystem in wanted if filesystem.uuid in leftovers], facts)
    argvs = [_argv(filesystem, facts, config, force=filesystem.uuid in leftovers) for filesystem in wanted]
    with blkidcache.looked_at(sysfs.devices()) as env:
        ends = run.run_all(argvs, ok=run.ANY_STATUS, env=env)
    for filesystem, done in zip(wanted, ends, strict=True):
        if done.status not in (bcachefs.FORMAT_STATUS if filesystem.type == bcachefs.TYPE else (0,)):
            raise run.status_error(done)
    threads.flush([device for filesystem in wanted for device in devices(filesystem, facts)])


def _argv(filesystem: PlannedFilesystem, facts: Facts, config: Config, *, force: bool) -> list[str]:
    nodes = devices(filesystem, facts)
    topology = facts.plan.topology
    if filesystem.type == vfat.TYPE:
        return vfat.mkfs_argv(filesystem, nodes[0], config)
    if filesystem.type == btrfs.TYPE:
        return btrfs.mkfs_argv(filesystem, nodes, config, topology=topology)
    roles = [facts.plan.partitions[member][0].role for member in filesystem.members]
    return bcachefs.mkfs_argv(filesystem, list(zip(nodes, roles, strict=True)), config, topology=topology, force=force)


def _leftovers(wanted: Sequence[PlannedFilesystem], facts: Facts, meanwhile: Callable[[], None]) -> set[str]:
    """The filesystems whose partitions carry one of their own kind that was never finished.

    Raises:
        NotEmptyError: a prober sees something else there. A mark says that what we made is worthless, not that what
            somebody else made is.
    """
    from zosstorage.block import probe

    nodes = {device: filesystem for filesystem in wanted for device in devices(filesystem, facts)}
    signatures = probe.signatures(list(nodes), meanwhile)
    foreign = [
        f"{row.device} carries a signature of {row.type} labelled {row.label!r} at byte {row.offset} of it"
        for row in signatures
        if row.type != nodes[row.device].type or (row.label or _own_label(row.device)) != nodes[row.device].label
    ]
    if foreign:
        raise NotEmptyError(
            f"{'; '.join(foreign)}: not what is made there, and nothing was made",
            hint="if it is not needed, erase it by hand (wipefs -a) and run again",
        )
    return {nodes[row.device].uuid for row in signatures}


def _own_label(device: str) -> str:
    """The superblock's label: wipefs shows none for a FAT whose root directory was never written."""
    content = read_content(device)
    return content.label if content else ""


def _erase(unfinished: Sequence[PlannedFilesystem], facts: Facts) -> None:
    """Erase the signatures of a btrfs that was never finished: mkfs.btrfs takes its UUID for another filesystem's."""
    stale = [node for filesystem in unfinished if filesystem.type == btrfs.TYPE for node in devices(filesystem, facts)]
    if stale:
        run.run(["wipefs", "--all", "--quiet", *stale])


def read_back(facts: Facts) -> tuple[Filesystem, ...]:
    """The filesystems of the plan, each superblock read and found to be what was planned.

    Raises:
        ToolError: one is not there, or is another.
    """
    return tuple(_read_back(filesystem, facts) for filesystem in facts.plan.filesystems)


def _read_back(filesystem: PlannedFilesystem, facts: Facts) -> Filesystem:
    nodes = devices(filesystem, facts)
    wanted = (filesystem.type, filesystem.label, filesystem.uuid.lower(), len(nodes))
    seen = [read_content(device) for device in nodes]
    for device, content in zip(nodes, seen, strict=True):
        found = content and (content.type, content.label, content.uuid.lower(), content.devices)
        if found != wanted:
            raise ToolError(
                f"{device} was read back as {found or 'no filesystem of ours'}, expected {wanted}",
                hint="look for I/O errors in the kernel's log and run again",
            )
    if len({content.member for content in seen if content}) != len(nodes):
        raise ToolError(f"the members of {filesystem.uuid} are not distinct devices of it", hint="run again")
    return Filesystem(filesystem.uuid, filesystem.label, filesystem.type, nodes)


def read_content(device: str) -> Content | None:
    """The superblock on a device, from the medium.

    Raises:
        ToolError: it cannot be read.
    """
    try:
        handle = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ToolError(f"{device} cannot be opened: {error.strerror}", hint="see dmesg") from error
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        return filesystems.read(lambda offset, length: os.pread(handle, length, offset).ljust(length, b"\0"))
    except OSError as error:
        raise ToolError(f"{device} cannot be read: {error.strerror}", hint="see the kernel's log") from error
    finally:
        os.close(handle)


def read_back_twice(facts: Facts) -> tuple[Filesystem, ...]:
    """As `read_back`, and have libblkid agree.

    Raises:
        ToolError: one is not there, or is another, or libblkid sees another type, label or UUID.
    """
    from zosstorage.block import probe

    wanted = {
        device: (filesystem.type, filesystem.label, filesystem.uuid.lower())
        for filesystem in facts.plan.filesystems
        for device in devices(filesystem, facts)
    }
    seen, found = probe.contents(list(wanted), lambda: read_back(facts))
    for device, expected in wanted.items():
        if seen.get(device) != expected:
            raise ToolError(
                f"blkid sees {seen.get(device)} on {device}, expected {expected}",
                hint="look for I/O errors in the kernel's log and run again",
            )
    return found
