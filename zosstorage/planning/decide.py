"""Verdicts of all disks → one plan for the machine, or the refusal: the truth table of docs/rationale.md. Pure.

"Finished" disks have an unmarked data partition, "unfinished" ones a marked one. Partition writes every table before
Format makes anything, and no mark is cleared before every filesystem was read back; so a finished disk says that all
tables were written, and beside it a blank disk is none of ours.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from zosstorage.errors import NotEmptyError
from zosstorage.model import Discovery, Kind, PartitionKind, Plan, Role, Verdict
from zosstorage.planning.build import SHAPES, Target, assign, build, finished_uuids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from zosstorage.config.schema import Config
    from zosstorage.model import Evidence, SeenPartition


class _Machine(NamedTuple):
    """The disks of a machine, sorted by what they carry."""

    blank: tuple[Target, ...]
    foreign: tuple[Target, ...]
    finished: tuple[Target, ...]
    unfinished: tuple[Target, ...]


def decide(
    discovery: Discovery, verdicts: Sequence[Verdict], config: Config, *, new_uuid: Callable[[], UUID] = uuid4
) -> Plan:
    """What this machine is to become.

    Raises:
        NotEmptyError: a disk may not be written, or what the disks carry contradicts the configuration or itself.
        NoDiskError: the topology needs other disks than there are.
    """
    _check_paths(discovery)
    machine = _sort([Target(disk, verdict) for disk, verdict in zip(discovery.disks, verdicts, strict=True)])
    if machine.foreign and not _complete(machine):
        raise refusal([target.verdict for target in machine.foreign], len(verdicts))
    _check_unique(machine)
    if machine.finished:
        topology, roles, targets, unused = _carried(machine, config)
    else:
        targets, unused = _in_order(discovery, (*machine.blank, *machine.unfinished)), ()
        topology, roles = assign([target.disk for target in targets], config)
    _check_firmware(targets, discovery)
    _check_roles(targets, roles, topology)
    plan = build(
        topology,
        roles,
        _in_order(discovery, targets),
        discovery.firmware,
        config,
        verdicts=verdicts,
        unused=[target.disk for target in unused],
        new_uuid=new_uuid,
    )
    if machine.unfinished and config.validate.on_partial == "abort":
        raise _contradiction(
            f"{_names(machine.unfinished)} carry an unfinished job of ours, and validate.on_partial is abort",
            "set validate.on_partial to resume to have it finished",
        )
    return plan


def _sort(targets: Sequence[Target]) -> _Machine:
    ours = [target for target in targets if target.verdict.kind is Kind.OURS]
    done = finished_uuids(ours)
    finished = tuple(target for target in ours if _data_uuid(target) in done)
    return _Machine(
        tuple(target for target in targets if target.verdict.kind is Kind.BLANK),
        tuple(target for target in targets if target.verdict.kind is Kind.FOREIGN),
        finished,
        tuple(target for target in ours if target not in finished),
    )


def _in_order(discovery: Discovery, targets: Iterable[Target]) -> tuple[Target, ...]:
    order = [disk.path for disk in discovery.disks]
    return tuple(sorted(targets, key=lambda target: order.index(target.disk.path)))


def _data_uuid(target: Target) -> str:
    content = target.verdict.data.content
    return content.uuid if content else ""


def _complete(machine: _Machine) -> bool:
    return bool(machine.finished) and not machine.unfinished


def refusal(verdicts: Sequence[Verdict], total: int) -> NotEmptyError:
    """The refusal of a whole run: every disk with all its evidence."""
    told = "; ".join(f"{verdict.path}: {tell(verdict.evidence)}" for verdict in verdicts)
    hints = dict.fromkeys(found.hint for verdict in verdicts for found in verdict.evidence if found.hint)
    count = f"{len(verdicts)} of {total} target disk{'s' if total > 1 else ''} may not be written"
    return NotEmptyError(f"{count}, nothing was written: {told}", hint="; ".join(hints))


def tell(evidence: Iterable[Evidence]) -> str:
    """Findings as text: what, at which byte, by which check."""
    return ", ".join(
        f"{found.found} ({f'at byte {found.offset}, ' if found.offset is not None else ''}check: {found.check})"
        for found in evidence
    )


def _contradiction(message: str, hint: str) -> NotEmptyError:
    return NotEmptyError(f"{message}; nothing was written", hint=hint)


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
                raise _contradiction(
                    f"{seen[name]} and {disk.path} have the same {name[0]} {name[1]}: one disk by two paths, perhaps",
                    "exclude one of them; multipath is not supported",
                )
            seen[name] = disk.path


def _check_unique(machine: _Machine) -> None:
    """A copy of one of our disks carries the same GUIDs: which of the two is meant, nobody can tell."""
    ours = [*machine.finished, *machine.unfinished]
    for what, values in (
        ("disk GUID", [target.verdict.guid for target in ours if target.verdict.guid]),
        ("partition UUID", [part.uuid for target in ours for part in target.verdict.partitions]),
    ):
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise _contradiction(
                f"the {what} {twice[0]} stands on more than one place of {_names(ours)}",
                "one disk is a copy of another: remove or exclude the copy",
            )


def _carried(machine: _Machine, config: Config) -> tuple[str, dict[str, Role], tuple[Target, ...], tuple[Target, ...]]:
    """The topology that finished disks carry, their roles, the disks it is about, and those left alone."""
    groups = _groups(machine.finished)
    topology = _topology(groups, config)
    targets: tuple[Target, ...] = (*machine.finished, *machine.unfinished)
    if machine.unfinished and topology in ("single", "dual_independent"):
        topology = "dual_independent"
    elif machine.unfinished:
        raise _contradiction(
            f"{_names(machine.finished)} carry a finished {topology}, and {_names(machine.unfinished)} an unfinished "
            "job of ours that is no part of it",
            "exclude or erase the disks of the unfinished job",
        )
    configured = str(config.topology.mode)
    if configured not in ("auto", topology):
        raise _contradiction(
            f"the disks carry the topology {topology}, and topology.mode is {configured}",
            f"set topology.mode to {topology} or auto; another topology needs blank disks",
        )
    return topology, _roles(topology, targets), targets, (*machine.blank, *machine.foreign)


def _groups(finished: Sequence[Target]) -> dict[str, list[SeenPartition]]:
    """The members of each finished filesystem, none missing and none too many."""
    groups: dict[str, list[SeenPartition]] = {}
    for target in finished:
        groups.setdefault(_data_uuid(target), []).append(target.verdict.data)
    for uuid, members in groups.items():
        _check_members(uuid, members)
    return groups


def _check_members(uuid: str, members: Sequence[SeenPartition]) -> None:
    contents = [part.content for part in members if part.content]
    expected = {(content.type, content.devices) for content in contents}
    distinct = {content.member for content in contents}
    if len(expected) == 1 and len(distinct) == len(members) == contents[0].devices:
        return
    raise _contradiction(
        f"the filesystem {uuid} says it has {contents[0].devices} devices, and {len(members)} were found with "
        f"{len(distinct)} identities among them",
        "attach the missing disk, or remove a copied one; it is never mounted degraded",
    )


def _topology(groups: dict[str, list[SeenPartition]], config: Config) -> str:
    """Name what finished filesystems make up."""
    sizes = {len(members) for members in groups.values()}
    contents = [part.content for members in groups.values() for part in members if part.content]
    types = {content.type for content in contents}
    names = {part.name for members in groups.values() for part in members}
    tiered = names == {"zoscache", "zosdata"}
    if types == {"btrfs"} and names == {"zosdata"} and (sizes == {1} or len(groups) == 1):
        if sizes == {1}:
            return "single" if len(groups) == 1 else "dual_independent"
        return "btrfs_raid1"
    if types == {"bcachefs"} and len(groups) == 1 and (tiered or (sizes == {1} and names == {"zosdata"})):
        if not tiered:
            return "bcachefs_single"
        return _tiered(contents[0].replicas, config)
    raise _contradiction(
        f"the disks carry {len(groups)} finished filesystems ({', '.join(sorted(types))}) that make up no topology",
        "include only the disks of one system",
    )


def _tiered(replicas: int, config: Config) -> str:
    """Two copies are `bcachefs_2copy`, unless the operator set that number of copies for the other one."""
    asked = config.topology.mode in ("auto", "ssd_hdd_bcachefs") and config.filesystems.bcachefs.replicas == replicas
    return "bcachefs_2copy" if replicas == 2 and not asked else "ssd_hdd_bcachefs"  # noqa: PLR2004 - copies


def _roles(topology: str, targets: Iterable[Target]) -> dict[str, Role]:
    if SHAPES[topology].minimum[1] == 0:
        return {target.disk.path: Role.DATA for target in targets}
    return {
        target.disk.path: Role.CACHE if target.verdict.data.name == "zoscache" else Role.BACKING for target in targets
    }


def _check_firmware(targets: Iterable[Target], discovery: Discovery) -> None:
    for target in targets:
        kinds = {part.kind for part in target.verdict.partitions}
        if kinds and (PartitionKind.BIOS_BOOT in kinds) != (discovery.firmware == "bios"):
            has = "has" if PartitionKind.BIOS_BOOT in kinds else "lacks"
            raise _contradiction(
                f"{target.disk.path} {has} a bios_boot partition, and this machine's firmware is {discovery.firmware}",
                "set partitions.firmware to what the disks were made for",
            )


def _check_roles(targets: Iterable[Target], roles: dict[str, Role], topology: str) -> None:
    """What an unfinished disk was meant for, and what it carries already, must be what the plan makes of it."""
    for target in targets:
        if not target.verdict.partitions:
            continue
        data, role = target.verdict.data, roles[target.disk.path]
        wanted, fstype = "zoscache" if role is Role.CACHE else "zosdata", SHAPES[topology].fstype
        carried = data.content.type if data.content else fstype
        if (data.name, carried) != (wanted, fstype):
            raise _contradiction(
                f"{target.disk.path} carries a {data.name} partition with {carried}, and the topology {topology} makes "
                f"{wanted} with {fstype} of it",
                "set topology.mode and its cache and backing globs to what the job was started with",
            )
