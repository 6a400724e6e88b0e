import pytest
from machines import HDD, SSD, disks
from support import blank, config, disk, finished, target

from zosstorage.errors import ExitCode, NoDiskError
from zosstorage.model import Role
from zosstorage.planning.roles import assign, members_as_made
from zosstorage.topologies import TOPOLOGIES


def assigned(mode, found, **topology):
    """The topology's name, and the role of each disk by its path."""
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
def test_auto_chooses_the_topology_by_the_classes_of_the_disks(kinds, topology):
    assert assigned("auto", disks(*kinds))[0] == topology


def test_rotating_disks_are_backing_and_others_cache():
    topology, roles = assigned("auto", disks(HDD, SSD, HDD))
    assert topology == "ssd_hdd_bcachefs"
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE, "/dev/sdc": Role.BACKING}


def test_globs_outrank_the_rotational_flag():
    """Virtio says of every disk that it rotates."""
    _, roles = assigned("ssd_hdd_bcachefs", disks(HDD, HDD), cache=["/dev/sdb"])
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE}
    _, roles = assigned("ssd_hdd_bcachefs", disks(SSD, SSD), backing=["/dev/sda"])
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE}


def test_globs_choose_the_topology_too():
    assert assigned("auto", disks(HDD, HDD), cache=["/dev/sdb"])[0] == "ssd_hdd_bcachefs"
    assert assigned("auto", disks(HDD, SSD), cache=["/dev/sd*"])[0] == "dual_independent"


def test_a_link_gives_a_role():
    found = [disk("sda", links=("/dev/disk/by-id/nvme-cache",)), disk("sdb", rotational=True)]
    _, roles = assigned("auto", found, cache=["/dev/disk/by-id/nvme-*"])
    assert roles == {"/dev/sda": Role.CACHE, "/dev/sdb": Role.BACKING}


@pytest.mark.parametrize("mode", ["single", "dual_independent", "btrfs_raid1", "bcachefs_single"])
def test_without_tiers_every_disk_is_data(mode):
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
def test_too_few_or_too_many_disks_for_a_topology_are_refused(mode, kinds, needs):
    with pytest.raises(NoDiskError) as caught:
        assigned(mode, disks(*kinds))
    assert caught.value.exit_code is ExitCode.NO_DISK
    assert needs in caught.value.message
    assert caught.value.hint
    assert all(one.path in caught.value.message for one in disks(*kinds))


def test_finished_disks_have_the_roles_that_their_partitions_are_named_for():
    one, other = disks(HDD, SSD)
    pair = [target(one, finished(one, role=Role.CACHE)), target(other, finished(other, tag=2))]
    assert [member.role for member in members_as_made(TOPOLOGIES["ssd_hdd_bcachefs"], pair)] == [
        Role.CACHE,
        Role.BACKING,
    ]
    assert [member.role for member in members_as_made(TOPOLOGIES["btrfs_raid1"], pair[1:])] == [Role.DATA]


def test_a_target_of_a_blank_disk_has_seen_no_partition():
    one = disk()
    assert target(one).verdict == blank(one)
    assert target(one).seen("data") is None
