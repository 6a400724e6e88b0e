"""What stands in the way of a plan besides the disks: tools, kernel, copies, places. Pure; all is told at once."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from attrs import evolve

from zosstorage import filesystems
from zosstorage.block.sysfs import partition_device
from zosstorage.errors import ConfigError, NotEmptyError, ToolError, ZosstorageError
from zosstorage.filesystems import vfat
from zosstorage.system import executables, fstab
from zosstorage.system.files import under

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from zosstorage.config.schema import Config
    from zosstorage.observed import Observations, ObservedPlace, ObservedTool
    from zosstorage.planned import Plan, PlannedMount

# What looking at disks takes.
EXAMINING = ("blkid", "wipefs")
# What every run that goes on takes.
ALWAYS = ("sfdisk", "partx", "mount", "umount")


def problems(plan: Plan, seen: Observations, config: Config) -> list[ZosstorageError]:
    """Everything that is in the way of a plan."""
    return [
        *_copies(plan, seen),
        *missing(needed(plan), seen),
        *_kernel(plan, seen),
        *_twice(plan, seen),
        *_places(plan, seen, config),
    ]


def needed(plan: Plan) -> tuple[str, ...]:
    """The tools for the rest of a run."""
    making = vfat.TOOLS if any(one.make and one.type == vfat.TYPE for one in plan.filesystems) else ()
    return (*ALWAYS, *making, *filesystems.module(plan.data[0].type).TOOLS)


def missing(names: Iterable[str], seen: Observations) -> list[ToolError]:
    """A problem for each tool that is missing or an applet of a multi-call binary."""
    return [problem for name in names if (problem := tool_problem(name, seen.tools[name]))]


def tool_problem(name: str, tool: ObservedTool) -> ToolError | None:
    """What is wrong with a tool."""
    hint = f"install {executables.package(name)}"
    if tool.path is None:
        return ToolError(f"the tool {name} was not found", hint=hint)
    if tool.applet:
        message = f"{tool.path} is an applet of {tool.applet}, which ignores options that are relied on"
        return ToolError(message, hint=hint)
    return None


def _kernel(plan: Plan, seen: Observations) -> list[ToolError]:
    """A problem for each filesystem that the kernel cannot mount, or whose options mount does not know."""
    types = sorted({one.type for one in plan.data})
    lacking = [
        ToolError(
            f"this kernel has no {fstype} ({seen.kernel.tried.get(fstype, 'modprobe was not tried')})",
            hint=f"boot a kernel with {fstype}, put its module into the initramfs, or choose another topology.mode",
        )
        for fstype in types
        if fstype not in seen.kernel.filesystems
    ]
    return lacking or [problem for fstype in types if (problem := _mount_version(fstype, seen))]


def _mount_version(fstype: str, seen: Observations) -> ToolError | None:
    """Only newer mounts know X-mount.subdir; an older one mounts the root of the filesystem and says all is well."""
    wanted, said = filesystems.module(fstype).MOUNT_VERSION, seen.kernel.mount_version
    found = re.search(r"util-linux (\d+)\.(\d+)", said)
    if not wanted or not said or (found and (int(found[1]), int(found[2])) >= wanted):
        return None
    oldest = ".".join(map(str, wanted))
    message = f"mount is too old for the subvolumes of {fstype}: {said.strip()!r}, needed is util-linux {oldest}"
    return ToolError(message, hint=f"install util-linux {oldest} or newer")


def _twice(plan: Plan, seen: Observations) -> list[NotEmptyError]:
    """A problem for each file that two loop devices of the plan are backed by: one disk by two paths."""
    targets = [planned.disk for planned in plan.disks]
    paths: dict[str, str] = {}
    found = []
    for one in seen.disks:
        if one.backing_file and one.disk in targets:
            if one.backing_file in paths:
                message = f"{paths[one.backing_file]} and {one.disk.path} are one file, {one.backing_file}"
                found.append(NotEmptyError(message, hint="exclude one of them"))
            paths[one.backing_file] = one.disk.path
    return found


def _copies(plan: Plan, seen: Observations) -> list[NotEmptyError]:
    """A problem for each device beside the plan's that carries a filesystem of the plan: mount could take it instead.

    Only filesystems that were there before can have a copy: a disk cloned, a snapshot attached, excluded perhaps.
    """
    kept, ours = {one.uuid for one in plan.data if not one.make}, _nodes(plan)
    return [
        NotEmptyError(
            f"{device} carries a copy of the filesystem {content.uuid}, and mounting by UUID could take it",
            hint="detach the copy, or give it a UUID of its own (btrfstune -u)",
        )
        for device, content in seen.contents.items()
        if device not in ours and content.uuid in kept
    ]


def _nodes(plan: Plan) -> set[str]:
    """The nodes of the plan's partitions, there already or not."""
    return {partition_device(planned.disk, part.number) for planned in plan.disks for part in planned.partitions}


def _places(plan: Plan, seen: Observations, config: Config) -> list[ConfigError]:
    """A problem for each mount target, and each file to write, that something is in the way of."""
    targets = [seen.places[mount.target] for mount in plan.targets]
    folders = [*(_top(one.top, seen, config) for one in plan.data if one.top), *targets]
    found = [
        *(_folder(place) for place in folders),
        *(_inside(place, seen, config) for place in folders),
        *(_free(place, _nodes(plan)) for place in targets),
        _file(seen.places[config.report.path], config.report.path, "--report"),
        *(_fstab(plan.fstab, seen, config) if plan.fstab else ()),
    ]
    return [problem for problem in found if problem]


def _top(mount: PlannedMount, seen: Observations, config: Config) -> ObservedPlace:
    """The place where a whole filesystem is mounted; that of a new one is not there yet, in its parent."""
    if mount.target in seen.places:
        return seen.places[mount.target]
    parent = seen.places[under(config.root, config.mounts.data_root)]
    real = str(PurePath(parent.real, PurePath(mount.target).name))
    return evolve(parent, path=mount.target, exists=False, real=real)


def _free(place: ObservedPlace, ours: set[str]) -> ConfigError | None:
    if place.mounted is None or set(place.mounted.split(":")) <= ours:
        return None
    hint = f"umount {place.path}, or name another"
    return ConfigError(f"{place.path} is taken: {place.mounted} is mounted there", hint=hint)


def _folder(place: ObservedPlace) -> ConfigError | None:
    """A folder that is there, or can be made."""
    if not place.above_is_folder:
        message = f"{place.path} cannot be a folder: {place.above} is a file"
        return ConfigError(message, hint="remove it, or name another target")
    if place.exists or not place.refused:
        return None
    return ConfigError(f"{place.path} cannot be made: {place.refused}", hint="make it, or name another target")


def _inside(place: ObservedPlace, seen: Observations, config: Config) -> ConfigError | None:
    """A link below the root prefix may be meant for when that is the root, and leads elsewhere now."""
    if PurePath(place.real).is_relative_to(seen.root):
        return None
    return ConfigError(
        f"{place.path} leads out of {config.root}, to {place.real}",
        hint="make the link that it goes by a relative one, or a folder",
    )


def _file(place: ObservedPlace, path: str, flag: str) -> ConfigError | None:
    if place.exists and not place.is_file:
        return ConfigError(f"{path} cannot be written: it is no file", hint=f"name another with {flag}")
    if not place.refused:
        return None
    return ConfigError(f"{path} cannot be written: {place.refused}", hint=f"name another with {flag}")


def _fstab(path: str, seen: Observations, config: Config) -> Iterator[ConfigError | None]:
    place = seen.places[path]
    yield _inside(place, seen, config)
    yield _file(place, place.real, "fstab.path")
    for line in fstab.others(seen.fstab, config.mounts.targets.values()):
        yield ConfigError(
            f"{path} mounts something else at one of our targets: {line!r}",
            hint="remove that line, name another target, or run with --no-fstab",
        )
