"""Everything that Validate reads from a machine; it leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import emptiness, nontargets, sysfs
from zosstorage.config import sources
from zosstorage.errors import NoDiskError, ToolError, UsageError
from zosstorage.filesystems import vfat
from zosstorage.model import Depth, Kind
from zosstorage.observed import Observations, ObservedDisk, ObservedKernel, ObservedTool
from zosstorage.planning import places, preflight
from zosstorage.planning.build import finished_uuids
from zosstorage.planning.refusal import combined
from zosstorage.planning.roles import Target, assign
from zosstorage.system import executables, handles, mountinfo, run, threads
from zosstorage.system.files import read_regular, under

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Discovery, Disk


def require_machine() -> None:
    """Check what every command that reads disks needs: root, /proc and /sys.

    Raises:
        UsageError: the user is not root.
        ToolError: /proc or /sys is not mounted.
    """
    if os.geteuid() != 0:
        raise UsageError("this command needs root", hint="run it as root")
    # Without /proc, the kernel command line was not read; without /sys, no disk is visible.
    for kind, folder, file in (("proc", "/proc", sources.KERNEL_FILE), ("sysfs", "/sys", "/sys/class/block")):
        if not Path(file).exists():
            raise ToolError(f"{folder} is not mounted", hint=f"mount -t {kind} {kind} {folder}")


def observe(discovery: Discovery, config: Config, *, trial: bool = False) -> Observations:
    """Read everything that the plan for the eligible disks can depend on.

    With `trial`, whatever the run will need is tried: files are created and removed, and threads are started.

    Raises:
        ToolError: a prober is missing, or it failed; the system gives too few file descriptors or threads.
    """
    handles.require(len(discovery.disks))
    if trial:
        threads.require(len(discovery.disks))
    probers = {name: _tool(name) for name in preflight.PROBERS}
    if missing := [problem for name, tool in probers.items() if (problem := preflight.tool_problem(name, tool))]:
        raise combined(missing)
    disks = emptiness.observe(discovery.disks, config.validate.scan, config.partitions.esp_size)
    targets = [Target(one.disk, emptiness.verdict(one)) for one in disks]
    kept = finished_uuids(targets)
    types = _filesystems(targets, kept, config)
    tools = (*preflight.ALWAYS_NEEDED, *vfat.TOOLS, *(tool for one in types for tool in filesystems.module(one).TOOLS))
    return Observations(
        discovery,
        disks,
        {**probers, **{name: _tool(name) for name in tools}},
        _kernel(types),
        os.path.realpath(config.root),
        {place.path: place for place in places.observe(config, kept, trial=trial)},
        nontargets.read_contents(sysfs.devices()) if kept else {},
        _fstab(config),
    )


def _filesystems(targets: Sequence[Target], kept: set[str], config: Config) -> list[str]:
    """The types of data filesystems that the plan can use: those that are finished, else the one that will be made."""
    if kept:
        finished = [target.verdict.data.content for target in targets if target.verdict.data_uuid in kept]
        return sorted({content.type for content in finished if content})
    if any(target.verdict.kind is Kind.FOREIGN for target in targets):
        return []  # the run will be refused, so no kernel module is needed
    try:
        topology, _ = assign(targets, config)
    except NoDiskError:
        return []
    return [topology.filesystem]


def _tool(name: str) -> ObservedTool:
    path = executables.which(name)
    return ObservedTool(path, executables.is_applet(path) if path else None)


def _kernel(types: Iterable[str]) -> ObservedKernel:
    """What the kernel can mount, after modprobe ran for the types that were missing."""
    tried = {fstype: _modprobe(fstype) for fstype in types if fstype not in _mountable()}
    versions = [module.MOUNT_VERSION for module in map(filesystems.module, types)]
    return ObservedKernel(_mountable(), tried, _mount_version() if any(versions) else "")


def _mountable() -> frozenset[str]:
    """The names in /proc/filesystems."""
    try:
        lines = (mountinfo.PROC / "filesystems").read_text("ascii").splitlines()
    except OSError:
        return frozenset()
    return frozenset(line.split()[-1] for line in lines if line.strip())


def _modprobe(fstype: str) -> str:
    if not executables.which("modprobe"):
        return "modprobe was not found"
    return f"modprobe {fstype} ended with status {run.start(['modprobe', fstype]).wait().status}"


def _mount_version() -> str:
    path = executables.which("mount")
    return run.command([path, "--version"]).stdout if path and not executables.is_applet(path) else ""


def _fstab(config: Config) -> tuple[str, ...]:
    """The lines of fstab; none if it is not written or cannot be read."""
    if not config.fstab.enabled:
        return ()
    try:
        text = read_regular(Path(under(config.root, config.fstab.path))).decode("utf-8", "surrogateescape")
    except OSError:
        return ()
    return tuple(text.splitlines())


def observe_rejected(discovery: Discovery, config: Config) -> tuple[ObservedDisk, ...]:
    """What the rejected disks carry, for `zosstorage plan`; nothing if a prober is missing.

    At most a sample of each disk is read: a full scan is only for disks that may be written.
    """
    if any(preflight.tool_problem(name, _tool(name)) for name in preflight.PROBERS):
        return ()
    depth = min(config.validate.scan, Depth.SAMPLED, key=list(Depth).index)
    disks: list[Disk] = [one.disk for one in discovery.rejected if one.disk.size_bytes >= 2 << 20]
    return nontargets.observe(disks, depth, config.partitions.esp_size)
