"""Unfinished disks: what is resumed, and what contradicts the plan."""

from collections.abc import Callable
from typing import Any

import pytest
from machines import HDD_B, U1, U2, A, B, C, decided, raid, refused, summary
from support import blank, data_content, finished, foreign, unfinished

from zosstorage.errors import NoDiskError
from zosstorage.model import Firmware, Role, Verdict
from zosstorage.planned import Action


def test_unfinished_disks_are_resumed() -> None:
    plan = decided([A], [unfinished(A)])
    assert summary(plan) == (Action.RESUME, "single", ["sda"], [])


def test_a_blank_disk_beside_an_unfinished_one_is_part_of_the_job() -> None:
    """The power was lost while the tables were written: one disk has its table, the other has none."""
    plan = decided([A, B], [unfinished(A), blank(B)])
    assert summary(plan) == (Action.RESUME, "dual_independent", ["sda", "sdb"], [])
    assert [one.write_table for one in plan.disks] == [False, True]


def test_disks_keep_their_order() -> None:
    plan = decided([A, B, C], [unfinished(A), blank(B), unfinished(C, tag=3)])
    assert [one.disk.name for one in plan.disks] == ["sda", "sdb", "sdc"]


def test_a_mirror_with_one_cleared_flag_is_kept() -> None:
    plan = decided([A, B], [raid(A, 1), raid(B, 2, marked=True)])
    assert summary(plan)[:2] == (Action.RESUME, "btrfs_raid1")
    assert not plan.filesystems[-1].make
    assert [one.clear_marks for one in plan.disks] == [False, True]


def test_the_finished_one_of_independent_disks_is_kept() -> None:
    verdicts = [finished(A, data=data_content(U1)), unfinished(B, tag=2, data=data_content(U2))]
    plan = decided([A, B], verdicts)
    assert summary(plan)[:2] == (Action.RESUME, "dual_independent")
    assert [one.make for one in plan.data] == [False, True]
    assert plan.primary == U1


def test_an_unfinished_disk_beside_a_finished_system_of_another_job_is_refused() -> None:
    message = refused([A, B, C], [raid(A, 1), raid(B, 2), unfinished(C, tag=3)])
    assert "the finished btrfs_raid1 on /dev/sda, /dev/sdb and the unfinished job on /dev/sdc are not" in message


def test_a_blank_disk_beside_finished_and_unfinished_ones_is_unused() -> None:
    """All tables are written before a filesystem is finished, so a blank disk is not part of the job."""
    plan = decided([A, B, C], [finished(A), unfinished(B, tag=2), blank(C)])
    assert summary(plan) == (Action.RESUME, "dual_independent", ["sda", "sdb"], ["sdc"])


@pytest.mark.parametrize("verdicts", [[unfinished(A)], [unfinished(A, torn=True, guid="")]], ids=["marked", "torn"])
def test_abort_on_partial_refuses_unfinished_disks(verdicts: list[Verdict]) -> None:
    message = refused([A], verdicts, validate={"on_partial": "abort"})
    assert "an unfinished job is on /dev/sda, and validate.on_partial is abort" in message


def test_abort_on_partial_concerns_no_blank_or_finished_disk() -> None:
    settings: dict[str, Any] = {"validate": {"on_partial": "abort"}}
    assert decided([A], [blank(A)], **settings).action is Action.CREATE
    assert decided([A], [finished(A)], **settings).action is Action.ADOPT


def test_a_mode_that_needs_more_disks_than_are_unfinished_is_refused() -> None:
    with pytest.raises(NoDiskError):
        decided([A], [unfinished(A)], topology={"mode": "btrfs_raid1"})


# Contradictions between a table and the plan.


@pytest.mark.parametrize("made", [finished, unfinished])
@pytest.mark.parametrize(
    ("made_for", "firmware", "verb"), [(Firmware.BIOS, Firmware.UEFI, "has"), (Firmware.UEFI, Firmware.BIOS, "lacks")]
)
def test_disks_made_for_another_firmware_are_refused(
    made: Callable[..., Verdict], made_for: Firmware, firmware: Firmware, verb: str
) -> None:
    message = refused([A], [made(A, firmware=made_for)], firmware=firmware)
    assert f"/dev/sda {verb} a bios_boot partition, and this machine's firmware is {firmware}" in message


def test_an_unused_disk_may_be_of_any_firmware() -> None:
    assert decided([A, B], [finished(A), foreign(B)], firmware=Firmware.UEFI).action is Action.ADOPT


def test_an_unfinished_cache_that_would_become_data_is_refused() -> None:
    message = refused([A], [unfinished(A, role=Role.CACHE)])
    assert "/dev/sda has a zoscache partition" in message
    assert "would make it zosdata" in message


def test_an_unfinished_data_disk_that_would_become_a_cache_is_refused() -> None:
    message = refused([A, HDD_B], [unfinished(A), unfinished(HDD_B, tag=2)])
    assert "/dev/sda has a zosdata partition" in message


def test_unfinished_tiers_are_resumed_in_their_roles() -> None:
    verdicts = [unfinished(A, role=Role.CACHE), unfinished(HDD_B, tag=2, role=Role.BACKING)]
    assert decided([A, HDD_B], verdicts).topology == "ssd_hdd_bcachefs"


def test_an_unfinished_filesystem_of_another_type_is_refused() -> None:
    message = refused([A], [unfinished(A, data=data_content(fstype="bcachefs"))])
    assert "with bcachefs; the topology single would make it zosdata with btrfs" in message
