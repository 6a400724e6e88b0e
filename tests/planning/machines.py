"""Disks, and what they carry, that tests of the decision are about."""

import pytest
from attrs import evolve
from support import GIB, blank, config, data_content, decide, discovery, disk, finished, unfinished

from zosstorage.errors import ExitCode, NotEmptyError
from zosstorage.model import Firmware, Role

A, B, C = disk("sda"), disk("sdb"), disk("sdc")
HDD_A, HDD_B, HDD_C = (evolve(one, rotational=True) for one in (A, B, C))
U1, U2, U3 = (f"{number}{number * 7:07d}-0000-4000-8000-000000000000" for number in (1, 2, 3))

SSD, HDD = {"rotational": False}, {"rotational": True}
# Disks that each topology can be made of.
TYPICAL = {
    "single": [SSD],
    "dual_independent": [SSD, SSD, SSD],
    "btrfs_raid1": [HDD, HDD],
    "bcachefs_single": [SSD],
    "ssd_hdd_bcachefs": [HDD, SSD],
    "bcachefs_2copy": [SSD, HDD, HDD],
}


def disks(*kinds):
    """sda, sdb, … of the given kinds; sizes differ so that golden plans show which is which."""
    return [disk(f"sd{chr(97 + number)}", size_bytes=(10 + number) * GIB, **kind) for number, kind in enumerate(kinds)]


def decided(found, verdicts, *, firmware=Firmware.UEFI, **sections):
    return decide(discovery(*found, firmware=firmware), verdicts, config(**sections))


def created(mode, *, firmware=Firmware.UEFI, **sections):
    """The plan for blank disks that a topology is made of."""
    found = disks(*TYPICAL[mode])
    return decided(found, [blank(one) for one in found], firmware=firmware, topology={"mode": mode}, **sections)


def refused(found, verdicts, **rest):
    """The message of the refusal."""
    with pytest.raises(NotEmptyError) as caught:
        decided(found, verdicts, **rest)
    error = caught.value
    assert error.exit_code is ExitCode.NOT_EMPTY
    assert "nothing was written" in error.message
    assert error.hint
    return error.message


def summary(plan):
    return (plan.action, plan.topology, [one.disk.name for one in plan.disks], [one.name for one in plan.unused])


def raid(of, tag, *, devices=2, uuid=U1, fstype="btrfs", marked=False, **rest):
    """A member of a filesystem of several devices; a marked one is made but its mark not cleared."""
    data = data_content(uuid, member=f"m{tag}", devices=devices, fstype=fstype, replicas=rest.pop("replicas", 0))
    make = unfinished if marked else finished
    return make(of, tag=tag, data=data, **rest)


def tiers(*, devices=2, replicas=0, second=Role.BACKING):
    """The members of a finished bcachefs on A and B, with A as its cache."""
    return [
        raid(A, 1, devices=devices, fstype="bcachefs", role=Role.CACHE, replicas=replicas),
        raid(B, 2, devices=devices, fstype="bcachefs", role=second, replicas=replicas),
    ]
