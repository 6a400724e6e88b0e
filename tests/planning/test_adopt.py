import pytest
from attrs import evolve
from machines import HDD_A, HDD_B, U1, U2, A, B, C, decided, raid, refused, summary, tiers
from support import GIB, blank, data_content, finished, foreign, unfinished

from zosstorage.errors import NotEmptyError
from zosstorage.model import Role
from zosstorage.planned import Action


def test_a_finished_disk_is_adopted():
    plan = decided([A], [finished(A)])
    assert summary(plan) == (Action.ADOPT, "single", ["sda"], [])
    assert not any(filesystem.make for filesystem in plan.filesystems)


def test_finished_disks_with_a_filesystem_each_are_adopted():
    verdicts = [finished(A, data=data_content(U1)), finished(B, tag=2, data=data_content(U2))]
    assert summary(decided([A, B], verdicts))[:2] == (Action.ADOPT, "dual_independent")


def test_a_finished_mirror_is_adopted():
    plan = decided([A, B], [raid(A, 1), raid(B, 2)])
    assert summary(plan)[:2] == (Action.ADOPT, "btrfs_raid1")
    assert [one.uuid for one in plan.data] == [U1]


def test_a_finished_bcachefs_on_one_disk_is_adopted():
    assert decided([A], [raid(A, 1, devices=1, fstype="bcachefs")]).topology == "bcachefs_single"


def test_finished_tiers_are_adopted():
    plan = decided([A, B], tiers(replicas=1))
    assert plan.topology == "ssd_hdd_bcachefs"
    assert [one.role for one in plan.disks] == [Role.CACHE, Role.BACKING]


@pytest.mark.parametrize(
    ("mode", "replicas", "carried", "topology"),
    [
        ("auto", None, 2, "bcachefs_2copy"),
        ("bcachefs_2copy", None, 2, "bcachefs_2copy"),
        ("auto", 2, 2, "ssd_hdd_bcachefs"),
        ("ssd_hdd_bcachefs", 2, 2, "ssd_hdd_bcachefs"),
        ("ssd_hdd_bcachefs", 3, 3, "ssd_hdd_bcachefs"),
        ("bcachefs_2copy", 2, 2, "bcachefs_2copy"),
    ],
)
def test_two_copies_by_themselves_or_because_they_were_asked_for(mode, replicas, carried, topology):
    sections = {"topology": {"mode": mode}, "filesystems": {"bcachefs": {"replicas": replicas}}}
    assert decided([A, B], tiers(replicas=carried), **sections).topology == topology


def test_the_roles_of_finished_disks_are_those_they_carry():
    """Whatever their rotational flags or globs say now."""
    plan = decided([HDD_A, HDD_B], tiers(), topology={"cache": ["/dev/sdb"]})
    assert [one.role for one in plan.disks] == [Role.CACHE, Role.BACKING]


@pytest.mark.parametrize(
    ("mode", "verdicts"),
    [
        ("bcachefs_single", [finished(A)]),
        ("dual_independent", [finished(A)]),
        ("btrfs_raid1", [finished(A)]),
        ("single", [raid(A, 1, devices=1, fstype="bcachefs")]),
    ],
    ids=str,
)
def test_another_mode_than_the_disks_carry_is_refused(mode, verdicts):
    message = refused([A], verdicts, topology={"mode": mode})
    assert f"topology.mode is {mode}" in message


def test_a_mirror_is_not_two_copies_of_bcachefs():
    assert "carry the topology btrfs_raid1" in refused(
        [A, B], [raid(A, 1), raid(B, 2)], topology={"mode": "dual_independent"}
    )


def test_finished_disks_win_over_auto():
    """`auto` would make tiers of these two classes; what is there counts."""
    verdicts = [finished(A, data=data_content(U1)), finished(HDD_B, tag=2, data=data_content(U2))]
    assert decided([A, HDD_B], verdicts).topology == "dual_independent"


# Members.


@pytest.mark.parametrize("others", [[], [blank(B)], [foreign(B)]], ids=["alone", "blank", "foreign"])
def test_a_filesystem_with_a_missing_member_is_refused(others):
    message = refused([A, B][: 1 + len(others)], [raid(A, 1), *others])
    assert f"{U1} has 2 devices according to its superblock; found: 1, of which distinct: 1" in message


def test_a_filesystem_with_a_member_too_many_is_refused():
    assert "found: 3, of which distinct: 3" in refused([A, B, C], [raid(A, 1), raid(B, 2), raid(C, 3)])


def test_a_filesystem_with_one_member_twice_is_refused():
    """The data of one partition was copied onto another disk of ours."""
    twin = evolve(
        raid(B, 2),
        partitions=(raid(B, 2).partitions[0], evolve(raid(B, 2).partitions[1], content=raid(A, 1).data.content)),
    )
    assert "found: 2, of which distinct: 1" in refused([A, B], [raid(A, 1), twin])


def test_members_that_disagree_on_their_number_are_refused():
    with pytest.raises(NotEmptyError, match="devices according to its superblock"):
        decided([A, B], [raid(A, 1, devices=2), raid(B, 2, devices=3)])


def test_members_of_different_filesystem_types_are_refused():
    with pytest.raises(NotEmptyError, match="devices according to its superblock"):
        decided([A, B], [raid(A, 1), raid(B, 2, fstype="bcachefs")])


def test_a_clone_of_a_whole_disk_is_refused():
    message = refused([A, B], [finished(A), finished(B)])
    assert "the disk GUID" in message
    assert "/dev/sda, /dev/sdb" in message


def test_a_clone_with_a_guid_of_its_own_is_refused():
    message = refused([A, B], [finished(A), finished(B, guid="another")])
    assert "the partition UUID" in message


def test_a_clone_of_an_unfinished_disk_is_refused():
    assert "the disk GUID" in refused([A, B], [unfinished(A), unfinished(B)])


def test_two_disks_cut_before_their_first_header_have_no_guid_to_compare():
    verdicts = [unfinished(A, tag=1, guid="", torn=True), unfinished(B, tag=2, guid="", torn=True)]
    plan = decided([A, B], verdicts)
    assert plan.action is Action.RESUME
    assert len({one.guid for one in plan.disks}) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"wwn": A.wwn}, "the same WWN"),
        ({"serial": A.serial}, "the same serial"),
    ],
    ids=str,
)
def test_one_disk_by_two_paths_is_refused(changes, told):
    other = evolve(B, **changes)
    assert told in refused([A, other], [blank(A), blank(other)])


@pytest.mark.parametrize(
    "changes",
    [{"wwn": "", "serial": ""}, {"serial": A.serial, "model": "Other"}, {"serial": A.serial, "size_bytes": 11 * GIB}],
    ids=str,
)
def test_disks_that_only_look_alike_are_taken(changes):
    """Cheap disks have no serial, or the same one for each model."""
    one, other = evolve(A, wwn=""), evolve(B, **{"wwn": ""} | changes)
    assert decided([one, other], [blank(one), blank(other)]).action is Action.CREATE


# What makes up no topology.


@pytest.mark.parametrize(
    "verdicts",
    [
        [raid(A, 1), raid(B, 2), finished(C, tag=3, data=data_content(U2))],
        [raid(A, 1, fstype="bcachefs"), raid(B, 2, fstype="bcachefs"), finished(C, tag=3, data=data_content(U2))],
        [raid(A, 1, devices=1, fstype="bcachefs"), raid(B, 2, devices=1, fstype="bcachefs", uuid=U2), blank(C)],
        [raid(A, 1, fstype="bcachefs"), raid(B, 2, fstype="bcachefs"), blank(C)],
        [raid(A, 1, role=Role.CACHE), raid(B, 2), blank(C)],
        [finished(A, role=Role.CACHE), blank(B), blank(C)],
        [*tiers(second=Role.CACHE), blank(C)],
    ],
    ids=[
        "mirror and single",
        "bcachefs and btrfs",
        "two bcachefs",
        "bcachefs without a cache",
        "btrfs on a cache",
        "a cache alone",
        "bcachefs of caches only",
    ],
)
def test_filesystems_that_make_up_no_topology_are_refused(verdicts):
    assert "do not form a topology" in refused([A, B, C], verdicts)
