"""Mounting the filesystems of a plan, and believing only what mountinfo says."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.filesystems import bcachefs, btrfs, data_module
from zosstorage.model import Mount
from zosstorage.system import blkidcache, mountinfo, run, signals
from zosstorage.system.paths import under
from zosstorage.work.formatting import devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Facts, PlannedFilesystem
    from zosstorage.system.mountinfo import Mounted

log = logging.getLogger(__name__)

# Options that the kernel shows in mountinfo exactly when they are in force (proc_pid_mountinfo(5)). btrfs shows its own
# flags as well, but of its values only those that are not its defaults (linux fs/btrfs/super.c, btrfs_show_options).
_SHOWN = frozenset(
    ("nosuid", "nodev", "noexec", "nosymfollow", "noatime", "nodiratime", "relatime", "lazytime", "sync", "dirsync")
)
_SHOWN_VALUES = ("compress=", "compress-force=")


class Wanted(NamedTuple):
    """A mount to be.

    Attributes:
        subvolume: its name, empty for the top of the filesystem.
        nodes: of the filesystem's partitions.
    """

    filesystem: PlannedFilesystem
    nodes: tuple[str, ...]
    target: str
    subvolume: str
    options: tuple[str, ...]

    @property
    def mount(self) -> Mount:
        return Mount(f"UUID={self.filesystem.uuid}", self.target, self.filesystem.type, ",".join(self.options))

    @property
    def argv(self) -> list[str]:
        """The mount command. Bcachefs wants its members named; they were found by its UUID."""
        members = ":".join(self.nodes) if self.filesystem.type == bcachefs.TYPE else f"UUID={self.filesystem.uuid}"
        return ["mount", "-t", self.filesystem.type, "-o", ",".join(self.options), members, self.target]


def tops(facts: Facts, config: Config) -> list[Wanted]:
    """The mount of each data filesystem as a whole, below `mounts.data_root`."""
    return [_top(filesystem, facts, config) for filesystem in facts.plan.filesystems if filesystem.is_data]


def _top(filesystem: PlannedFilesystem, facts: Facts, config: Config) -> Wanted:
    target = under(config.root, f"{config.mounts.data_root}/{filesystem.uuid}")
    options = tuple(data_module(filesystem.type).top_options(config))
    return Wanted(filesystem, devices(filesystem, facts), target, "", options)


def targets(primary: PlannedFilesystem, facts: Facts, config: Config) -> list[Wanted]:
    """The mounts of the subvolumes, in the order of the configuration."""
    module = data_module(primary.type)
    return [
        Wanted(
            primary,
            devices(primary, facts),
            under(config.root, target),
            name,
            tuple(module.subvolume_options(name, config)),
        )
        for name, target in config.mounts.targets.items()
    ]


def occupied(target: str) -> Mounted | None:
    return mountinfo.at(os.path.realpath(target))


def mismatch(wanted: Wanted) -> str:
    """What is wrong with what is mounted at the target; empty when it is what was asked for."""
    mounted = occupied(wanted.target)
    if mounted is None:
        return "nothing is mounted there"
    if mounted.fstype != wanted.filesystem.type:
        return f"{mounted.fstype} is mounted there"
    if not set(mounted.source.split(":")) <= set(wanted.nodes):
        return f"{mounted.source} is mounted there, not {' or '.join(wanted.nodes)}"
    if mounted.root != f"/{wanted.subvolume}":
        return f"{mounted.root} of the filesystem is mounted there, not /{wanted.subvolume}"
    missing = [option for option in wanted.options if not _shown(option, mounted)]
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
            ends = run.run_all([one.argv for one in wanted], ok=run.ANY_STATUS, env=env)
        problems = [_problem(one, end) for one, end in zip(wanted, ends, strict=True)]
        made += [one for one, problem in zip(wanted, problems, strict=True) if not problem]
        _raise_first(problems)
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


def _raise_first(problems: Sequence[ToolError | None]) -> None:
    for problem in problems:
        if problem:
            raise problem


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
    """Make the kernel know the members of btrfs filesystems of several devices.

    Raises:
        ToolError: btrfs failed.
    """
    members = [node for one in wanted if one.filesystem.type == btrfs.TYPE and len(one.nodes) > 1 for node in one.nodes]
    if members:
        run.run(btrfs.scan_argv(members))


def check_profile(wanted: Wanted, topology: str) -> None:
    """Two copies where the topology promises two, as the mounted btrfs says itself.

    Raises:
        NotEmptyError: it keeps one.
    """
    if topology != "btrfs_raid1":
        return
    folder = Path("/sys/fs/btrfs") / wanted.filesystem.uuid / "allocation"
    for kind in ("data", "metadata"):
        profiles = sorted(entry.name for entry in (folder / kind).iterdir() if entry.is_dir())
        if profiles != ["raid1"]:
            raise NotEmptyError(
                f"the {kind} of {wanted.filesystem.uuid} are {', '.join(profiles)}; btrfs_raid1 is raid1 throughout",
                hint="finish its conversion (btrfs balance), or set topology.mode to what the disks carry",
            )


def subvolumes(top: str, fstype: str, names: Sequence[str]) -> list[str]:
    """Those of the names that are subvolumes below the mounted top of a filesystem."""
    return [name for name in names if _is_subvolume(Path(top) / name, fstype)]


def _is_subvolume(path: Path, fstype: str) -> bool:
    if not path.is_dir() or path.is_symlink():
        return False
    return fstype != btrfs.TYPE or path.stat().st_ino == btrfs.SUBVOLUME_INODE


def unmount(made: Sequence[Wanted]) -> None:
    """Undo mounts, the last one first; what cannot be undone is left and logged."""
    with signals.deferred():
        for wanted in reversed(made):
            done = run.start(["umount", wanted.target]).wait()
            if done.status:
                log.warning("not unmounted", extra={"target": wanted.target, "reason": done.stderr.strip()})
