"""A topology is a row of one table: a row that is added is assigned, made, and recognised when it is finished."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve
from machines import HDD, SSD, Changes, disks, raid
from support import blank, config, data_content, decide, discovery, finished, unfinished

from zosstorage.errors import NoDiskError, NotEmptyError
from zosstorage.model import Disk, Role, Verdict
from zosstorage.planned import Action, Plan
from zosstorage.planning.commands import commands
from zosstorage.topologies import TOPOLOGIES, Automatic, Topology

ROWS = {
    "btrfs_raid1c3": Topology("btrfs_raid1c3", "btrfs", "", data=3, most=4, shared=True, profile="raid1c3"),
    "bcachefs_3copy": Topology("bcachefs_3copy", "bcachefs", "", cache=2, backing=2, shared=True, replicas=3),
    "bcachefs_independent": Topology("bcachefs_independent", "bcachefs", "", data=2),
}


@pytest.fixture(autouse=True)
def _new_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, row in ROWS.items():
        monkeypatch.setitem(TOPOLOGIES, name, row)


def decided(found: Sequence[Disk], verdicts: Sequence[Verdict], mode: str = "auto", **sections: Any) -> Plan:
    return decide(discovery(*found), verdicts, config(topology={"mode": mode}, **sections))


def created(mode: str, *kinds: Changes) -> Plan:
    found = disks(*kinds)
    return decided(found, [blank(one) for one in found], mode)


@pytest.mark.parametrize(
    ("mode", "kinds", "roles"),
    [
        ("btrfs_raid1c3", [SSD, HDD, SSD], [Role.DATA] * 3),
        ("bcachefs_3copy", [SSD, HDD, SSD, HDD], [Role.CACHE, Role.BACKING] * 2),
        ("bcachefs_independent", [SSD, SSD, SSD], [Role.DATA] * 3),
    ],
)
def test_a_new_topology_is_assigned(mode: str, kinds: list[Changes], roles: list[Role]) -> None:
    plan = created(mode, *kinds)
    assert (plan.action, plan.topology) == (Action.CREATE, mode)
    assert [one.role for one in plan.disks] == roles


@pytest.mark.parametrize(
    ("mode", "kinds", "needs"),
    [
        ("btrfs_raid1c3", [SSD, SSD], "at least 3 data disks and at most 4 in total"),
        ("btrfs_raid1c3", [SSD] * 5, "at least 3 data disks and at most 4 in total"),
        ("bcachefs_3copy", [SSD, HDD, HDD], "at least 2 cache disks and at least 2 backing disks"),
        ("bcachefs_independent", [SSD], "at least 2 data disks"),
    ],
    ids=str,
)
def test_a_new_topology_with_a_wrong_number_of_disks_is_refused(mode: str, kinds: list[Changes], needs: str) -> None:
    with pytest.raises(NoDiskError, match=needs):
        created(mode, *kinds)


def test_auto_selects_a_new_topology(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TOPOLOGIES, "dual_independent", evolve(TOPOLOGIES["dual_independent"], automatic=None))
    row = ROWS["bcachefs_independent"]
    monkeypatch.setitem(TOPOLOGIES, row.name, evolve(row, automatic=Automatic.ONE_CLASS))
    assert created("auto", SSD, SSD).topology == row.name


def test_a_new_profile_reaches_mkfs_and_the_plan() -> None:
    plan = created("btrfs_raid1c3", SSD, SSD, SSD)
    (data,) = plan.data
    assert (data.options, data.profile) == (("--nodiscard", "-d", "raid1c3", "-m", "raid1c3"), "raid1c3")
    (mkfs,) = [one.argv for one in commands(plan) if one.argv[0] == "mkfs.btrfs"]
    assert mkfs[-8:] == (*data.options, "/dev/sda2", "/dev/sdb2", "/dev/sdc2")


def test_a_new_number_of_copies_reaches_mkfs() -> None:
    plan = created("bcachefs_3copy", SSD, SSD, HDD, HDD)
    assert [one.options for one in plan.data] == [("--replicas=3",)]


def test_a_new_topology_that_is_not_shared_has_a_filesystem_on_each_disk() -> None:
    plan = created("bcachefs_independent", SSD, SSD)
    assert [len(one.members) for one in plan.data] == [1, 1]
    assert plan.primary == plan.data[0].uuid


# Finished systems.


def mirror(found: Sequence[Disk], count: int = 3) -> list[Verdict]:
    return [raid(one, tag, devices=count) for tag, one in enumerate(found, 1)]


def test_a_finished_mirror_is_the_configured_topology() -> None:
    """The superblock does not have the profile: the first row that fits is selected unless another is configured."""
    found = disks(SSD, SSD, SSD)
    plan = decided(found, mirror(found), "btrfs_raid1c3")
    assert (plan.action, plan.topology, plan.data[0].profile) == (Action.ADOPT, "btrfs_raid1c3", "raid1c3")
    assert decided(found, mirror(found)).topology == "btrfs_raid1"


@pytest.mark.parametrize("count", [2, 5])
def test_a_finished_mirror_of_too_few_or_too_many_disks_is_not_the_configured_topology(count: int) -> None:
    found = disks(*[SSD] * count)
    with pytest.raises(NotEmptyError, match="carry the topology btrfs_raid1"):
        decided(found, mirror(found, count), "btrfs_raid1c3")


def tiers(found: Sequence[Disk], replicas: int) -> list[Verdict]:
    roles = (Role.CACHE, Role.CACHE, Role.BACKING, Role.BACKING)
    return [
        raid(one, tag, devices=4, fstype="bcachefs", role=role, replicas=replicas)
        for tag, (one, role) in enumerate(zip(found, roles, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("mode", "replicas", "topology"),
    [
        ("auto", 1, "ssd_hdd_bcachefs"),
        ("auto", 2, "bcachefs_2copy"),
        ("auto", 3, "bcachefs_3copy"),
        ("bcachefs_3copy", 3, "bcachefs_3copy"),
    ],
)
def test_finished_tiers_are_distinguished_by_their_copies(mode: str, replicas: int, topology: str) -> None:
    found = disks(SSD, SSD, HDD, HDD)
    assert decided(found, tiers(found, replicas), mode).topology == topology


def test_finished_tiers_with_a_configured_number_of_copies() -> None:
    found = disks(SSD, SSD, HDD, HDD)
    settings: dict[str, Any] = {"filesystems": {"bcachefs": {"replicas": 3}}}
    assert decided(found, tiers(found, 3), **settings).topology == "ssd_hdd_bcachefs"


def independent(found: Sequence[Disk], make: Callable[..., Verdict] = finished) -> list[Verdict]:
    """The verdicts on disks with one finished bcachefs each; `make` makes the last verdict."""
    makes: list[Callable[..., Verdict]] = [finished] * (len(found) - 1) + [make]
    uuids = [f"{number}9999999-8888-4777-8666-555555555555" for number in range(len(found))]
    return [
        kind(one, tag=tag, data=data_content(uuid, fstype="bcachefs", member=f"m{tag}", replicas=1))
        for tag, (one, kind, uuid) in enumerate(zip(found, makes, uuids, strict=True), 1)
    ]


@pytest.mark.parametrize("count", [2, 3])
def test_finished_independent_filesystems_are_recognised(count: int) -> None:
    found = disks(*[SSD] * count)
    plan = decided(found, independent(found))
    assert (plan.action, plan.topology, plan.primary) == (Action.ADOPT, "bcachefs_independent", None)


def test_one_finished_filesystem_is_the_topology_of_one_disk() -> None:
    found = disks(SSD)
    assert decided(found, independent(found)).topology == "bcachefs_single"


def test_a_partly_finished_job_of_a_new_topology_is_resumed() -> None:
    found = disks(SSD, SSD)
    plan = decided(found, independent(found, unfinished))
    assert (plan.action, plan.topology) == (Action.RESUME, "bcachefs_independent")
    assert plan.primary == plan.data[0].uuid


def test_a_partly_finished_job_of_an_unknown_topology_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(TOPOLOGIES, "bcachefs_independent")
    found = disks(SSD, SSD)
    with pytest.raises(NotEmptyError, match="are not parts of one job"):
        decided(found, independent(found, unfinished))
