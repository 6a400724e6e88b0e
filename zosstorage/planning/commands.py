"""The commands that carry out a plan: a pure function of the plan and of device nodes. No file stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import filesystems
from zosstorage.block import gpt
from zosstorage.block.sysfs import partition_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from zosstorage.planned import Plan, PlannedFilesystem, PlannedMount


@frozen
class PlannedCommand:
    """A command line that a state runs.

    Attributes:
        state: the name of the state.
        argv: the argument vector.
        stdin: its standard input; may be empty.
    """

    state: str
    argv: tuple[str, ...]
    stdin: str = ""


def commands(plan: Plan) -> tuple[PlannedCommand, ...]:
    """All commands that write to a disk or mount a filesystem, in order. Commands that only read are not included.

    If the plan does not name the primary, the mounts of its subvolumes are not included. `partx` is included for the
    disks whose table is written; a run skips it if the kernel knows the partitions already.
    """
    return (*_partition(plan), *_format(plan), *_mount(plan))


def _partition(plan: Plan) -> Iterator[PlannedCommand]:
    written = [one for one in plan.disks if one.write_table]
    for one in written:
        script = gpt.script(one.guid, one.partitions, one.disk.sector_size)
        yield PlannedCommand("partition", tuple(gpt.write_argv(one.disk.path)), script)
    for one in written:
        yield PlannedCommand("partition", tuple(gpt.update_kernel_argv(one.disk.path)))


def _format(plan: Plan) -> Iterator[PlannedCommand]:
    for one in plan.filesystems:
        if one.make:
            yield PlannedCommand("format", tuple(mkfs(plan, one, _nodes(plan, one))))


def mkfs(plan: Plan, filesystem: PlannedFilesystem, nodes: Sequence[str], *, force: bool = False) -> list[str]:
    """The command that makes a filesystem on its device nodes; `force` overwrites what an interrupted mkfs left."""
    roles = [disk.role for disk in plan.members(filesystem)]
    argv: list[str] = filesystems.module(filesystem.type).mkfs_argv(
        filesystem, list(zip(nodes, roles, strict=True)), force=force
    )
    return argv


def mount(filesystem: PlannedFilesystem, wanted: PlannedMount, nodes: Sequence[str]) -> list[str]:
    """The command that mounts a filesystem or one of its subvolumes."""
    argv: list[str] = filesystems.module(filesystem.type).mount_argv(filesystem.uuid, wanted, nodes)
    return argv


def _mount(plan: Plan) -> Iterator[PlannedCommand]:
    nodes = {one.uuid: _nodes(plan, one) for one in plan.data}
    for one in plan.data:
        if argv := filesystems.module(one.type).scan_argv(nodes[one.uuid]):
            yield PlannedCommand("mount", tuple(argv))
    for one in plan.data:
        if one.top:
            yield PlannedCommand("mount", tuple(mount(one, one.top, nodes[one.uuid])))
    for primary in (one for one in plan.data if one.uuid == plan.primary):
        yield from _subvolumes(plan, primary)
        for target in plan.targets:
            yield PlannedCommand("mount", tuple(mount(primary, target, nodes[primary.uuid])))


def _subvolumes(plan: Plan, primary: PlannedFilesystem) -> Iterator[PlannedCommand]:
    """The commands that create subvolumes; there are none if a system call creates them, as for btrfs."""
    if not primary.make or primary.top is None:
        return
    for target in plan.targets:
        how = filesystems.module(primary.type).create_subvolume(primary.top.target, target.subvolume)
        if isinstance(how, list):
            yield PlannedCommand("mount", tuple(how))


def _nodes(plan: Plan, filesystem: PlannedFilesystem) -> list[str]:
    """The device nodes that the partitions of a filesystem have, or will have."""
    by_uuid = {part.uuid: partition_device(one.disk, part.number) for one in plan.disks for part in one.partitions}
    return [by_uuid[member] for member in filesystem.members]
