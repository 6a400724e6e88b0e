import json

import pytest
from support import ESP_SIZE, GIB, MIB, blank, config, data_content, disk, finished, ours, unfinished, uuids

from zosstorage.checkpoint import plain
from zosstorage.errors import ExitCode, NoDiskError
from zosstorage.model import Action, Firmware, PartitionKind, Role
from zosstorage.planning.build import Target, assign, build

SSD, HDD = {"rotational": False}, {"rotational": True}


def disks(*kinds):
    """sda, sdb, … of the given kinds; sizes differ so that golden plans show which is which."""
    return [disk(f"sd{chr(97 + number)}", size_bytes=(10 + number) * GIB, **kind) for number, kind in enumerate(kinds)]


def assigned(mode, found, **topology):
    return assign(found, config(topology={"mode": mode} | topology))


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
def test_auto(kinds, topology):
    assert assigned("auto", disks(*kinds))[0] == topology


def test_roles_by_class():
    topology, roles = assigned("auto", disks(HDD, SSD, HDD))
    assert topology == "ssd_hdd_bcachefs"
    assert roles == {"/dev/sda": Role.BACKING, "/dev/sdb": Role.CACHE, "/dev/sdc": Role.BACKING}


def test_roles_by_globs():
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
        ("auto", [], "at least 1 cache disk and at least 1 backing disk"),
        ("single", [], "exactly 1 data disk"),
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
def test_too_few_or_too_many(mode, kinds, needs):
    with pytest.raises(NoDiskError) as caught:
        assigned(mode, disks(*kinds))
    assert caught.value.exit_code is ExitCode.NO_DISK
    assert needs in caught.value.message
    assert caught.value.hint
    assert all(one.path in caught.value.message for one in disks(*kinds))


# Plans.

GOLDEN = {
    "single": [SSD],
    "dual_independent": [SSD, SSD, SSD],
    "btrfs_raid1": [HDD, HDD],
    "bcachefs_single": [SSD],
    "ssd_hdd_bcachefs": [HDD, SSD],
    "bcachefs_2copy": [SSD, HDD, HDD],
}


def planned(mode, verdicts, *, firmware=Firmware.UEFI, found=None, **sections):
    settings = config(topology={"mode": mode}, **sections)
    found = found or disks(*GOLDEN[mode])
    topology, roles = assign(found, settings)
    targets = [Target(one, verdict) for one, verdict in zip(found, verdicts(found), strict=True)]
    return build(topology, roles, targets, firmware, settings, new_uuid=uuids())


def all_blank(found):
    return [blank(one) for one in found]


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("mode", list(GOLDEN))
def test_plan_of_blank_disks(golden, mode, firmware):
    plan = planned(mode, all_blank, firmware=firmware)
    golden(f"plan-{mode}-{firmware}.json", json.dumps(plain(plan), indent=1) + "\n")


@pytest.mark.parametrize("mode", list(GOLDEN))
def test_blank_disks_get_everything_new(mode):
    plan = planned(mode, all_blank)
    assert plan.action is Action.CREATE
    assert all(one.write_table and one.clear_marks for one in plan.disks)
    assert all(part.make for one in plan.disks for part in one.partitions)
    assert all(filesystem.make for filesystem in plan.filesystems)
    data = [filesystem for filesystem in plan.filesystems if filesystem.is_data]
    assert [filesystem.primary for filesystem in data] == [True] + [False] * (len(data) - 1)
    assert {filesystem.label for filesystem in data} == {"ZOSDATA"}


@pytest.mark.parametrize("sector", [512, 4096])
def test_large_sectors_and_another_esp_size(sector):
    found = [disk(sector_size=sector)]
    plan = planned("single", all_blank, found=found, firmware=Firmware.BIOS, partitions={"esp_size": "300MiB"})
    parts = plan.disks[0].partitions
    assert [part.kind for part in parts] == [PartitionKind.BIOS_BOOT, PartitionKind.ESP, PartitionKind.DATA]
    assert [part.number for part in parts] == [1, 2, 3]
    assert [(part.start_bytes, part.size_bytes) for part in parts[:2]] == [(MIB, MIB), (2 * MIB, 300 * MIB)]
    assert all(part.start_bytes % MIB == part.size_bytes % MIB == 0 for part in parts)


def test_a_volume_id_is_eight_hex_digits_in_two_groups():
    plan = planned("single", all_blank)
    assert [filesystem.uuid for filesystem in plan.filesystems if not filesystem.is_data] == ["0000-0004"]


def test_caches_are_named_so():
    plan = planned("bcachefs_2copy", all_blank)
    assert [one.partitions[-1].name for one in plan.disks] == ["zoscache", "zosdata", "zosdata"]
    assert {part.name for one in plan.disks for part in one.partitions[:-1]} == {"zosboot"}


def test_finished_disks_are_kept_as_they_are():
    found = disks(SSD)
    plan = planned("single", lambda found: [finished(found[0])])
    verdict = finished(found[0])
    assert plan.action is Action.ADOPT
    assert not any(filesystem.make for filesystem in plan.filesystems)
    assert [part.uuid for part in plan.disks[0].partitions] == [part.uuid for part in verdict.partitions]
    assert plan.disks[0].guid == verdict.guid
    assert (plan.disks[0].write_table, plan.disks[0].clear_marks) == (False, False)
    assert [filesystem.uuid for filesystem in plan.filesystems] == ["0000-0001", verdict.data.content.uuid]


def test_unfinished_disks_keep_their_table_and_its_uuids():
    found = disks(SSD)
    plan = planned("single", lambda found: [unfinished(found[0], data=data_content())])
    verdict = unfinished(found[0])
    assert plan.action is Action.RESUME
    assert (plan.disks[0].write_table, plan.disks[0].clear_marks) == (False, True)
    assert [part.uuid for part in plan.disks[0].partitions] == [part.uuid for part in verdict.partitions]
    assert all(filesystem.make for filesystem in plan.filesystems)
    assert plan.filesystems[-1].uuid != data_content().uuid


def test_a_torn_table_is_written_again_with_its_guid_if_it_has_one():
    for guid in (None, ""):
        plan = planned("single", lambda found, guid=guid: [unfinished(found[0], torn=True, guid=guid)])
        assert plan.disks[0].write_table
        assert plan.disks[0].guid
        assert (plan.disks[0].guid == unfinished(disks(SSD)[0]).guid) is (guid is None)


def test_a_torn_table_without_marks_is_written_without_marks():
    plan = planned("single", lambda found: [finished(found[0], torn=True)])
    assert plan.action is Action.RESUME
    assert (plan.disks[0].write_table, plan.disks[0].clear_marks) == (True, False)
    assert not any(part.make for part in plan.disks[0].partitions)


def test_a_member_whose_marks_are_still_there_is_kept():
    """Marks are cleared disk by disk, after all of the filesystem was read back."""
    one, other = data_content(member="a", devices=2), data_content(member="b", devices=2)
    plan = planned("btrfs_raid1", lambda found: [finished(found[0], data=one), unfinished(found[1], tag=2, data=other)])
    data = plan.filesystems[-1]
    assert (data.uuid, data.make, len(data.members)) == (one.uuid, False, 2)
    assert [disk.partitions[-1].make for disk in plan.disks] == [False, False]
    assert [disk.clear_marks for disk in plan.disks] == [False, True]
    assert [filesystem.make for filesystem in plan.filesystems] == [False, True, False]  # the second ESP is made anew


def test_the_finished_one_of_several_is_the_primary():
    plan = planned(
        "dual_independent", lambda found: [unfinished(found[0]), finished(found[1], tag=2), unfinished(found[2], tag=3)]
    )
    data = [filesystem for filesystem in plan.filesystems if filesystem.is_data]
    assert [filesystem.primary for filesystem in data] == [False, True, False]
    assert [filesystem.make for filesystem in data] == [True, False, True]


def test_partitions_by_uuid():
    plan = planned("dual_independent", all_blank)
    assert len(plan.partitions) == 6
    for uuid, (of, part) in plan.partitions.items():
        assert part.uuid == uuid
        assert part in of.partitions


def test_members_are_in_the_order_of_the_disks():
    plan = planned("bcachefs_2copy", all_blank)
    assert plan.filesystems[-1].members == tuple(one.partitions[-1].uuid for one in plan.disks)


def test_the_esp_size_reaches_the_plan():
    plan = planned("single", all_blank)
    assert plan.disks[0].partitions[0].size_bytes == ESP_SIZE


def test_a_mark_on_one_partition_alone():
    """The data is finished, the ESP of that disk is not: only that one is made."""
    content = {PartitionKind.DATA: data_content()}
    plan = planned("single", lambda found: [ours(found[0], content=content, marked={PartitionKind.ESP})])
    assert [part.make for part in plan.disks[0].partitions] == [True, False]
    assert [filesystem.make for filesystem in plan.filesystems] == [True, False]
    assert plan.disks[0].clear_marks
