"""Everything that Validate reads from a machine.

It leaves nothing behind: to test whether a directory is writable, it creates a file there and removes it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import emptiness, nontargets, sysfs
from zosstorage.errors import NoDiskError
from zosstorage.filesystems import vfat
from zosstorage.model import Depth, Kind
from zosstorage.observed import Observations, ObservedDisk, ObservedKernel, ObservedPlace, ObservedTool
from zosstorage.planning import preflight
from zosstorage.planning.build import finished_uuids
from zosstorage.planning.refusal import combined
from zosstorage.planning.roles import Target, assign
from zosstorage.system import executables, mountinfo, run
from zosstorage.system.files import read_regular, under, unused_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Discovery, Disk


def observe(discovery: Discovery, config: Config) -> Observations:
    """Read everything that the plan for the eligible disks can depend on.

    Raises:
        ToolError: a prober is missing, or it failed.
    """
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
        {place.path: place for place in _places(config, kept)},
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


def _places(config: Config, kept: Iterable[str]) -> list[ObservedPlace]:
    """The paths that a plan can mount on and write; `kept` are the UUIDs of finished filesystems."""
    data_root = under(config.root, config.mounts.data_root)
    fstab = [under(config.root, config.fstab.path)] if config.fstab.enabled else []
    return [
        *(_folder(under(config.root, target)) for target in config.mounts.targets.values()),
        _folder(data_root, parent=True),
        *(_folder(f"{data_root}/{uuid}") for uuid in kept),
        _file(config.report.path, config.report.path),
        *(_file(path, os.path.realpath(path)) for path in fstab),  # a symbolic link is kept; its target is replaced
    ]


def _folder(path: str, *, parent: bool = False) -> ObservedPlace:
    """A directory to mount on, or with `parent` one in which mount points are created."""
    above = _above(Path(path))
    exists = above == Path(path)
    real = os.path.realpath(path)
    mounted = mountinfo.at(real)
    refused = _refused(above) if above.is_dir() and (parent or not exists) else ""
    source = mounted.source if mounted else None
    return ObservedPlace(path, exists, str(above), above.is_dir(), exists and above.is_file(), refused, real, source)


def _file(path: str, where: str) -> ObservedPlace:
    """A file that will be replaced; `where` is its path without a final symbolic link, if that is followed."""
    above = _above(Path(where))
    exists = above == Path(where)
    folder = above.parent if exists else above
    refused = _refused(folder) if folder.is_dir() else f"{folder} is a file"
    real = os.path.realpath(path)
    return ObservedPlace(path, exists, str(above), above.is_dir(), exists and above.is_file(), refused, real)


def _above(path: Path) -> Path:
    """The path, or its nearest parent that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _refused(folder: Path) -> str:
    """Why no file can be created in a directory; empty if one can.

    It creates a file and removes it: the permissions do not show a read-only mount or a filesystem like /proc.
    """
    tried = unused_name(folder / "zosstorage")
    try:
        os.close(os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        tried.unlink()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


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
