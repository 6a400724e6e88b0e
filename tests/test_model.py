"""Facts, plans, verdicts and errors: their properties."""

import pytest
from attrs import evolve, fields
from support import (
    ALL_KINDS,
    FS_UUID,
    GUID,
    blank,
    data_content,
    disk,
    facts,
    finished,
    foreign,
    observed,
    seen,
    unfinished,
)

from zosstorage.errors import ExitCode, InterruptedRunError, NotEmptyError, ToolError, ZosstorageError
from zosstorage.facts import STATES, Facts
from zosstorage.model import Disk, PartitionKind, Verdict
from zosstorage.observed import OwnTable


@pytest.mark.parametrize("name", ["discovery", "validated", "plan", "partitions", "filesystems", "mounted", "written"])
def test_raises_for_a_state_that_is_not_completed(name: str) -> None:
    with pytest.raises(LookupError, match="has not been completed"):
        getattr(Facts(), name)
    assert getattr(facts(), name) is not None


def test_finds_the_node_of_a_partition() -> None:
    known = facts()
    assert [known.device(part.uuid) for part in known.partitions] == [part.device for part in known.partitions]


def test_the_nodes_of_a_filesystem_are_in_the_order_of_its_members() -> None:
    known = facts(mode="btrfs_raid1")
    (data,) = known.plan.data
    assert known.devices(data) == tuple(known.device(member) for member in data.members) == ("/dev/sda2", "/dev/sdb2")
    assert [known.devices(esp) for esp in known.plan.filesystems[:2]] == [("/dev/sda1",), ("/dev/sdb1",)]


def test_facts_have_a_field_for_each_state() -> None:
    assert STATES == ("discover", "validate", "partition", "format", "mount", "report")


def test_finds_the_disk_of_a_partition() -> None:
    plan = facts(mode="btrfs_raid1").plan
    for planned in plan.disks:
        assert {plan.owner(part.uuid) for part in planned.partitions} == {planned}
    assert plan.members(plan.data[0]) == plan.disks


@pytest.mark.parametrize(
    ("write_table", "clear_marks", "flagged"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_a_planned_disk_has_flags_if_it_is_written_or_cleared(
    write_table: bool, clear_marks: bool, flagged: bool
) -> None:
    planned = evolve(facts().plan.disks[0], write_table=write_table, clear_marks=clear_marks)
    assert planned.flagged is flagged


def test_the_identity_of_a_disk() -> None:
    names = {"number", "serial", "wwn", "size_bytes", "sector_size", "diskseq"}
    assert set(disk().identity) == {getattr(disk(), name) for name in names}
    assert names < {field.name for field in fields(Disk)}


@pytest.mark.parametrize(
    ("marked", "torn", "done"),
    [
        ((), False, True),
        ((), True, False),
        (tuple(sorted(ALL_KINDS)), False, False),
        *(((kind,), False, False) for kind in sorted(ALL_KINDS - {PartitionKind.BIOS_BOOT})),
    ],
    ids=str,
)
def test_a_finished_table_is_not_torn_and_has_no_flags(
    marked: tuple[PartitionKind, ...], torn: bool, done: bool
) -> None:
    assert OwnTable(GUID, torn, seen(disk(), marked=marked)).finished is done


@pytest.mark.parametrize("verdict", [blank(disk()), foreign(disk())], ids=["blank", "foreign"])
def test_a_disk_that_is_not_ours_has_no_table(verdict: Verdict) -> None:
    assert observed(disk(), verdict).table is None
    assert [verdict.seen(kind) for kind in PartitionKind] == [None] * 3


def test_finds_partitions_of_a_verdict_by_kind() -> None:
    verdict = finished(disk())
    assert verdict.data == verdict.seen(PartitionKind.DATA) == verdict.partitions[-1]
    assert verdict.seen(PartitionKind.ESP) == verdict.partitions[0]
    assert verdict.seen(PartitionKind.BIOS_BOOT) is None


def test_the_uuid_of_the_data_filesystem_of_a_verdict() -> None:
    content = data_content(FS_UUID)
    assert finished(disk(), data=content).data_uuid == FS_UUID
    assert unfinished(disk()).data_uuid == ""


def test_the_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "DEFECT": 1,
        "USAGE": 2,
        "CONFIG": 3,
        "NO_DISK": 4,
        "NOT_EMPTY": 5,
        "TOOL": 6,
        "LOCKED": 7,
        "UNIMPLEMENTED": 8,
    }


def test_errors_have_message_hint_and_details() -> None:
    error = ToolError("no", hint="do", argv=("x",), status=3, stderr="err")
    assert isinstance(error, ZosstorageError)
    assert (str(error), error.hint, error.argv, error.status, error.stderr) == ("no", "do", ("x",), 3, "err")
    assert NotEmptyError("x").hint == ""
    assert InterruptedRunError("SIGTERM", 15).number == 15
