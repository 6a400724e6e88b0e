"""Topology and roles of disks."""

from collections.abc import Sequence
from typing import Any

import pytest
from machines import HDD, SSD, Changes, disks
from support import blank, config, disk, finished, target

from zosstorage.errors import ExitCode, NoDiskError
from zosstorage.model import Disk, PartitionKind, Role
from zosstorage.planning.roles import assign, members_as_made
from zosstorage.topologies import TOPOLOGIES


def assigned(mode: str, found: Sequence[Disk], **topology: Any) -> tuple[str, dict[str, Role]]:
    """The name of the topology, and the role of each disk by its path."""
    row, members = assign([target(one) for one in found], config(topology={"mode": mode} | topology))
    assert [member.target.disk for member in members] == list(found)
    return row.name, {member.target.disk.path: member.role for member in members}


@pytest.mark.parametrize(
    ("kinds", "topology"),
    [
        ([SSD], "single"),
        ([HDD], "single"),
        ([SSD, SSD], "dual_independent"),
        ([HDD, HDD, HDD], "dual_independent"),
        ([SSD, HDD], "ssd_hdd_bcachefs"),
        ([HDD, HDD, SSD], "ssd_hdd_bcachefs"),
    ],
    ids=str,
)
def test_auto_selects_the_topology_by_the_classes_of_the_disks(kinds: list[Changes], topology: str) -> None:
    assert assigned("auto", disks(*kinds))[0] == topology


def test_rotating_disks_are_backing_and_others_cache() -> None:
    topology, roles = assigned("auto", disks(HDD, SSD, HDD))
    assert topology == "ssd_hdd_bcachefs"
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE, "/dev/sdc": Role.BACKING}


def test_globs_outrank_the_rotational_flag() -> None:
    """The kernel reports every virtio disk as rotating."""
    _, roles = assigned("ssd_hdd_bcachefs", disks(HDD, HDD), cache=["/dev/sdb"])
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE}
    _, roles = assigned("ssd_hdd_bcachefs", disks(SSD, SSD), backing=["/dev/sda"])
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE}


def test_auto_respects_configured_globs() -> None:
    assert assigned("auto", disks(HDD, HDD), cache=["/dev/sdb"])[0] == "ssd_hdd_bcachefs"
    assert assigned("auto", disks(HDD, SSD), cache=["/dev/sd*"])[0] == "dual_independent"


def test_a_glob_matches_a_link() -> None:
    found = [disk("sda", links=("/dev/disk/by-id/nvme-cache",)), disk("sdb", rotational=True)]
    _, roles = assigned("auto", found, cache=["/dev/disk/by-id/nvme-*"])
    assert roles == {"/dev/sda": Role.CACHE, "/dev/sdb": Role.BACKING}


@pytest.mark.parametrize("mode", ["single", "dual_independent", "btrfs_raid1", "bcachefs_single"])
def test_every_disk_is_data_without_tiers(mode: str) -> None:
    kinds = [SSD] if "single" in mode else [SSD, HDD]
    assert set(assigned(mode, disks(*kinds))[1].values()) == {Role.DATA}


@pytest.mark.parametrize(
    ("mode", "kinds", "needs"),
    [
        ("auto", [], "exactly 1 data disk"),
        ("single", [], "exactly 1 data disk"),
        ("ssd_hdd_bcachefs", [], "at least 1 cache disk and at least 1 backing disk"),
        ("single", [SSD, SSD], "exactly 1 data disk"),
        ("bcachefs_single", [SSD, HDD], "exactly 1 data disk"),
        ("dual_independent", [SSD], "at least 2 data disks"),
        ("btrfs_raid1", [HDD], "at least 2 data disks"),
        ("ssd_hdd_bcachefs", [SSD, SSD], "at least 1 cache disk and at least 1 backing disk"),
        ("ssd_hdd_bcachefs", [HDD], "at least 1 cache disk and at least 1 backing disk"),
        ("bcachefs_2copy", [SSD, HDD], "at least 1 cache disk and at least 2 backing disks"),
        ("bcachefs_2copy", [HDD, HDD, HDD], "at least 1 cache disk"),
    ],
    ids=str,
)
def test_too_few_or_too_many_disks_for_a_topology_are_refused(mode: str, kinds: list[Changes], needs: str) -> None:
    with pytest.raises(NoDiskError) as caught:
        assigned(mode, disks(*kinds))
    assert caught.value.exit_code is ExitCode.NO_DISK
    assert needs in caught.value.message
    assert caught.value.hint
    assert all(one.path in caught.value.message for one in disks(*kinds))


def test_the_roles_of_finished_disks_follow_from_their_partition_names() -> None:
    one, other = disks(HDD, SSD)
    pair = [target(one, finished(one, role=Role.CACHE)), target(other, finished(other, tag=2))]
    assert [member.role for member in members_as_made(TOPOLOGIES["ssd_hdd_bcachefs"], pair)] == [
        Role.CACHE,
        Role.BACKING,
    ]
    assert [member.role for member in members_as_made(TOPOLOGIES["btrfs_raid1"], pair[1:])] == [Role.DATA]


def test_a_blank_target_has_no_partition() -> None:
    one = disk()
    assert target(one).verdict == blank(one)
    assert target(one).seen(PartitionKind.DATA) is None
