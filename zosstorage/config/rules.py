"""Contradictions: keys that are each fine and cannot be meant together.

Pure; each one names the paths of all keys that take part in it. What a mode needs and promises comes from the table of
topologies, which is read at each call: no topology is named here.
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
    """How many disks a mode can be made of; `most` None is without limit."""

    disks: int
    most: int | None
    ssd: int
    hdd: int


def _rows(mode: str) -> list[Topology]:
    """The topologies that a mode may come to."""
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


def _kept_profiles(row: Topology) -> tuple[str, ...]:
    """The profiles that may be asked of a topology: its own, else what its filesystems have the disks for."""
    if row.profile:
        return (row.profile,)
    return profiles() if row.shared else ONE_DISK_PROFILES


def _promised_replicas(mode: str) -> int | None:
    """The number of copies that a mode promises; None leaves it to the operator."""
    promised = {row.replicas for row in _rows(mode)}
    return promised.pop() if len(promised) == 1 else None


def contradictions(config: Config) -> Iterator[Found]:
    """Yields the keys that contradict each other, and the sentence's end that says how."""
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
        yield (include,), "found an empty list; allowed: at least one glob, or no disk is ever eligible"
    for glob in sorted({*config.devices.include} & {*config.devices.exclude}):
        yield (include, exclude), f"'{glob}' stands in both; allowed: in one of them"


def _roles(config: Config) -> Iterator[Found]:
    mode = config.topology.mode
    for name in ("cache", "backing"):
        if getattr(config.topology, name) and not _tiered(mode):
            tiered = text.one_of(sorted(filter(_tiered, modes())))
            told = f"mode {mode} has no {name} disks; allowed: {name} only with {tiered}"
            yield (_MODE, ("topology", name)), told
    for glob in sorted({*config.topology.cache} & {*config.topology.backing}):
        yield (("topology", "cache"), ("topology", "backing")), f"'{glob}' stands in both; allowed: in one of them"


def _expected_sum(config: Config) -> Iterator[Found]:
    expect = config.devices.expect
    parts = [number for number in (expect.ssd, expect.hdd) if number is not None]
    total = sum(parts)
    whole = len(parts) == 2  # noqa: PLR2004  both are set
    if expect.count is not None and (total > expect.count or (whole and total < expect.count)):
        paths = tuple((*_EXPECT, name) for name in ("count", "ssd", "hdd") if getattr(expect, name) is not None)
        yield paths, f"{expect.count} disks cannot be {_shown(expect.ssd, 'SSD')} and {_shown(expect.hdd, 'HDD')}"


def _shown(number: int | None, kind: str) -> str:
    return f"any number of {kind}s" if number is None else f"{number} {kind}{'' if number == 1 else 's'}"


def _expected_mode(config: Config) -> Iterator[Found]:
    expect, mode = config.devices.expect, config.topology.mode
    needs = _needs(mode)
    parts = tuple((*_EXPECT, name) for name in ("ssd", "hdd") if getattr(expect, name) is not None)
    total = (expect.ssd or 0) + (expect.hdd or 0)
    if expect.count is not None and not _fits(expect.count, needs):
        yield (_MODE, (*_EXPECT, "count")), f"mode {mode} cannot be made of {expect.count}; allowed: {_allowed(needs)}"
    elif parts and ((needs.most is not None and total > needs.most) or (len(parts) == 2 and total < needs.disks)):  # noqa: PLR2004
        yield (_MODE, *parts), f"mode {mode} cannot be made of {total} disks; allowed: {_allowed(needs)}"
    # Globs may give a role to a disk whose rotational flag is wrong, so that the flags' counts say nothing here.
    if not config.topology.cache and not config.topology.backing:
        yield from _expected_classes(config, needs)


def _fits(count: int, needs: _Needs) -> bool:
    return count >= needs.disks and (needs.most is None or count <= needs.most)


def _allowed(needs: _Needs) -> str:
    return f"{needs.disks} disk" if needs.most == 1 else f"at least {needs.disks} disks"


def _expected_classes(config: Config, needs: _Needs) -> Iterator[Found]:
    for name in ("ssd", "hdd"):
        number, least = getattr(config.devices.expect, name), getattr(needs, name)
        if number is not None and number < least:
            told = f"mode {config.topology.mode} cannot be made with {number}; allowed: at least {least}"
            yield (_MODE, (*_EXPECT, name)), told


def _profiles(config: Config) -> Iterator[Found]:
    mode = config.topology.mode
    rows = [row for row in _rows(mode) if row.filesystem == "btrfs"]
    allowed = tuple(dict.fromkeys(profile for row in rows for profile in _kept_profiles(row)))
    for name in ("data_profile", "metadata_profile"):
        profile = getattr(config.filesystems.btrfs, name)
        if rows and profile is not None and profile not in allowed:
            told = f"mode {mode} cannot be made with {profile}; allowed: {text.one_of(allowed)} or null"
            yield (_MODE, (*_BTRFS, name)), told


def _compression(config: Config) -> Iterator[Found]:
    btrfs = config.filesystems.btrfs
    for option in btrfs.mount_options:
        if btrfs.compression and option.partition("=")[0] in {"compress-force", "nodatacow", "nodatasum"}:
            paths = (*_BTRFS, "compression"), (*_BTRFS, "mount_options")
            yield paths, f"compression {btrfs.compression} and {option} exclude each other; allowed: one of them"


def _replicas(config: Config) -> Iterator[Found]:
    mode, replicas = config.topology.mode, config.filesystems.bcachefs.replicas
    key: Path = ("filesystems", "bcachefs", "replicas")
    wanted = _promised_replicas(mode)
    if replicas is not None and wanted is not None and replicas != wanted:
        yield (_MODE, key), f"mode {mode} cannot be made with {replicas} replicas; allowed: {wanted} or null"
    hdd = config.devices.expect.hdd
    if replicas is not None and _tiered(mode) and hdd and hdd < replicas and not config.topology.backing:
        told = f"{replicas} replicas need as many backing disks; allowed: at most {hdd} replicas, or more disks"
        yield ((*_EXPECT, "hdd"), key), told


def _targets(config: Config) -> Iterator[Found]:
    places: dict[Path, str] = {("mounts", "data_root"): config.mounts.data_root}
    places |= {("mounts", "targets", name): target for name, target in config.mounts.targets.items()}
    for (one, here), (other, there) in combinations(places.items(), 2):
        if here == there:
            yield (one, other), f"found {here} for both; allowed: a directory for each"
        elif (here + "/").startswith(there + "/") or (there + "/").startswith(here + "/"):
            yield (one, other), f"one of {here} and {there} is inside the other; allowed: directories side by side"


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
            yield (one, other), f"both would write {here}; allowed: a file for each"
