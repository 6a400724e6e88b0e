"""What prevents a plan besides the disks: missing tools, the kernel, copies of filesystems, paths. Pure.

Every problem is reported, not only the first.
"""

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

# The tools that examine disks.
PROBERS = ("blkid", "wipefs")
# The tools that every run needs after the disks were examined.
ALWAYS_NEEDED = ("sfdisk", "partx", "mount", "umount")


def problems(plan: Plan, observations: Observations, config: Config) -> list[ZosstorageError]:
    """Everything that prevents a plan."""
    return [
        *_copies(plan, observations),
        *missing_tools(needed_tools(plan), observations),
        *_kernel(plan, observations),
        *_shared_backing_files(plan, observations),
        *_places(plan, observations, config),
    ]


def needed_tools(plan: Plan) -> tuple[str, ...]:
    """The tools that the rest of a run needs."""
    for_esps = vfat.TOOLS if any(one.make and one.type == vfat.TYPE for one in plan.filesystems) else ()
    return (*ALWAYS_NEEDED, *for_esps, *filesystems.module(plan.data[0].type).TOOLS)


def missing_tools(names: Iterable[str], observations: Observations) -> list[ToolError]:
    """A problem for each tool that is not installed or is an applet of a multi-call binary."""
    return [problem for name in names if (problem := tool_problem(name, observations.tools[name]))]


def tool_problem(name: str, tool: ObservedTool) -> ToolError | None:
    """What is wrong with a tool; None if nothing is."""
    hint = f"install {executables.package(name)}"
    if tool.path is None:
        return ToolError(f"the tool {name} was not found", hint=hint)
    if tool.applet:
        message = f"{tool.path} is an applet of {tool.applet}, which does not have all options that zosstorage needs"
        return ToolError(message, hint=hint)
    return None


def _kernel(plan: Plan, observations: Observations) -> list[ToolError]:
    """A problem for each filesystem that the kernel cannot mount, or for which mount(8) is too old."""
    kernel, types = observations.kernel, sorted({one.type for one in plan.data})
    unknown = [
        ToolError(
            f"this kernel has no {fstype} ({kernel.tried.get(fstype, 'modprobe was not tried')})",
            hint=f"boot a kernel with {fstype}, put its module into the initramfs, or set another topology.mode",
        )
        for fstype in types
        if fstype not in kernel.filesystems
    ]
    return unknown or [problem for fstype in types if (problem := _mount_version(fstype, observations))]


def _mount_version(fstype: str, observations: Observations) -> ToolError | None:
    """Whether mount(8) knows X-mount.subdir: an older one ignores it, mounts the root and exits with 0."""
    oldest, output = filesystems.module(fstype).MOUNT_VERSION, observations.kernel.mount_version
    version = re.search(r"util-linux (\d+)\.(\d+)", output)
    if not oldest or not output or (version and (int(version[1]), int(version[2])) >= oldest):
        return None
    needed = f"util-linux {'.'.join(map(str, oldest))}"
    message = f"mount is too old for the subvolumes of {fstype}: {output.strip()!r}, needed is {needed}"
    return ToolError(message, hint=f"install {needed} or newer")


def _shared_backing_files(plan: Plan, observations: Observations) -> list[NotEmptyError]:
    """A problem for each file that backs two loop devices of the plan: the file would be written twice."""
    disks = [planned.disk for planned in plan.disks]
    paths: dict[str, str] = {}
    found = []
    for one in observations.disks:
        if one.backing_file and one.disk in disks:
            if one.backing_file in paths:
                message = f"{paths[one.backing_file]} and {one.disk.path} have the same backing file {one.backing_file}"
                found.append(NotEmptyError(message, hint="exclude one of them"))
            paths[one.backing_file] = one.disk.path
    return found


def _copies(plan: Plan, observations: Observations) -> list[NotEmptyError]:
    """A problem for each device outside the plan with a copy of a filesystem that is kept: mount could use the copy.

    A filesystem that the run makes has no copy. That of a kept one is on a cloned disk or on a snapshot, which may be
    excluded.
    """
    kept, planned = {one.uuid for one in plan.data if not one.make}, _nodes(plan)
    return [
        NotEmptyError(
            f"{device} carries a copy of the filesystem {content.uuid}, and a mount by UUID could use it",
            hint="detach the copy, or give it a UUID of its own (btrfstune -u)",
        )
        for device, content in observations.contents.items()
        if device not in planned and content.uuid in kept
    ]


def _nodes(plan: Plan) -> set[str]:
    """The device nodes that the partitions of the plan have, or will have."""
    return {partition_device(planned.disk, part.number) for planned in plan.disks for part in planned.partitions}


def _places(plan: Plan, observations: Observations, config: Config) -> list[ConfigError]:
    """A problem for each mount target that cannot be mounted on, and each file that cannot be written."""
    places = observations.places
    targets = [places[mount.target] for mount in plan.targets]
    directories = [*(_top(one.top, observations, config) for one in plan.data if one.top), *targets]
    found = [
        *(_not_a_directory(place) for place in directories),
        *(_outside_root(place, observations, config) for place in directories),
        *(_in_use(place, _nodes(plan)) for place in targets),
        *(_hides(place, places[config.run_dir]) for place in directories),
        _not_writable(places[config.report.path], config.report.path, "--report"),
        *(_fstab(plan.fstab, observations, config) if plan.fstab else ()),
    ]
    return [problem for problem in found if problem]


def _top(mount: PlannedMount, observations: Observations, config: Config) -> ObservedPlace:
    """The place where a whole filesystem is mounted; that of a new one follows from its parent directory."""
    if mount.target in observations.places:
        return observations.places[mount.target]
    parent = observations.places[under(config.root, config.mounts.data_root)]
    real = str(PurePath(parent.real, PurePath(mount.target).name))
    return evolve(parent, path=mount.target, exists=False, real=real)


def _in_use(place: ObservedPlace, nodes: set[str]) -> ConfigError | None:
    """A mount at the place, unless it is one of the plan's partitions: an earlier run mounted those."""
    if place.mounted is None or set(place.mounted.split(":")) <= nodes:
        return None
    hint = f"umount {place.path}, or configure another path"
    return ConfigError(f"{place.path} is in use: {place.mounted} is mounted there", hint=hint)


def _hides(place: ObservedPlace, run_dir: ObservedPlace) -> ConfigError | None:
    """A mount that hides the run directory: no later run would find lock, checkpoint and report."""
    if not PurePath(run_dir.real).is_relative_to(place.real):
        return None
    message = f"the run directory {run_dir.path} is below {place.path}, where a filesystem will be mounted"
    return ConfigError(message, hint="set another run_dir, for example /run/zosstorage")


def _not_a_directory(place: ObservedPlace) -> ConfigError | None:
    """Why the place is no directory and none can be created."""
    if not place.above_is_directory:
        message = f"{place.path} cannot be a directory: {place.above} is a file"
        return ConfigError(message, hint="remove the file, or configure another path")
    if place.exists or not place.refused:
        return None
    return ConfigError(f"{place.path} cannot be created: {place.refused}", hint="create it, or configure another path")


def _outside_root(place: ObservedPlace, observations: Observations, config: Config) -> ConfigError | None:
    """A link that leads out of the root prefix: an absolute link is right only when the prefix is the root."""
    if PurePath(place.real).is_relative_to(observations.root):
        return None
    return ConfigError(
        f"{place.path} leads out of {config.root}, to {place.real}",
        hint="replace the symbolic link in this path by a relative one, or by a directory",
    )


def _not_writable(place: ObservedPlace, path: str, setting: str) -> ConfigError | None:
    if place.exists and not place.is_file:
        reason = "it is not a regular file"
    elif place.refused:
        reason = place.refused
    else:
        return None
    return ConfigError(f"{path} cannot be written: {reason}", hint=f"set another path with {setting}")


def _fstab(path: str, observations: Observations, config: Config) -> Iterator[ConfigError | None]:
    place = observations.places[path]
    yield _outside_root(place, observations, config)
    yield _not_writable(place, place.real, "fstab.path")
    for line in fstab.others(observations.fstab, config.mounts.targets.values()):
        yield ConfigError(
            f"{path} mounts something else at a mount target: {line!r}",
            hint="remove that line, configure another target, or run with --no-fstab",
        )
