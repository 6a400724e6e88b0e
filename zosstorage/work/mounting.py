"""Mounting the filesystems of a plan, and believing only what mountinfo says."""

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.facts import Facts
    from zosstorage.system.mountinfo import Mounted

log = logging.getLogger(__name__)

# Options that the kernel shows in mountinfo exactly when they are in force (proc_pid_mountinfo(5)). btrfs shows its own
# flags as well, but of its values only those that are not its defaults (linux fs/btrfs/super.c, btrfs_show_options).
_SHOWN = frozenset(
    ("nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime", "relatime", "lazytime", "sync", "dirsync")
)
_SHOWN_VALUES = ("compress=", "compress-force=")


@frozen
class Wanted:
    """A mount to be, of a filesystem that is there: `nodes` are those of its partitions."""

    filesystem: PlannedFilesystem
    planned: PlannedMount
    nodes: tuple[str, ...]

    @property
    def target(self) -> str:
        """Where."""
        return self.planned.target

    @property
    def mount(self) -> Mount:
        """The mount, once it is made."""
        options = ",".join(self.planned.options)
        return Mount(f"UUID={self.filesystem.uuid}", self.target, self.filesystem.type, options)

    @property
    def argv(self) -> list[str]:
        """The mount command."""
        return commands.mount(self.filesystem, self.planned, self.nodes)


def tops(facts: Facts) -> list[Wanted]:
    """The mount of each data filesystem as a whole."""
    return [Wanted(one, one.top, facts.devices(one)) for one in facts.plan.filesystems if one.top]


def targets(primary: PlannedFilesystem, facts: Facts) -> list[Wanted]:
    """The mounts of the subvolumes, in the order of the plan."""
    return [Wanted(primary, target, facts.devices(primary)) for target in facts.plan.targets]


def occupied(target: str) -> Mounted | None:
    """What is mounted at a path."""
    return mountinfo.at(os.path.realpath(target))


def is_free(wanted: Wanted) -> bool:
    """Whether nothing is mounted at the target; False where it is just what is wanted.

    Raises:
        ToolError: something else is mounted there.
    """
    if occupied(wanted.target) is None:
        return True
    if problem := mismatch(wanted):
        raise ToolError(f"{wanted.target} is taken: {problem}", hint=f"umount {wanted.target} and run again")
    return False


def mismatch(wanted: Wanted) -> str:
    """What is wrong with what is mounted at the target; empty when it is what was asked for."""
    mounted = occupied(wanted.target)
    if mounted is None:
        return "nothing is mounted there"
    if mounted.fstype != wanted.filesystem.type:
        return f"{mounted.fstype} is mounted there"
    if not set(mounted.source.split(":")) <= set(wanted.nodes):
        return f"{mounted.source} is mounted there, not {' or '.join(wanted.nodes)}"
    if mounted.root != f"/{wanted.planned.subvolume}":
        return f"{mounted.root} of the filesystem is mounted there, not /{wanted.planned.subvolume}"
    missing = [option for option in wanted.planned.options if not _shown(option, mounted)]
    return f"the mount has not the options {', '.join(missing)}" if missing else ""


def _shown(option: str, mounted: Mounted) -> bool:
    """Whether an option is in force, as far as mountinfo tells; the subvolume was judged by the mount's root."""
    if option == "strictatime":
        return not mounted.options & {"noatime", "relatime"}
    if option.startswith(_SHOWN_VALUES):
        return any(shown.startswith(option) for shown in mounted.options)
    told = option in _SHOWN or (mounted.fstype == btrfs.TYPE and "=" not in option and option != "nodiscard")
    return option in mounted.options or not told


def mount(wanted: Sequence[Wanted], made: list[Wanted]) -> None:
    """Mount side by side and read every mount back; those that are what was asked for are added to `made`.

    Raises:
        ToolError: a mount failed, or said that all is well and did something else: the first one's. It is undone.
    """
    try:
        for one in wanted:
            _make_folder(one.target)
        with blkidcache.naming({node: one.filesystem.uuid for one in wanted for node in one.nodes}) as env:
            ends = run.commands([one.argv for one in wanted], ok=run.ANY_STATUS, env=env, writes=True)
        problems = [(one, _problem(one, end)) for one, end in zip(wanted, ends, strict=True)]
        made += [one for one, problem in problems if not problem]
        _raise_first([problem for _, problem in problems if problem])
    except BaseException:
        unmount([one for one in wanted if one not in made and _is_ours(one)])
        raise


def _make_folder(target: str) -> None:
    try:
        Path(target).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(f"{target} cannot be made: {error.strerror}", hint="name another target") from error


def _is_ours(wanted: Wanted) -> bool:
    """Whether what is mounted at the target is of that filesystem: what somebody else put there is not ours to undo."""
    mounted = occupied(wanted.target)
    return mounted is not None and set(mounted.source.split(":")) <= set(wanted.nodes)


def _raise_first(problems: Sequence[ToolError]) -> None:
    if problems:
        raise problems[0]


def _problem(wanted: Wanted, end: run.Completed) -> ToolError | None:
    if end.status:
        return run.status_error(end)
    if problem := mismatch(wanted):
        return ToolError(
            f"mount said that {wanted.mount.source} is at {wanted.target}, but {problem}",
            hint="the mount of busybox ignores what it does not know: install util-linux's",
        )
    return None


def scan(wanted: Sequence[Wanted]) -> None:
    """Make the kernel know the members of filesystems of several devices.

    Raises:
        ToolError: the command failed.
    """
    argvs = [filesystems.module(one.filesystem.type).scan_argv(one.nodes) for one in wanted]
    run.commands([argv for argv in argvs if argv], writes=True)


def check_profile(wanted: Wanted) -> None:
    """The profile that the topology promises, as the mounted btrfs says itself.

    Raises:
        NotEmptyError: it has another.
    """
    promised = wanted.filesystem.profile
    if promised is None:
        return
    folder = Path("/sys/fs/btrfs") / wanted.filesystem.uuid / "allocation"
    for kind in ("data", "metadata"):
        profiles = sorted(entry.name for entry in (folder / kind).iterdir() if entry.is_dir())
        if profiles != [promised]:
            raise NotEmptyError(
                f"the {kind} of {wanted.filesystem.uuid} are {', '.join(profiles)}; its topology is {promised} "
                "throughout",
                hint="finish its conversion (btrfs balance), or set topology.mode to what the disks carry",
            )


def unmount(made: Sequence[Wanted]) -> None:
    """Undo mounts, the last one first; what cannot be undone is left and logged."""
    with signals.deferred():
        for wanted in reversed(made):
            done = run.start(["umount", wanted.target], writes=True).wait()
            if done.status:
                log.warning("not unmounted", extra={"target": wanted.target, "reason": done.stderr.strip()})
