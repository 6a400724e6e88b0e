"""The tools, kernel features and mount targets that a run will need, checked before the first write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zosstorage.block import sysfs
from zosstorage.block.sysfs import partition_device
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.filesystems import bcachefs, data_module, vfat
from zosstorage.system import executables, run
from zosstorage.system.mountinfo import PROC
from zosstorage.work.formatting import read_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    from zosstorage.model import Content, Plan

# What looking at disks takes.
EXAMINING = ("blkid", "wipefs")
# What every run that goes on takes.
ALWAYS = ("sfdisk", "partx", "mount", "umount")


def needed(plan: Plan) -> tuple[str, ...]:
    """The tools for the rest of a run."""
    module = data_module(next(fs.type for fs in plan.filesystems if fs.is_data))
    making = vfat.TOOLS if any(fs.make and not fs.is_data for fs in plan.filesystems) else ()
    return (*ALWAYS, *making, *module.TOOLS)


def check_tools(names: Iterable[str]) -> list[ToolError]:
    """A problem for each tool that is missing or an applet of a multi-call binary."""
    return [problem for name in names if (problem := _check_tool(name))]


def _check_tool(name: str) -> ToolError | None:
    path = executables.which(name)
    if path is None:
        return ToolError(f"the tool {name} was not found", hint=f"install {executables.package(name)}")
    if applet := executables.is_applet(path):
        return ToolError(
            f"{path} is an applet of {applet}, which ignores options that are relied on",
            hint=f"install {executables.package(name)}",
        )
    return None


def check_kernel(plan: Plan) -> list[ToolError]:
    """A problem for each filesystem that the kernel cannot mount, after modprobe was tried."""
    types = {fs.type for fs in plan.filesystems if fs.is_data}
    problems = [problem for fstype in sorted(types) if (problem := _check_filesystem(fstype))]
    if bcachefs.TYPE in types and not problems:
        problems += _check_mount_version()
    return problems


def _check_filesystem(fstype: str) -> ToolError | None:
    if fstype in _kernel_filesystems():
        return None
    tried = "modprobe was not found"
    if executables.which("modprobe"):
        done = run.start(["modprobe", fstype]).wait()
        tried = f"modprobe {fstype} ended with status {done.status}"
    if fstype in _kernel_filesystems():
        return None
    return ToolError(
        f"this kernel has no {fstype} ({tried})",
        hint=f"boot a kernel with {fstype}, put its module into the initramfs, or choose another topology.mode",
    )


def _kernel_filesystems() -> set[str]:
    """The names in /proc/filesystems."""
    try:
        return {line.split()[-1] for line in (PROC / "filesystems").read_text("ascii").splitlines() if line.strip()}
    except OSError:
        return set()


def _check_mount_version() -> list[ToolError]:
    """Only newer mounts know X-mount.subdir; an older one mounts the root of the filesystem and says all is well."""
    path = executables.which("mount")
    said = run.run([path, "--version"]).stdout if path and not executables.is_applet(path) else ""
    found = re.search(r"util-linux (\d+)\.(\d+)", said)
    if not said or (found and (int(found[1]), int(found[2])) >= bcachefs.MOUNT_VERSION):
        return []
    oldest = ".".join(map(str, bcachefs.MOUNT_VERSION))
    message = f"mount is too old for the subvolumes of bcachefs: {said.strip()!r}, needed is util-linux {oldest}"
    return [ToolError(message, hint=f"install util-linux {oldest} or newer")]


def check_twice(plan: Plan) -> list[NotEmptyError]:
    """A problem for each file that two loop devices of the plan are backed by: one disk by two paths."""
    seen: dict[str, str] = {}
    problems = []
    for planned in plan.disks:
        file = sysfs.backing_file(planned.disk)
        if file and file in seen:
            message = f"{seen[file]} and {planned.disk.path} are one file, {file}"
            problems.append(NotEmptyError(message, hint="exclude one of them"))
        seen[file] = planned.disk.path
    return problems


def check_copies(plan: Plan) -> list[NotEmptyError]:
    """A problem for each device beside the plan's that carries a filesystem of the plan: mount could take it instead.

    Only filesystems that were there before can have a copy: a disk cloned, a snapshot attached, excluded perhaps.
    """
    kept = {filesystem.uuid for filesystem in plan.filesystems if filesystem.is_data and not filesystem.make}
    ours = {partition_device(planned.disk, part.number) for planned in plan.disks for part in planned.partitions}
    problems = []
    for device in sysfs.devices() if kept else ():
        content = None if device in ours else _content(device)
        if content and content.uuid in kept:
            problems.append(
                NotEmptyError(
                    f"{device} carries a copy of the filesystem {content.uuid}, and mounting by UUID could take it",
                    hint="detach the copy, or give it a UUID of its own (btrfstune -u)",
                )
            )
    return problems


def _content(device: str) -> Content | None:
    try:
        return read_content(device)
    except ToolError:  # no medium, or none of our business
        return None
