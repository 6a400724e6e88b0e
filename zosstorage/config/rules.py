"""Contradictions: keys that are each fine and cannot be meant together. Pure; the paths name every key involved."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from zosstorage.config.choices import BtrfsProfile, TopologyMode
from zosstorage.text import Path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.config.schema import Config

Found = tuple[tuple[Path, ...], str]

_MODE: Path = ("topology", "mode")
_EXPECT: Path = ("devices", "expect")
_BTRFS: Path = ("filesystems", "btrfs")


class _Needs(NamedTuple):
    """How many disks a mode can be made of; `most` None is without limit."""

    disks: int
    most: int | None = None
    ssd: int = 0
    hdd: int = 0


_NEEDS = {
    TopologyMode.AUTO: _Needs(1),
    TopologyMode.SINGLE: _Needs(1, 1),
    TopologyMode.DUAL_INDEPENDENT: _Needs(2),
    TopologyMode.BTRFS_RAID1: _Needs(2),
    TopologyMode.BCACHEFS_SINGLE: _Needs(1, 1),
    TopologyMode.SSD_HDD_BCACHEFS: _Needs(2, ssd=1, hdd=1),
    TopologyMode.BCACHEFS_2COPY: _Needs(3, ssd=1, hdd=2),
}
_TIERED = {TopologyMode.AUTO, TopologyMode.SSD_HDD_BCACHEFS, TopologyMode.BCACHEFS_2COPY}
_REPLICAS = {TopologyMode.BCACHEFS_SINGLE: 1, TopologyMode.BCACHEFS_2COPY: 2}


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
        if getattr(config.topology, name) and mode not in _TIERED:
            told = f"mode {mode} has no {name} disks; allowed: {name} only with {', '.join(sorted(_TIERED))}"
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
    needs = _NEEDS[mode]
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
    mirrored = mode is TopologyMode.BTRFS_RAID1
    for name in ("data_profile", "metadata_profile"):
        profile = getattr(config.filesystems.btrfs, name)
        if profile is not None and (profile is BtrfsProfile.RAID1) is not mirrored and mode in _BTRFS_MODES:
            allowed = "raid1" if mirrored else "single, dup"
            yield (_MODE, (*_BTRFS, name)), f"mode {mode} cannot be made with {profile}; allowed: {allowed} or null"


_BTRFS_MODES = {TopologyMode.AUTO, TopologyMode.SINGLE, TopologyMode.DUAL_INDEPENDENT, TopologyMode.BTRFS_RAID1}


def _compression(config: Config) -> Iterator[Found]:
    btrfs = config.filesystems.btrfs
    for option in btrfs.mount_options:
        if btrfs.compression and option.partition("=")[0] in {"compress-force", "nodatacow", "nodatasum"}:
            paths = (*_BTRFS, "compression"), (*_BTRFS, "mount_options")
            yield paths, f"compression {btrfs.compression} and {option} exclude each other; allowed: one of them"


def _replicas(config: Config) -> Iterator[Found]:
    mode, replicas = config.topology.mode, config.filesystems.bcachefs.replicas
    key: Path = ("filesystems", "bcachefs", "replicas")
    wanted = _REPLICAS.get(mode, replicas)
    if replicas is not None and replicas != wanted:
        yield (_MODE, key), f"mode {mode} cannot be made with {replicas} replicas; allowed: {wanted} or null"
    hdd = config.devices.expect.hdd
    if replicas is not None and mode in _TIERED and hdd and hdd < replicas and not config.topology.backing:
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
