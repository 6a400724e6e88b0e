"""The plan that follows from disks in their roles and the configuration."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from machines import SSD, TYPICAL, disks
from support import ESP_SIZE, MIB, blank, config, data_content, disk, finished, ours, target, unfinished, uuids

from zosstorage.converter import structure, unstructure
from zosstorage.model import Disk, Firmware, PartitionKind, Verdict
from zosstorage.planned import Action, Plan
from zosstorage.planning.build import build
from zosstorage.planning.roles import assign
from zosstorage.topologies import TOPOLOGIES

Verdicts = Callable[[list[Disk]], Sequence[Verdict]]
SUBVOLUMES = ["system", "etc", "modules", "vm-meta"]


def planned(
    mode: str,
    verdicts: Verdicts,
    *,
    firmware: Firmware = Firmware.UEFI,
    found: list[Disk] | None = None,
    **sections: Any,
) -> Plan:
    """The plan for disks, whose verdicts are a function of them; the disks are typical ones by default."""
    settings = config(topology={"mode": mode}, **sections)
    found = found or disks(*TYPICAL[mode])
    topology, members = assign([target(*pair) for pair in zip(found, verdicts(found), strict=True)], settings)
    return build(topology, members, firmware, settings, uuids())


def all_blank(found: list[Disk]) -> list[Verdict]:
    return [blank(one) for one in found]


def test_every_topology_has_typical_disks() -> None:
    assert set(TYPICAL) == set(TOPOLOGIES)


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("mode", list(TYPICAL))
def test_plan_of_blank_disks(golden: Callable[[str, str], None], mode: str, firmware: Firmware) -> None:
    plan = planned(mode, all_blank, firmware=firmware)
    text = json.dumps(unstructure(plan), indent=1) + "\n"
    assert structure(json.loads(text), Plan) == plan
    golden(f"plan-{mode}-{firmware}.json", text)


@pytest.mark.parametrize("mode", list(TYPICAL))
def test_everything_on_blank_disks_is_made(mode: str) -> None:
    plan = planned(mode, all_blank)
    assert plan.action is Action.CREATE
    assert all(one.blank and one.write_table and one.clear_marks and one.flagged for one in plan.disks)
    assert all(part.make for one in plan.disks for part in one.partitions)
    assert all(filesystem.make for filesystem in plan.filesystems)
    assert plan.primary == plan.data[0].uuid
    assert {filesystem.label for filesystem in plan.data} == {"ZOSDATA"}


@pytest.mark.parametrize("sector", [512, 4096])
def test_partitions_follow_from_sector_size_and_esp_size(sector: int) -> None:
    found = [disk(sector_size=sector)]
    plan = planned("single", all_blank, found=found, firmware=Firmware.BIOS, partitions={"esp_size": "300MiB"})
    parts = plan.disks[0].partitions
    assert [part.kind for part in parts] == [PartitionKind.BIOS_BOOT, PartitionKind.ESP, PartitionKind.DATA]
    assert [part.number for part in parts] == [1, 2, 3]
    assert [(part.start_bytes, part.size_bytes) for part in parts[:2]] == [(MIB, MIB), (2 * MIB, 300 * MIB)]
    assert all(part.start_bytes % MIB == part.size_bytes % MIB == 0 for part in parts)


def test_a_volume_id_is_eight_hex_digits_in_two_groups() -> None:
    plan = planned("single", all_blank)
    assert [filesystem.uuid for filesystem in plan.filesystems if filesystem.top is None] == ["0000-0004"]


def test_the_data_partition_of_a_cache_is_named_zoscache() -> None:
    plan = planned("bcachefs_2copy", all_blank)
    assert [one.partitions[-1].name for one in plan.disks] == ["zoscache", "zosdata", "zosdata"]
    assert {part.name for one in plan.disks for part in one.partitions[:-1]} == {"zosboot"}


def test_finished_disks_are_kept() -> None:
    found = disks(SSD)
    plan = planned("single", lambda found: [finished(found[0])])
    verdict = finished(found[0])
    assert plan.action is Action.ADOPT
    assert not any(filesystem.make for filesystem in plan.filesystems)
    assert [part.uuid for part in plan.disks[0].partitions] == [part.uuid for part in verdict.partitions]
    assert plan.disks[0].guid == verdict.guid
    assert (plan.disks[0].blank, plan.disks[0].write_table, plan.disks[0].clear_marks) == (False, False, False)
    assert not plan.disks[0].flagged
    assert [filesystem.uuid for filesystem in plan.filesystems] == ["0000-0001", verdict.data_uuid]


def test_unfinished_disks_keep_their_table_and_its_uuids() -> None:
    found = disks(SSD)
    plan = planned("single", lambda found: [unfinished(found[0], data=data_content())])
    verdict = unfinished(found[0])
    assert plan.action is Action.RESUME
    assert (plan.disks[0].blank, plan.disks[0].write_table, plan.disks[0].clear_marks) == (False, False, True)
    assert [part.uuid for part in plan.disks[0].partitions] == [part.uuid for part in verdict.partitions]
    assert all(filesystem.make for filesystem in plan.filesystems)
    assert plan.filesystems[-1].uuid != data_content().uuid


def torn(guid: str | None, found: list[Disk]) -> list[Verdict]:
    return [unfinished(found[0], torn=True, guid=guid)]


def test_a_torn_table_is_written_again_with_its_guid_if_it_has_one() -> None:
    for guid in (None, ""):
        plan = planned("single", partial(torn, guid))
        assert plan.disks[0].write_table
        assert plan.disks[0].guid
        assert (plan.disks[0].guid == unfinished(disks(SSD)[0]).guid) is (guid is None)


def test_a_torn_table_without_flags_is_written_without_flags() -> None:
    plan = planned("single", lambda found: [finished(found[0], torn=True)])
    assert plan.action is Action.RESUME
    assert (plan.disks[0].write_table, plan.disks[0].clear_marks, plan.disks[0].flagged) == (True, False, True)
    assert not any(part.make for part in plan.disks[0].partitions)


def test_a_member_with_flags_is_kept_if_another_member_is_finished() -> None:
    """The in-progress flags are cleared disk by disk, after all of the filesystem was read back."""
    one, other = data_content(member="a", devices=2), data_content(member="b", devices=2)
    plan = planned("btrfs_raid1", lambda found: [finished(found[0], data=one), unfinished(found[1], tag=2, data=other)])
    data = plan.filesystems[-1]
    assert (data.uuid, data.make, len(data.members)) == (one.uuid, False, 2)
    assert [disk.partitions[-1].make for disk in plan.disks] == [False, False]
    assert [disk.clear_marks for disk in plan.disks] == [False, True]
    assert [filesystem.make for filesystem in plan.filesystems] == [False, True, False]  # the second ESP is made again
    assert plan.primary == one.uuid


def test_only_the_esp_is_made_if_only_the_esp_has_the_flag() -> None:
    content = {PartitionKind.DATA: data_content()}
    plan = planned("single", lambda found: [ours(found[0], content=content, marked={PartitionKind.ESP})])
    assert [part.make for part in plan.disks[0].partitions] == [True, False]
    assert [filesystem.make for filesystem in plan.filesystems] == [True, False]
    assert plan.disks[0].clear_marks


def test_the_esp_size_reaches_the_plan() -> None:
    plan = planned("single", all_blank)
    assert plan.disks[0].partitions[0].size_bytes == ESP_SIZE


# The primary.


def test_the_only_finished_filesystem_is_the_primary() -> None:
    plan = planned(
        "dual_independent", lambda found: [unfinished(found[0]), finished(found[1], tag=2), unfinished(found[2], tag=3)]
    )
    assert [one.make for one in plan.data] == [True, False, True]
    assert plan.primary == plan.data[1].uuid


@pytest.mark.parametrize("rest", [unfinished, finished])
def test_the_plan_names_no_primary_if_several_filesystems_are_finished(rest: Callable[..., Verdict]) -> None:
    """Only Mount can see which of them has the subvolumes."""
    one, other = (data_content(f"{number}9999999-8888-4777-8666-555555555555") for number in (1, 2))
    plan = planned(
        "dual_independent",
        lambda found: [finished(found[0], data=one), finished(found[1], tag=2, data=other), rest(found[2], tag=3)],
    )
    assert [made.make for made in plan.data] == [False, False, rest is unfinished]
    assert plan.primary is None


# Owners and members.


def test_every_partition_has_an_owner() -> None:
    plan = planned("dual_independent", all_blank)
    parts = [(part.uuid, of) for of in plan.disks for part in of.partitions]
    assert len({uuid for uuid, _ in parts}) == 6
    assert all(plan.owner(uuid) is of for uuid, of in parts)


def test_members_are_in_the_order_of_the_disks() -> None:
    plan = planned("bcachefs_2copy", all_blank)
    assert plan.filesystems[-1].members == tuple(one.partitions[-1].uuid for one in plan.disks)
    assert plan.members(plan.filesystems[-1]) == plan.disks
    assert [plan.members(esp) for esp in plan.filesystems[:-1]] == [(one,) for one in plan.disks]


# Options, mounts and fstab.


@pytest.mark.parametrize(
    ("mode", "options", "profile"),
    [
        ("single", ("--nodiscard",), None),
        ("dual_independent", ("--nodiscard",), None),
        ("btrfs_raid1", ("--nodiscard", "-d", "raid1", "-m", "raid1"), "raid1"),
        ("bcachefs_single", (), None),
        ("ssd_hdd_bcachefs", (), None),
        ("bcachefs_2copy", ("--replicas=2",), None),
    ],
)
def test_profile_and_replicas_of_a_topology_are_planned(
    mode: str, options: tuple[str, ...], profile: str | None
) -> None:
    plan = planned(mode, all_blank)
    assert {(one.options, one.profile) for one in plan.data} == {(options, profile)}


def test_configured_mkfs_options_are_planned() -> None:
    more = {"mkfs_options": ["-O", "^free-space-tree"]}
    settings = {"btrfs": {"data_profile": "dup", "discard": True, **more}, "vfat": {"mkfs_options": ["-h", "63"]}}
    btrfs = planned("single", all_blank, filesystems=settings)
    assert [one.options for one in btrfs.filesystems] == [("-h", "63"), ("-d", "dup", *more["mkfs_options"])]
    settings = {"bcachefs": {"compression": "lz4", "replicas": 2, "mkfs_options": ["--discard"]}}
    bcachefs = planned("ssd_hdd_bcachefs", all_blank, filesystems=settings)
    assert bcachefs.data[0].options == ("--compression=lz4", "--replicas=2", "--discard")


@pytest.mark.parametrize(
    ("mode", "top", "inner"), [("single", ["subvolid=5"], "subvol="), ("bcachefs_single", [], "X-mount.subdir=")]
)
def test_targets_and_options_of_the_mounts(mode: str, top: list[str], inner: str) -> None:
    plan = planned(mode, all_blank)
    (data,) = plan.data
    assert data.top
    assert (data.top.target, data.top.inside, data.top.subvolume) == (f"/var/mounts/{data.uuid}",) * 2 + ("",)
    assert data.top.options == (*top, "noatime")
    assert [one.subvolume for one in plan.targets] == SUBVOLUMES
    assert [one.target for one in plan.targets] == [f"/var/cache/{name}" for name in SUBVOLUMES]
    assert [one.options for one in plan.targets] == [(f"{inner}{name}", "noatime") for name in SUBVOLUMES]
    assert plan.fstab is None


def test_paths_have_the_root_prefix_and_are_known_without_it(tmp_path: Path) -> None:
    plan = planned("single", all_blank, root=str(tmp_path), fstab={"enabled": True})
    mounts = [*(one.top for one in plan.data if one.top), *plan.targets]
    assert len(mounts) == 5
    assert [one.target for one in mounts] == [f"{tmp_path}{one.inside}" for one in mounts]
    assert [one.inside for one in plan.targets] == [f"/var/cache/{name}" for name in SUBVOLUMES]
    assert plan.fstab == f"{tmp_path}/etc/fstab"
