"""Contradictions: keys that are each valid, but cannot be used together.

Pure functions; each contradiction names the paths of all its keys. The needs of a mode come from the table of
topologies, which is read at each call; this module names no topology.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import text
from zosstorage.config.choices import ONE_DISK_PROFILES, profiles
from zosstorage.config.scalars import Path
from zosstorage.topologies import AUTO, TOPOLOGIES, Topology, modes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.config.schema import Config

Found = tuple[tuple[Path, ...], str]

_MODE: Path = ("topology", "mode")
_EXPECT: Path = ("devices", "expect")
_BTRFS: Path = ("filesystems", "btrfs")


@frozen
class _Needs:
    """The smallest numbers of disks, SSDs and HDDs of a mode, and the largest number of disks (None: no limit)."""

    disks: int
    most: int | None
    ssd: int
    hdd: int


def _rows(mode: str) -> list[Topology]:
    """The topologies that a mode can select: one, or several for `auto`."""
    return [row for row in TOPOLOGIES.values() if (row.automatic if mode == AUTO else row.name == mode)]


def _needs(mode: str) -> _Needs:
    rows = _rows(mode)
    most = [row.most for row in rows if row.most is not None]
    return _Needs(
        disks=min(row.least for row in rows),
        most=max(most) if len(most) == len(rows) else None,
        ssd=min(row.cache for row in rows),
        hdd=min(row.backing for row in rows),
    )


def _tiered(mode: str) -> bool:
    return any(row.tiered for row in _rows(mode))


def _allowed_profiles(row: Topology) -> tuple[str, ...]:
    """The profiles that a topology accepts: the one it requires, else all that its number of disks permits."""
    if row.profile:
        return (row.profile,)
    return profiles() if row.shared else ONE_DISK_PROFILES


def _required_replicas(mode: str) -> int | None:
    """The number of copies that a mode requires; None leaves it to the operator."""
    required = {row.replicas for row in _rows(mode)}
    return required.pop() if len(required) == 1 else None


def contradictions(config: Config) -> Iterator[Found]:
    """Yield the paths of keys that contradict each other, and a text that says why and what is allowed."""
    yield from _devices(config)
    yield from _roles(config)
    yield from _expected_sum(config)
    yield from _expected_mode(config)
    yield from _profiles(config)
    yield from _compression(config)
    yield from _replicas(config)
    yield from _targets(config)
    yield from _files(config)


def _devices(config: Config) -> Iterator[Found]:
    include, exclude = ("devices", "include"), ("devices", "exclude")
    if not config.devices.include:
        yield (include,), "found an empty list, with which no disk is eligible; allowed: at least one glob"
    for glob in sorted({*config.devices.include} & {*config.devices.exclude}):
        yield (include, exclude), f"'{glob}' is listed in both; keep one"


def _roles(config: Config) -> Iterator[Found]:
    mode = config.topology.mode
    for name in ("cache", "backing"):
        if getattr(config.topology, name) and not _tiered(mode):
            tiered = text.one_of(sorted(filter(_tiered, modes())))
            problem = f"mode {mode} has no {name} disks; allowed: {name} only with {tiered}"
            yield (_MODE, ("topology", name)), problem
    for glob in sorted({*config.topology.cache} & {*config.topology.backing}):
        yield (("topology", "cache"), ("topology", "backing")), f"'{glob}' is listed in both; keep one"


def _expected_sum(config: Config) -> Iterator[Found]:
    expect = config.devices.expect
    parts = [number for number in (expect.ssd, expect.hdd) if number is not None]
    total = sum(parts)
    whole = len(parts) == 2  # noqa: PLR2004  both are set
    if expect.count is not None and (total > expect.count or (whole and total < expect.count)):
        paths = tuple((*_EXPECT, name) for name in ("count", "ssd", "hdd") if getattr(expect, name) is not None)
        yield paths, f"{_count(expect.count)} cannot be {_count(expect.ssd, 'SSD')} and {_count(expect.hdd, 'HDD')}"


def _count(number: int | None, kind: str = "disk") -> str:
    return f"any number of {kind}s" if number is None else f"{number} {kind}{'' if number == 1 else 's'}"


def _expected_mode(config: Config) -> Iterator[Found]:
    expect, mode = config.devices.expect, config.topology.mode
    needs = _needs(mode)
    parts = tuple((*_EXPECT, name) for name in ("ssd", "hdd") if getattr(expect, name) is not None)
    total = (expect.ssd or 0) + (expect.hdd or 0)
    if expect.count is not None and not _fits(expect.count, needs):
        problem = f"mode {mode} cannot use {_count(expect.count)}; allowed: {_allowed(needs)}"
        yield (_MODE, (*_EXPECT, "count")), problem
    elif parts and ((needs.most is not None and total > needs.most) or (len(parts) == 2 and total < needs.disks)):  # noqa: PLR2004
        yield (_MODE, *parts), f"mode {mode} cannot use {_count(total)}; allowed: {_allowed(needs)}"
    # `cache` and `backing` assign roles to disks with a wrong rotational flag; the numbers of SSDs and HDDs mean
    # nothing then.
    if not config.topology.cache and not config.topology.backing:
        yield from _expected_classes(config, needs)


def _fits(count: int, needs: _Needs) -> bool:
    return count >= needs.disks and (needs.most is None or count <= needs.most)


def _allowed(needs: _Needs) -> str:
    return _count(needs.disks) if needs.most == needs.disks else f"at least {_count(needs.disks)}"


def _expected_classes(config: Config, needs: _Needs) -> Iterator[Found]:
    for name in ("ssd", "hdd"):
        number, least = getattr(config.devices.expect, name), getattr(needs, name)
        if number is not None and number < least:
            problem = (
                f"mode {config.topology.mode} cannot use {_count(number, name.upper())}; allowed: at least {least}"
            )
            yield (_MODE, (*_EXPECT, name)), problem


def _profiles(config: Config) -> Iterator[Found]:
    mode = config.topology.mode
    rows = [row for row in _rows(mode) if row.filesystem == "btrfs"]
    allowed = tuple(dict.fromkeys(profile for row in rows for profile in _allowed_profiles(row)))
    for name in ("data_profile", "metadata_profile"):
        profile = getattr(config.filesystems.btrfs, name)
        if rows and profile is not None and profile not in allowed:
            problem = f"mode {mode} cannot use profile {profile}; allowed: {text.one_of(allowed)} or null"
            yield (_MODE, (*_BTRFS, name)), problem


def _compression(config: Config) -> Iterator[Found]:
    btrfs = config.filesystems.btrfs
    for option in btrfs.mount_options:
        if btrfs.compression and option.partition("=")[0] in {"compress-force", "nodatacow", "nodatasum"}:
            paths = (*_BTRFS, "compression"), (*_BTRFS, "mount_options")
            yield paths, f"compression {btrfs.compression} and {option} exclude each other; keep one"


def _replicas(config: Config) -> Iterator[Found]:
    mode, replicas = config.topology.mode, config.filesystems.bcachefs.replicas
    key: Path = ("filesystems", "bcachefs", "replicas")
    required = _required_replicas(mode)
    if replicas is not None and required is not None and replicas != required:
        yield (_MODE, key), f"mode {mode} cannot use {_count(replicas, 'replica')}; allowed: {required} or null"
    hdd = config.devices.expect.hdd
    if replicas is not None and _tiered(mode) and hdd and hdd < replicas and not config.topology.backing:
        problem = f"{replicas} replicas need {replicas} backing disks; allowed: at most {_count(hdd, 'replica')}"
        yield ((*_EXPECT, "hdd"), key), f"{problem}, or more disks"


def _targets(config: Config) -> Iterator[Found]:
    places: dict[Path, str] = {("mounts", "data_root"): config.mounts.data_root}
    places |= {("mounts", "targets", name): target for name, target in config.mounts.targets.items()}
    for (one, here), (other, there) in combinations(places.items(), 2):
        if here == there:
            yield (one, other), f"both are {here}; allowed: a different directory for each"
        elif (here + "/").startswith(there + "/") or (there + "/").startswith(here + "/"):
            yield (one, other), f"one of {here} and {there} is inside the other; allowed: separate directories"


def _files(config: Config) -> Iterator[Found]:
    run_dir: Path = ("run_dir",)
    files: list[tuple[Path, str | None]] = [
        (("logging", "file"), config.logging.file),
        (("fstab", "path"), config.fstab.path),
        (("report", "path"), config.report.path),
        (run_dir, f"{config.run_dir}/checkpoint.json"),
        (run_dir, f"{config.run_dir}/lock"),
    ]
    for (one, here), (other, there) in combinations(files, 2):
        if here is not None and here == there:
            yield (one, other), f"both write to {here}; allowed: a different file for each"
