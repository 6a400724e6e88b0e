"""Disks, verdicts and plans for the tests of planning."""

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve
from support import GIB, blank, config, data_content, decide, discovery, disk, finished, unfinished

from zosstorage.errors import ExitCode, NotEmptyError
from zosstorage.model import Disk, Firmware, Role, Verdict
from zosstorage.planned import Action, Plan

A, B, C = disk("sda"), disk("sdb"), disk("sdc")
HDD_A, HDD_B, HDD_C = (evolve(one, rotational=True) for one in (A, B, C))
U1, U2, U3 = (f"{number}{number * 7:07d}-0000-4000-8000-000000000000" for number in (1, 2, 3))

# The changes that make a disk an SSD or an HDD.
Changes = dict[str, Any]
SSD: Changes = {"rotational": False}
HDD: Changes = {"rotational": True}
# Disks that each topology can be made of.
TYPICAL: dict[str, list[Changes]] = {
    "single": [SSD],
    "dual_independent": [SSD, SSD, SSD],
    "btrfs_raid1": [HDD, HDD],
    "bcachefs_single": [SSD],
    "ssd_hdd_bcachefs": [HDD, SSD],
    "bcachefs_2copy": [SSD, HDD, HDD],
}


def disks(*kinds: Changes) -> list[Disk]:
    """sda, sdb, … of these kinds, each of another size, so that golden plans show which disk is which."""
    return [disk(f"sd{chr(97 + number)}", size_bytes=(10 + number) * GIB, **kind) for number, kind in enumerate(kinds)]


def decided(
    found: Sequence[Disk], verdicts: Sequence[Verdict], *, firmware: Firmware = Firmware.UEFI, **sections: Any
) -> Plan:
    """The plan for disks with these verdicts."""
    return decide(discovery(*found, firmware=firmware), verdicts, config(**sections))


def created(mode: str, *, firmware: Firmware = Firmware.UEFI, **sections: Any) -> Plan:
    """The plan for blank disks that a topology can be made of."""
    found = disks(*TYPICAL[mode])
    return decided(found, [blank(one) for one in found], firmware=firmware, topology={"mode": mode}, **sections)


def refused(found: Sequence[Disk], verdicts: Sequence[Verdict], **rest: Any) -> str:
    """The message of the refusal of disks with these verdicts."""
    with pytest.raises(NotEmptyError) as caught:
        decided(found, verdicts, **rest)
    error = caught.value
    assert error.exit_code is ExitCode.NOT_EMPTY
    assert "nothing was written" in error.message
    assert error.hint
    return error.message


def summary(plan: Plan) -> tuple[Action, str, list[str], list[str]]:
    """Action, topology, used disks and unused disks."""
    return (plan.action, plan.topology, [one.disk.name for one in plan.disks], [one.name for one in plan.unused])


def raid(
    of: Disk,
    tag: int,
    *,
    devices: int = 2,
    uuid: str = U1,
    fstype: str = "btrfs",
    marked: bool = False,
    replicas: int = 0,
    **rest: Any,
) -> Verdict:
    """The verdict on a member of a filesystem of several devices; with `marked`, the in-progress flags are set."""
    data = data_content(uuid, member=f"m{tag}", devices=devices, fstype=fstype, replicas=replicas)
    make = unfinished if marked else finished
    return make(of, tag=tag, data=data, **rest)


def tiers(*, devices: int = 2, replicas: int = 0, second: Role = Role.BACKING) -> list[Verdict]:
    """The verdicts on the members of a finished bcachefs on A and B, with A as its cache."""
    return [
        raid(A, 1, devices=devices, fstype="bcachefs", role=Role.CACHE, replicas=replicas),
        raid(B, 2, devices=devices, fstype="bcachefs", role=second, replicas=replicas),
    ]
