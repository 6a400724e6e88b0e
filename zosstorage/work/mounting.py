"""Mounts the filesystems of a plan and reads each mount back from mountinfo, whatever the mount command reports."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import filesystems
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Mount
from zosstorage.filesystems import btrfs
from zosstorage.planned import PlannedFilesystem, PlannedMount
from zosstorage.planning import commands
from zosstorage.system import blkidcache, mountinfo, run, signals
from zosstorage.system.files import make_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.facts import Facts
    from zosstorage.system.mountinfo import Mounted

log = logging.getLogger(__name__)

# Options that mountinfo shows exactly if they are in force (proc_pid_mountinfo(5)). btrfs also shows its own flags, but
# an option with a value only if it differs from the default (linux fs/btrfs/super.c, btrfs_show_options).
_SHOWN = frozenset(
    ("nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime", "relatime", "lazytime", "sync", "dirsync")
)
_SHOWN_VALUES = ("compress=", "compress-force=")


@frozen
class Wanted:
    """A mount that the plan wants, of a filesystem that exists; `nodes` are the device nodes of its partitions."""

    filesystem: PlannedFilesystem
    planned: PlannedMount
    nodes: tuple[str, ...]

    @property
    def target(self) -> str:
        """The path of the mount point."""
        return self.planned.target

    @property
    def mount(self) -> Mount:
        """The mount as the facts record it."""
        options = ",".join(self.planned.options)
        return Mount(f"UUID={self.filesystem.uuid}", self.target, self.filesystem.type, options)

    @property
    def argv(self) -> list[str]:
        """The mount command."""
        return commands.mount(self.filesystem, self.planned, self.nodes)


def tops(facts: Facts) -> list[Wanted]:
    """Return the wanted mount of the top of each data filesystem."""
    return [Wanted(one, one.top, facts.devices(one)) for one in facts.plan.filesystems if one.top]


def targets(primary: PlannedFilesystem, facts: Facts) -> list[Wanted]:
    """Return the wanted mounts of the subvolumes of the primary, in the order of the plan."""
    return [Wanted(primary, target, facts.devices(primary)) for target in facts.plan.targets]


def mounted_at(target: str) -> Mounted | None:
    """Return the topmost mount at a path, or None; symbolic links in the path are resolved."""
    return mountinfo.at(os.path.realpath(target))


def is_free(wanted: Wanted) -> bool:
    """Return True if nothing is mounted at the target, False if the wanted mount is there already.

    Raises:
        ToolError: something else is mounted there.
    """
    if mounted_at(wanted.target) is None:
        return True
    if problem := mismatch(wanted):
        raise ToolError(f"{wanted.target} is taken: {problem}", hint=f"umount {wanted.target} and run again")
    return False


def mismatch(wanted: Wanted) -> str:
    """Return how the mount at the target differs from the wanted one; empty if it does not."""
    mounted = mounted_at(wanted.target)
    if mounted is None:
        return "nothing is mounted there"
    if mounted.fstype != wanted.filesystem.type:
        return f"{mounted.fstype} is mounted there"
    if not set(mounted.source.split(":")) <= set(wanted.nodes):
        return f"{mounted.source} is mounted there, not {' or '.join(wanted.nodes)}"
    if mounted.root != f"/{wanted.planned.subvolume}":
        return f"{mounted.root} of the filesystem is mounted there, not /{wanted.planned.subvolume}"
    missing = [option for option in wanted.planned.options if not _is_in_force(option, mounted)]
    return f"the mount lacks the options {', '.join(missing)}" if missing else ""


def _is_in_force(option: str, mounted: Mounted) -> bool:
    """Return whether an option is in force; True for options that mountinfo never shows.

    The subvolume is not compared by its option, but by the root of the mount.
    """
    if option == "strictatime":
        return not mounted.options & {"noatime", "relatime"}
    if option.startswith(_SHOWN_VALUES):
        return any(one.startswith(option) for one in mounted.options)
    shown = option in _SHOWN or (mounted.fstype == btrfs.TYPE and "=" not in option and option != "nodiscard")
    return option in mounted.options or not shown


def mount(wanted: Sequence[Wanted], made: list[Wanted]) -> None:
    """Mount in parallel and read each mount back; those that are as wanted are appended to `made`.

    Raises:
        ToolError: a mount command failed, or it reported success but the mount differs; that mount is undone. The error
            is that of the first such mount.
    """
    try:
        for one in wanted:
            _make_folder(one.target)
        with blkidcache.with_filesystems({node: one.filesystem.uuid for one in wanted for node in one.nodes}) as env:
            completed = run.commands([one.argv for one in wanted], ok=run.ANY_STATUS, env=env, writes=True)
        problems = [(one, _problem(one, done)) for one, done in zip(wanted, completed, strict=True)]
        made += [one for one, problem in problems if not problem]
        _raise_first([problem for _, problem in problems if problem])
    except BaseException:
        unmount([one for one in wanted if one not in made and _is_ours(one)])
        raise


def _make_folder(target: str) -> None:
    try:
        make_folders(Path(target))
    except OSError as error:
        raise ToolError(f"{target} cannot be made: {error.strerror}", hint="name another target") from error


def _is_ours(wanted: Wanted) -> bool:
    """Return whether the mount at the target is of that filesystem; no other mount may be undone."""
    mounted = mounted_at(wanted.target)
    if mounted is None or mounted.fstype != wanted.filesystem.type:  # of another type, the source can be any text
        return False
    return set(mounted.source.split(":")) <= set(wanted.nodes)


def _raise_first(problems: Sequence[ToolError]) -> None:
    if problems:
        raise problems[0]


def _problem(wanted: Wanted, done: run.Completed) -> ToolError | None:
    if done.status:
        return run.status_error(done)
    if problem := mismatch(wanted):
        return ToolError(
            f"mount reported success for {wanted.mount.source} at {wanted.target}, but {problem}",
            hint="the mount of busybox ignores options that it does not know: install that of util-linux",
        )
    return None


def scan(wanted: Sequence[Wanted]) -> None:
    """Make the members of filesystems of several devices known to the kernel.

    Raises:
        ToolError: the command failed.
    """
    argvs = [filesystems.module(one.filesystem.type).scan_argv(one.nodes) for one in wanted]
    run.commands([argv for argv in argvs if argv], writes=True)


def check_profile(wanted: Wanted) -> None:
    """Check that a mounted btrfs has the profile of its topology, by sysfs.

    Raises:
        NotEmptyError: it has another profile.
    """
    required = wanted.filesystem.profile
    if required is None:
        return
    folder = Path("/sys/fs/btrfs") / wanted.filesystem.uuid / "allocation"
    for kind in ("data", "metadata"):
        profiles = sorted(entry.name for entry in (folder / kind).iterdir() if entry.is_dir())
        if profiles != [required]:
            raise NotEmptyError(
                f"the {kind} profile of {wanted.filesystem.uuid} is {', '.join(profiles)}; its topology requires "
                f"{required}",
                hint="finish the conversion (btrfs balance), or set topology.mode to the topology of the disks",
            )


def unmount(made: Sequence[Wanted]) -> None:
    """Undo mounts, the last one first; a mount that cannot be undone is logged."""
    with signals.deferred():
        for wanted in reversed(made):
            done = run.start(["umount", wanted.target], writes=True).wait()
            if done.status:
                log.warning(
                    "umount failed",
                    extra={"event": "umount.failed", "target": wanted.target, "reason": done.stderr.strip()},
                )
