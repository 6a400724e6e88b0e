"""Where a run will mount and write besides the disks: seen to be possible before its first write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from zosstorage.block.sysfs import partition_device
from zosstorage.errors import ConfigError
from zosstorage.output import fstab
from zosstorage.system import mountinfo
from zosstorage.system.files import unused_name
from zosstorage.system.paths import under

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.config.schema import Config
    from zosstorage.model import Plan


def check(plan: Plan, config: Config) -> list[ConfigError]:
    """A problem for each mount target, and each file to write, that something is in the way of."""
    ours = {partition_device(planned.disk, part.number) for planned in plan.disks for part in planned.partitions}
    targets = [under(config.root, path) for path in config.mounts.targets.values()]
    tops = [under(config.root, f"{config.mounts.data_root}/{one.uuid}") for one in plan.filesystems if one.is_data]
    folders = [*tops, *targets]
    problems = [
        *(_check_folder(path) for path in folders),
        *(_check_inside(path, config.root) for path in folders),
        *(_check_free(path, ours) for path in targets),
        _check_file(config.report.path, "--report"),
        *(_check_fstab(config) if config.fstab.enabled else ()),
    ]
    return [problem for problem in problems if problem]


def _check_free(path: str, ours: set[str]) -> ConfigError | None:
    mounted = mountinfo.at(os.path.realpath(path))
    if mounted is None or set(mounted.source.split(":")) <= ours:
        return None
    return ConfigError(f"{path} is taken: {mounted.source} is mounted there", hint=f"umount {path}, or name another")


def _check_folder(path: str) -> ConfigError | None:
    """A folder that is there, or can be made."""
    above = _above(path)
    if not above.is_dir():
        return ConfigError(f"{path} cannot be a folder: {above} is a file", hint="remove it, or name another target")
    refused = "" if above == Path(path) else _refused(above)
    return ConfigError(f"{path} cannot be made: {refused}", hint="make it, or name another target") if refused else None


def _above(path: str) -> Path:
    """The path, or the nearest of its parents that is there."""
    return next(parent for parent in (Path(path), *Path(path).parents) if parent.exists())


def _refused(folder: Path) -> str:
    """Why nothing can be made in a folder: only trying tells (a read-only mount, /proc); no trace is left."""
    tried = unused_name(folder / "zosstorage")
    try:
        os.close(os.open(tried, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        tried.unlink()
    except OSError as error:
        return f"{folder}: {error.strerror}"
    return ""


def _check_inside(path: str, root: str) -> ConfigError | None:
    """A link below the root prefix may be meant for when that is the root, and leads elsewhere now."""
    inside, real = Path(os.path.realpath(root)), Path(os.path.realpath(path))
    if real.is_relative_to(inside):
        return None
    return ConfigError(
        f"{path} leads out of {root}, to {real}", hint="make the link that it goes by a relative one, or a folder"
    )


def _check_file(path: str, flag: str) -> ConfigError | None:
    above = _above(path)
    if above == Path(path) and not above.is_file():
        return ConfigError(f"{path} cannot be written: it is no file", hint=f"name another with {flag}")
    folder = above.parent if above == Path(path) else above
    refused = _refused(folder) if folder.is_dir() else f"{folder} is a file"
    return ConfigError(f"{path} cannot be written: {refused}", hint=f"name another with {flag}") if refused else None


def _check_fstab(config: Config) -> Iterator[ConfigError | None]:
    path = under(config.root, config.fstab.path)
    yield _check_inside(path, config.root)
    yield _check_file(os.path.realpath(path), "fstab.path")
    for line in fstab.others(Path(path), config.mounts.targets.values()):
        yield ConfigError(
            f"{path} mounts something else at one of our targets: {line!r}",
            hint="remove that line, name another target, or run with --no-fstab",
        )
