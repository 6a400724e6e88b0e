"""Finished disks: what is adopted, and which combinations are refused."""

from typing import Any

import pytest
from attrs import evolve
from machines import HDD_A, HDD_B, U1, U2, A, B, C, decided, raid, refused, summary, tiers
from support import GIB, blank, data_content, finished, foreign, unfinished

from zosstorage.errors import NotEmptyError
from zosstorage.model import Role, Verdict
from zosstorage.planned import Action


def test_a_finished_disk_is_adopted() -> None:
    plan = decided([A], [finished(A)])
    assert summary(plan) == (Action.ADOPT, "single", ["sda"], [])
    assert not any(filesystem.make for filesystem in plan.filesystems)


def test_finished_disks_with_a_filesystem_each_are_adopted() -> None:
    verdicts = [finished(A, data=data_content(U1)), finished(B, tag=2, data=data_content(U2))]
    assert summary(decided([A, B], verdicts))[:2] == (Action.ADOPT, "dual_independent")


def test_a_finished_mirror_is_adopted() -> None:
    plan = decided([A, B], [raid(A, 1), raid(B, 2)])
    assert summary(plan)[:2] == (Action.ADOPT, "btrfs_raid1")
    assert [one.uuid for one in plan.data] == [U1]


def test_a_finished_bcachefs_on_one_disk_is_adopted() -> None:
    assert decided([A], [raid(A, 1, devices=1, fstype="bcachefs")]).topology == "bcachefs_single"


def test_finished_tiers_are_adopted() -> None:
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
def test_the_topology_of_finished_tiers_follows_from_their_copies_and_the_configuration(
    mode: str, replicas: int | None, carried: int, topology: str
) -> None:
    sections: dict[str, Any] = {"topology": {"mode": mode}, "filesystems": {"bcachefs": {"replicas": replicas}}}
    assert decided([A, B], tiers(replicas=carried), **sections).topology == topology


def test_the_roles_of_finished_disks_follow_from_their_partition_names() -> None:
    """Rotational flags and configured globs are ignored."""
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
def test_a_configured_topology_other_than_that_of_the_disks_is_refused(mode: str, verdicts: list[Verdict]) -> None:
    message = refused([A], verdicts, topology={"mode": mode})
    assert f"topology.mode is {mode}" in message


def test_a_finished_mirror_is_refused_as_independent_disks() -> None:
    assert "carry the topology btrfs_raid1" in refused(
        [A, B], [raid(A, 1), raid(B, 2)], topology={"mode": "dual_independent"}
    )


def test_finished_disks_outrank_auto() -> None:
    """For an SSD and an HDD that are blank, `auto` selects tiers."""
    verdicts = [finished(A, data=data_content(U1)), finished(HDD_B, tag=2, data=data_content(U2))]
    assert decided([A, HDD_B], verdicts).topology == "dual_independent"


# Members.


@pytest.mark.parametrize("others", [[], [blank(B)], [foreign(B)]], ids=["alone", "blank", "foreign"])
def test_a_filesystem_with_a_missing_member_is_refused(others: list[Verdict]) -> None:
    message = refused([A, B][: 1 + len(others)], [raid(A, 1), *others])
    assert f"{U1} has 2 devices according to its superblock; found: 1, of which distinct: 1" in message


def test_a_filesystem_with_an_additional_member_is_refused() -> None:
    assert "found: 3, of which distinct: 3" in refused([A, B, C], [raid(A, 1), raid(B, 2), raid(C, 3)])


def test_a_filesystem_with_a_copied_member_is_refused() -> None:
    """The content of one partition was copied to another disk of ours."""
    copy = evolve(
        raid(B, 2),
        partitions=(raid(B, 2).partitions[0], evolve(raid(B, 2).partitions[1], content=raid(A, 1).data.content)),
    )
    assert "found: 2, of which distinct: 1" in refused([A, B], [raid(A, 1), copy])


def test_members_that_disagree_on_their_number_are_refused() -> None:
    with pytest.raises(NotEmptyError, match="devices according to its superblock"):
        decided([A, B], [raid(A, 1, devices=2), raid(B, 2, devices=3)])


def test_members_of_different_filesystem_types_are_refused() -> None:
    with pytest.raises(NotEmptyError, match="devices according to its superblock"):
        decided([A, B], [raid(A, 1), raid(B, 2, fstype="bcachefs")])


def test_a_clone_of_a_whole_disk_is_refused() -> None:
    message = refused([A, B], [finished(A), finished(B)])
    assert "the disk GUID" in message
    assert "/dev/sda, /dev/sdb" in message


def test_a_clone_with_a_guid_of_its_own_is_refused() -> None:
    message = refused([A, B], [finished(A), finished(B, guid="another")])
    assert "the partition UUID" in message


def test_a_clone_of_an_unfinished_disk_is_refused() -> None:
    assert "the disk GUID" in refused([A, B], [unfinished(A), unfinished(B)])


def test_torn_disks_without_a_guid_are_not_taken_for_copies() -> None:
    verdicts = [unfinished(A, tag=1, guid="", torn=True), unfinished(B, tag=2, guid="", torn=True)]
    plan = decided([A, B], verdicts)
    assert plan.action is Action.RESUME
    assert len({one.guid for one in plan.disks}) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wwn": A.wwn}, "the same WWN"),
        ({"serial": A.serial}, "the same serial"),
    ],
    ids=str,
)
def test_two_paths_to_one_disk_are_refused(changes: dict[str, Any], message: str) -> None:
    other = evolve(B, **changes)
    assert message in refused([A, other], [blank(A), blank(other)])


@pytest.mark.parametrize(
    "changes",
    [{"wwn": "", "serial": ""}, {"serial": A.serial, "model": "Other"}, {"serial": A.serial, "size_bytes": 11 * GIB}],
    ids=str,
)
def test_disks_that_are_similar_but_not_identical_are_used(changes: dict[str, Any]) -> None:
    """Cheap disks have no serial number, or one for each model."""
    one, other = evolve(A, wwn=""), evolve(B, **{"wwn": ""} | changes)
    assert decided([one, other], [blank(one), blank(other)]).action is Action.CREATE


# Filesystems that do not form a topology.


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
def test_filesystems_that_do_not_form_a_topology_are_refused(verdicts: list[Verdict]) -> None:
    assert "do not form a topology" in refused([A, B, C], verdicts)
