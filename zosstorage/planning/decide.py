"""From observations and configuration to the plan for the machine, or a refusal. Pure. Table M of docs/rationale.md.

A disk is finished here if its data filesystem has a partition without the in-progress flag, and unfinished otherwise. A
run writes all partition tables before it makes a filesystem, and clears no flag before it has read back all
filesystems. So a finished disk proves that all tables of its job were written, and a blank disk beside it is not part
of that job.
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
from zosstorage.planning.refusal import combined, contradiction, refusal
from zosstorage.planning.roles import Member, Target, assign, members_as_made
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
    """The disks of a machine by their verdicts; those of ours are finished or unfinished."""

    blank: tuple[Target, ...]
    foreign: tuple[Target, ...]
    finished: tuple[Target, ...]
    unfinished: tuple[Target, ...]

    @property
    def ours(self) -> tuple[Target, ...]:
        return (*self.finished, *self.unfinished)


def decide(observations: Observations, config: Config, *, new_uuid: Callable[[], UUID] = uuid4) -> Plan:
    """Plan what the machine will become, or refuse and report every problem.

    Raises:
        NoDiskError: the eligible disks are too few, too many or of the wrong class for the topology.
        NotEmptyError: a disk may not be written, or the disks contradict each other or the configuration.
        ToolError: a tool or a feature of the kernel is missing or too old.
        ConfigError: a path cannot be mounted on or written.
    """
    targets = [Target(one.disk, verdict(one)) for one in observations.disks]
    try:
        plan = plan_disks(observations.discovery, targets, config, new_uuid)
    except (NoDiskError, NotEmptyError) as error:
        raise combined([error, *preflight.missing_tools(preflight.ALWAYS_NEEDED, observations)]) from None
    if problems := preflight.problems(plan, observations, config):
        raise combined(problems)
    return plan


def plan_disks(discovery: Discovery, targets: Sequence[Target], config: Config, new_uuid: Callable[[], UUID]) -> Plan:
    """The plan that follows from disks and configuration; tools, kernel and paths are not checked.

    Raises:
        NotEmptyError, NoDiskError: as for `decide`.
    """
    _check_identities(discovery)
    machine = _sort(targets)
    if machine.foreign and not (machine.finished and not machine.unfinished):
        raise refusal([target.verdict for target in machine.foreign], len(targets))
    _check_unique(machine)
    unused: list[Disk] = []
    if machine.finished:
        topology = _existing_topology(machine, config)
        members = members_as_made(topology, _in_order(targets, machine.ours))
        unused = [target.disk for target in (*machine.blank, *machine.foreign)]
    else:
        topology, members = assign(targets, config)
    _check_firmware(members, discovery.firmware)
    _check_roles(members, topology)
    if machine.unfinished and config.validate.on_partial == "abort":
        raise contradiction(
            f"an unfinished job is on {_paths(machine.unfinished)}, and validate.on_partial is abort",
            "set validate.on_partial to resume to finish the job",
        )
    return build(topology, members, discovery.firmware, config, new_uuid, unused)


def _sort(targets: Sequence[Target]) -> _Machine:
    ours = [target for target in targets if target.verdict.kind is Kind.OURS]
    uuids = finished_uuids(ours)
    finished = tuple(target for target in ours if target.verdict.data_uuid in uuids)
    return _Machine(
        tuple(target for target in targets if target.verdict.kind is Kind.BLANK),
        tuple(target for target in targets if target.verdict.kind is Kind.FOREIGN),
        finished,
        tuple(target for target in ours if target not in finished),
    )


def _in_order(targets: Sequence[Target], subset: Sequence[Target]) -> list[Target]:
    """The targets of a subset, in the order of all targets."""
    return [target for target in targets if target in subset]


def _paths(targets: Iterable[Target]) -> str:
    return ", ".join(target.disk.path for target in targets)


def _check_identities(discovery: Discovery) -> None:
    """Refuse two paths that may lead to one disk: that disk would be written twice."""
    paths: dict[tuple[str, ...], str] = {}
    for disk in discovery.disks:
        identities: list[tuple[str, ...]] = [("WWN", disk.wwn)] if disk.wwn else []
        identities += [("serial", disk.serial, disk.model, str(disk.size_bytes))] if disk.serial else []
        for identity in identities:
            if identity in paths:
                both, (kind, value, *_) = f"{paths[identity]} and {disk.path}", identity
                raise contradiction(
                    f"{both} have the same {kind} {value} and may be two paths to one disk",
                    "exclude one of them; multipath is not supported",
                )
            paths[identity] = disk.path


def _check_unique(machine: _Machine) -> None:
    """Refuse a disk and its copy, which has the same GUIDs: nothing tells which of the two is meant."""
    for what, values in (
        ("disk GUID", [target.verdict.guid for target in machine.ours if target.verdict.guid]),
        ("partition UUID", [part.uuid for target in machine.ours for part in target.verdict.partitions]),
    ):
        if duplicates := [value for value, count in Counter(values).items() if count > 1]:
            raise contradiction(
                f"the {what} {duplicates[0]} occurs more than once on {_paths(machine.ours)}",
                "one disk is a copy of another: remove or exclude the copy",
            )


def _existing_topology(machine: _Machine, config: Config) -> Topology:
    """The topology of the finished disks, and of the unfinished disks of the same job."""
    topology = _finished_topology(_finished_filesystems(machine.finished), config)
    if machine.unfinished:
        topology = _partly_finished_topology(topology, machine)
    configured = config.topology.mode
    if configured not in (topologies.AUTO, topology.name):
        raise contradiction(
            f"the disks carry the topology {topology.name}, and topology.mode is {configured}",
            f"set topology.mode to {topology.name} or auto; another topology needs blank disks",
        )
    return topology


def _partly_finished_topology(finished: Topology, machine: _Machine) -> Topology:
    """The topology of a job of which some disks are finished: one that gives each disk a filesystem of its own.

    Args:
        finished: the topology that the finished disks would be without the unfinished ones.
        machine: all disks.
    """
    fitting = [
        row
        for row in TOPOLOGIES.values()
        if not (row.shared or finished.shared) and row.filesystem == finished.filesystem and row.most is None
    ]
    if not fitting:
        raise contradiction(
            f"the finished {finished.name} on {_paths(machine.finished)} and the unfinished job on "
            f"{_paths(machine.unfinished)} are not parts of one job",
            "exclude or erase the disks of the unfinished job",
        )
    return fitting[0]


def _finished_filesystems(finished: Sequence[Target]) -> dict[str, list[SeenPartition]]:
    """The data partitions of each finished filesystem, by its UUID.

    Raises:
        NotEmptyError: a member is missing, or there is one too many.
    """
    partitions: dict[str, list[SeenPartition]] = {}
    for target in finished:
        partitions.setdefault(target.verdict.data_uuid, []).append(target.verdict.data)
    for uuid, members in partitions.items():
        _check_members(uuid, members)
    return partitions


def _check_members(uuid: str, members: Sequence[SeenPartition]) -> None:
    contents = [part.content for part in members if part.content]
    kinds = {(content.type, content.devices) for content in contents}
    distinct = {content.member for content in contents}
    if len(kinds) == 1 and len(distinct) == len(members) == contents[0].devices:
        return
    raise contradiction(
        f"the filesystem {uuid} has {contents[0].devices} devices according to its superblock; found: {len(members)}, "
        f"of which distinct: {len(distinct)}",
        "attach the missing disk, or remove the copy of a disk; a filesystem is never mounted degraded",
    )


def _finished_topology(filesystems: dict[str, list[SeenPartition]], config: Config) -> Topology:
    """The topology that finished filesystems form."""
    contents = [part.content for members in filesystems.values() for part in members if part.content]
    types = {content.type for content in contents}
    fitting = [row for row in TOPOLOGIES.values() if types == {row.filesystem} and _fits(row, filesystems)]
    if not fitting:
        raise contradiction(
            f"the finished filesystems on the disks ({len(filesystems)}, {', '.join(sorted(types))}) do not form a "
            "topology",
            "include only the disks of one system",
        )
    return _select_by_copies(fitting, contents[0].replicas, config)


def _fits(row: Topology, filesystems: dict[str, list[SeenPartition]]) -> bool:
    names = {part.name for members in filesystems.values() for part in members}
    sizes = [len(members) for members in filesystems.values()]
    if row.tiered:
        return names == {CACHE_NAME, DATA_NAME} and len(filesystems) == 1
    enough = row.least <= sum(sizes) and (row.most is None or sum(sizes) <= row.most)
    return names == {DATA_NAME} and enough and (len(filesystems) == 1 if row.shared else set(sizes) == {1})


def _select_by_copies(fitting: Sequence[Topology], replicas: int, config: Config) -> Topology:
    """Select a topology by the number of copies that its filesystems keep.

    It is the one that requires that number. If the configuration sets the same number for a topology that requires
    none, it is that one. If several are left, it is the configured one.

    Args:
        fitting: the topologies that fit in all other respects.
        replicas: the number of copies according to the superblock.
        config: the configuration.
    """
    mode = config.topology.mode
    without_number = [row for row in fitting if row.replicas is None]
    configurable = [row for row in without_number if mode in (topologies.AUTO, row.name)]
    exact = [row for row in fitting if row.replicas == replicas]
    if configurable and config.filesystems.bcachefs.replicas == replicas:
        return configurable[0]
    best = exact or without_number or fitting
    return next((row for row in best if row.name == mode), best[0])


def _check_firmware(members: Iterable[Member], firmware: Firmware) -> None:
    for target in (member.target for member in members):
        kinds = {part.kind for part in target.verdict.partitions}
        if kinds and (PartitionKind.BIOS_BOOT in kinds) != (firmware is Firmware.BIOS):
            has = "has" if PartitionKind.BIOS_BOOT in kinds else "lacks"
            raise contradiction(
                f"{target.disk.path} {has} a bios_boot partition, and this machine's firmware is {firmware}",
                "set partitions.firmware to the firmware that the disks were made for",
            )


def _check_roles(members: Iterable[Member], topology: Topology) -> None:
    """Refuse an unfinished disk whose data partition has another name or filesystem than the plan gives it."""
    for member in members:
        seen = member.target.seen(PartitionKind.DATA)
        if seen is None:
            continue
        planned = CACHE_NAME if member.role is Role.CACHE else DATA_NAME
        fstype = seen.content.type if seen.content else topology.filesystem
        if (seen.name, fstype) != (planned, topology.filesystem):
            raise contradiction(
                f"{member.target.disk.path} has a {seen.name} partition with {fstype}; the topology {topology.name} "
                f"would make it {planned} with {topology.filesystem}",
                "set topology.mode, topology.cache and topology.backing as they were when the job was started",
            )
