"""Observations and configuration → the plan for the machine, or the refusal: the table of docs/rationale.md. Pure.

"Finished" disks have an unmarked data partition, "unfinished" ones a marked one. Partition writes every table before
Format makes anything, and no mark is cleared before every filesystem was read back; so a finished disk says that all
tables were written, and beside it a blank disk is none of ours.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import frozen

from zosstorage import topologies
from zosstorage.block.emptiness import verdict
from zosstorage.block.layout import CACHE_NAME, DATA_NAME
from zosstorage.errors import NoDiskError, NotEmptyError
from zosstorage.model import Discovery, Firmware, Kind, PartitionKind, Role
from zosstorage.planning import preflight
from zosstorage.planning.build import build, finished_uuids
from zosstorage.planning.refusal import contradiction, refusal, together
from zosstorage.planning.roles import Member, Target, assign, carried
from zosstorage.topologies import TOPOLOGIES, Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from zosstorage.config.schema import Config
    from zosstorage.model import Disk, SeenPartition
    from zosstorage.observed import Observations
    from zosstorage.planned import Plan


@frozen
class _Machine:
    """The disks of a machine, sorted by what they carry."""

    blank: tuple[Target, ...]
    foreign: tuple[Target, ...]
    finished: tuple[Target, ...]
    unfinished: tuple[Target, ...]

    @property
    def ours(self) -> tuple[Target, ...]:
        return (*self.finished, *self.unfinished)


def decide(observations: Observations, config: Config, *, new_uuid: Callable[[], UUID] = uuid4) -> Plan:
    """What this machine is to become, if nothing is in the way: every problem is told at once.

    Raises:
        NoDiskError: the topology needs other disks than there are.
        NotEmptyError: a disk may not be written, or what the disks carry contradicts the configuration or itself.
        ToolError: a tool or a feature of the kernel is missing or too old.
        ConfigError: something is in the way of a mount or of a file.
    """
    targets = [Target(one.disk, verdict(one)) for one in observations.disks]
    try:
        plan = choose(observations.discovery, targets, config, new_uuid)
    except (NoDiskError, NotEmptyError) as error:
        raise together([error, *preflight.missing(preflight.ALWAYS, observations)]) from None
    if problems := preflight.problems(plan, observations, config):
        raise together(problems)
    return plan


def choose(discovery: Discovery, targets: Sequence[Target], config: Config, new_uuid: Callable[[], UUID]) -> Plan:
    """The plan that disks and configuration make, whatever else the machine lacks.

    Raises:
        NotEmptyError, NoDiskError: as `decide`.
    """
    _check_paths(discovery)
    machine = _sort(targets)
    if machine.foreign and not (machine.finished and not machine.unfinished):
        raise refusal([target.verdict for target in machine.foreign], len(targets))
    _check_unique(machine)
    unused: list[Disk] = []
    if machine.finished:
        topology = _carried(machine, config)
        members = carried(topology, _in_order(targets, machine.ours))
        unused = [target.disk for target in (*machine.blank, *machine.foreign)]
    else:
        topology, members = assign(targets, config)
    _check_firmware(members, discovery.firmware)
    _check_roles(members, topology)
    if machine.unfinished and config.validate.on_partial == "abort":
        raise contradiction(
            f"{_names(machine.unfinished)} carry an unfinished job of ours, and validate.on_partial is abort",
            "set validate.on_partial to resume to have it finished",
        )
    return build(topology, members, discovery.firmware, config, new_uuid, unused)


def _sort(targets: Sequence[Target]) -> _Machine:
    ours = [target for target in targets if target.verdict.kind is Kind.OURS]
    done = finished_uuids(ours)
    finished = tuple(target for target in ours if target.verdict.data_uuid in done)
    return _Machine(
        tuple(target for target in targets if target.verdict.kind is Kind.BLANK),
        tuple(target for target in targets if target.verdict.kind is Kind.FOREIGN),
        finished,
        tuple(target for target in ours if target not in finished),
    )


def _in_order(targets: Sequence[Target], some: Sequence[Target]) -> list[Target]:
    return [target for target in targets if target in some]


def _names(targets: Iterable[Target]) -> str:
    return ", ".join(target.disk.path for target in targets)


def _check_paths(discovery: Discovery) -> None:
    """One disk reached by two paths would be written twice."""
    seen: dict[tuple[str, ...], str] = {}
    for disk in discovery.disks:
        names: list[tuple[str, ...]] = [("WWN", disk.wwn)] if disk.wwn else []
        names += [("serial", disk.serial, disk.model, str(disk.size_bytes))] if disk.serial else []
        for name in names:
            if name in seen:
                raise contradiction(
                    f"{seen[name]} and {disk.path} have the same {name[0]} {name[1]}: one disk by two paths, perhaps",
                    "exclude one of them; multipath is not supported",
                )
            seen[name] = disk.path


def _check_unique(machine: _Machine) -> None:
    """A copy of one of our disks carries the same GUIDs: which of the two is meant, nobody can tell."""
    for what, values in (
        ("disk GUID", [target.verdict.guid for target in machine.ours if target.verdict.guid]),
        ("partition UUID", [part.uuid for target in machine.ours for part in target.verdict.partitions]),
    ):
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise contradiction(
                f"the {what} {twice[0]} stands on more than one place of {_names(machine.ours)}",
                "one disk is a copy of another: remove or exclude the copy",
            )


def _carried(machine: _Machine, config: Config) -> Topology:
    """The topology that the finished disks carry, with the unfinished ones that belong to it."""
    topology = _topology(_groups(machine.finished), config)
    if machine.unfinished:
        topology = _extended(topology, machine)
    configured = config.topology.mode
    if configured not in (topologies.AUTO, topology.name):
        raise contradiction(
            f"the disks carry the topology {topology.name}, and topology.mode is {configured}",
            f"set topology.mode to {topology.name} or auto; another topology needs blank disks",
        )
    return topology


def _extended(topology: Topology, machine: _Machine) -> Topology:
    """Where each disk has a filesystem of its own, some of a job's disks can be finished and others not."""
    fitting = [
        row
        for row in TOPOLOGIES.values()
        if not (row.shared or topology.shared) and row.filesystem == topology.filesystem and row.most is None
    ]
    if not fitting:
        raise contradiction(
            f"{_names(machine.finished)} carry a finished {topology.name}, and {_names(machine.unfinished)} an "
            "unfinished job of ours that is no part of it",
            "exclude or erase the disks of the unfinished job",
        )
    return fitting[0]


def _groups(finished: Sequence[Target]) -> dict[str, list[SeenPartition]]:
    """The members of each finished filesystem, none missing and none too many."""
    groups: dict[str, list[SeenPartition]] = {}
    for target in finished:
        groups.setdefault(target.verdict.data_uuid, []).append(target.verdict.data)
    for uuid, members in groups.items():
        _check_members(uuid, members)
    return groups


def _check_members(uuid: str, members: Sequence[SeenPartition]) -> None:
    contents = [part.content for part in members if part.content]
    expected = {(content.type, content.devices) for content in contents}
    distinct = {content.member for content in contents}
    if len(expected) == 1 and len(distinct) == len(members) == contents[0].devices:
        return
    raise contradiction(
        f"the filesystem {uuid} says it has {contents[0].devices} devices, and {len(members)} were found with "
        f"{len(distinct)} identities among them",
        "attach the missing disk, or remove a copied one; it is never mounted degraded",
    )


def _topology(groups: dict[str, list[SeenPartition]], config: Config) -> Topology:
    """Name what finished filesystems make up."""
    contents = [part.content for members in groups.values() for part in members if part.content]
    types = {content.type for content in contents}
    fitting = [row for row in TOPOLOGIES.values() if types == {row.filesystem} and _fits(row, groups)]
    if not fitting:
        raise contradiction(
            f"the disks carry {len(groups)} finished filesystems ({', '.join(sorted(types))}) that make up no topology",
            "include only the disks of one system",
        )
    return _by_copies(fitting, contents[0].replicas, config)


def _fits(row: Topology, groups: dict[str, list[SeenPartition]]) -> bool:
    names = {part.name for members in groups.values() for part in members}
    sizes = [len(members) for members in groups.values()]
    if row.tiered:
        return names == {CACHE_NAME, DATA_NAME} and len(groups) == 1
    enough = row.least <= sum(sizes) and (row.most is None or sum(sizes) <= row.most)
    return names == {DATA_NAME} and enough and (len(groups) == 1 if row.shared else set(sizes) == {1})


def _by_copies(fitting: Sequence[Topology], replicas: int, config: Config) -> Topology:
    """Of those that fit, the one that promises the copies seen; not where the operator set that number for another.

    Where that leaves several, the configured one.
    """
    mode = config.topology.mode
    loose = [row for row in fitting if row.replicas is None]
    asked = [row for row in loose if mode in (topologies.AUTO, row.name)]
    exact = [row for row in fitting if row.replicas == replicas]
    if asked and config.filesystems.bcachefs.replicas == replicas:
        return asked[0]
    best = exact or loose or fitting
    return next((row for row in best if row.name == mode), best[0])


def _check_firmware(members: Iterable[Member], firmware: Firmware) -> None:
    for target in (member.target for member in members):
        kinds = {part.kind for part in target.verdict.partitions}
        if kinds and (PartitionKind.BIOS_BOOT in kinds) != (firmware is Firmware.BIOS):
            has = "has" if PartitionKind.BIOS_BOOT in kinds else "lacks"
            raise contradiction(
                f"{target.disk.path} {has} a bios_boot partition, and this machine's firmware is {firmware}",
                "set partitions.firmware to what the disks were made for",
            )


def _check_roles(members: Iterable[Member], topology: Topology) -> None:
    """What an unfinished disk was meant for, and what it carries already, must be what the plan makes of it."""
    for member in members:
        seen = member.target.seen(PartitionKind.DATA)
        if seen is None:
            continue
        wanted = CACHE_NAME if member.role is Role.CACHE else DATA_NAME
        made = seen.content.type if seen.content else topology.filesystem
        if (seen.name, made) != (wanted, topology.filesystem):
            raise contradiction(
                f"{member.target.disk.path} carries a {seen.name} partition with {made}, and the topology "
                f"{topology.name} makes {wanted} with {topology.filesystem} of it",
                "set topology.mode and its cache and backing globs to what the job was started with",
            )
