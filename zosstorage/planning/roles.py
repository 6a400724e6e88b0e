"""Select the topology and the role of each disk. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from zosstorage import topologies
from zosstorage.block.eligibility import matches
from zosstorage.block.layout import CACHE_NAME
from zosstorage.errors import NoDiskError
from zosstorage.model import Disk, PartitionKind, Role, SeenPartition, Verdict
from zosstorage.topologies import TOPOLOGIES, Topology

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.config.schema import Config


@frozen
class Target:
    """A disk that the plan may use, with the verdict on it."""

    disk: Disk
    verdict: Verdict

    def seen(self, kind: PartitionKind) -> SeenPartition | None:
        """The partition of a kind on a disk of ours; None if there is none."""
        return self.verdict.seen(kind)


@frozen
class Member:
    """A target with its role in a topology."""

    target: Target
    role: Role


def assign(targets: Sequence[Target], config: Config) -> tuple[Topology, list[Member]]:
    """Select the topology (`auto`: by number and classes of the disks) and the role of each disk.

    Raises:
        NoDiskError: the topology needs a different number of disks, cache disks or backing disks.
    """
    classes = [_class(target.disk, config) for target in targets]
    mode = config.topology.mode
    topology = topologies.automatic(len(classes), len(set(classes))) if mode == topologies.AUTO else TOPOLOGIES[mode]
    members = [
        Member(target, role if topology.tiered else Role.DATA) for target, role in zip(targets, classes, strict=True)
    ]
    _check_counts(topology, members)
    return topology, members


def members_as_made(topology: Topology, targets: Iterable[Target]) -> list[Member]:
    """The disks of a topology that exists, in the roles that their partition names record."""
    return [Member(target, _recorded_role(topology, target)) for target in targets]


def _recorded_role(topology: Topology, target: Target) -> Role:
    if not topology.tiered:
        return Role.DATA
    return Role.CACHE if target.verdict.data.name == CACHE_NAME else Role.BACKING


def _class(disk: Disk, config: Config) -> Role:
    """Cache or backing: as configured, else cache for an SSD and backing for a rotating disk."""
    if matches(disk, config.topology.cache):
        return Role.CACHE
    if matches(disk, config.topology.backing):
        return Role.BACKING
    return Role.BACKING if disk.rotational else Role.CACHE


def _check_counts(topology: Topology, members: Sequence[Member]) -> None:
    roles = [member.role for member in members]
    least = {Role.DATA: topology.data, Role.CACHE: topology.cache, Role.BACKING: topology.backing}
    enough = all(roles.count(role) >= number for role, number in least.items())
    if enough and (topology.most is None or len(roles) <= topology.most):
        return
    eligible = ", ".join(f"{member.target.disk.path} as {member.role}" for member in members) or "none"
    raise NoDiskError(
        f"the topology {topology.name} needs {_needs(topology, least)}; eligible: {eligible}",
        hint="set another topology.mode, or select disks by devices.include, topology.cache and topology.backing",
    )


def _needs(topology: Topology, least: dict[Role, int]) -> str:
    how = "exactly" if topology.most == topology.least else "at least"
    needs = [f"{how} {number} {role} disk{'s' if number > 1 else ''}" for role, number in least.items() if number]
    needs += [f"at most {topology.most} in total"] if topology.most not in (None, topology.least) else []
    return " and ".join(needs)
