"""Plan a topology on made-up blank disks, to show what it looks like. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from uuid import UUID

from zosstorage.config.schema import Config
from zosstorage.model import Disk, Firmware, Kind, Role, Verdict
from zosstorage.planning.build import build
from zosstorage.planning.roles import Member, Target

if TYPE_CHECKING:
    from zosstorage.planned import Plan
    from zosstorage.topologies import Topology

_SIZE = 100 << 30


def example(topology: Topology) -> Plan:
    """The plan of a BIOS machine with as few disks as the topology needs, by the default configuration."""
    counts = ((Role.CACHE, topology.cache), (Role.BACKING, topology.backing), (Role.DATA, topology.data))
    roles = [role for role, count in counts for _ in range(count)]
    numbers = itertools.count(1)
    members = [_member(number, role) for number, role in enumerate(roles)]
    return build(topology, members, Firmware.BIOS, Config(), lambda: UUID(int=next(numbers)))


def _member(number: int, role: Role) -> Member:
    name = f"sd{chr(ord('a') + number)}"
    rotational = role is Role.BACKING
    disk = Disk(f"/dev/{name}", name, f"8:{16 * number}", _SIZE, 512, rotational, False, False, "", "", "", None)
    return Member(Target(disk, Verdict(disk.path, Kind.BLANK)), role)
