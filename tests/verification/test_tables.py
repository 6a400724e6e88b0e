"""Checks of disks and partitions on recorded output of sfdisk and a fake sysfs."""

from typing import Any

import pytest
from attrs import evolve
from fakes import SysfsTree
from recorded import Recorded
from support import disk, facts

from zosstorage.output import report
from zosstorage.output.report import ReportedDisk
from zosstorage.verification import tables

INTACT = "/dev/sda:\nNo errors detected.\nHeader version: 1.0\nUsing 2 out of 128 partitions.\n"
BACKUP = "The backup GPT table is corrupt, but the primary appears OK, so that will be used."
GROWN = (
    "GPT PMBR size mismatch (2097151 != 4194303) will be corrected by write. "
    "The backup GPT table is not on the end of the device. "
    "MyLBA mismatch with real position at backup header. 1 error detected."
)


@pytest.fixture
def promised() -> ReportedDisk:
    built = report.build(facts(mode="single", disks=(disk("sda"),)))
    return tables.used(built)[0]


def table(of: ReportedDisk, **changes: Any) -> dict[str, Any]:
    """What sfdisk --json says of a disk that is as promised, with some fields of the last partition changed."""
    rows = [
        {
            "node": part.device,
            "start": part.start_bytes // 512,
            "size": part.size_bytes // 512,
            "type": part.type,
            "uuid": part.uuid.upper(),
            "name": part.name,
        }
        for part in of.partitions
    ]
    rows[-1].update(changes)
    return {"partitiontable": {"label": "gpt", "sectorsize": 512, "partitions": rows}}


@pytest.fixture
def machine(sysfs_tree: SysfsTree, recorded: Recorded, promised: ReportedDisk) -> Recorded:
    sysfs_tree.add("sda", serial=promised.serial, wwid=promised.wwn)
    recorded.add("sfdisk --verify", INTACT)
    recorded.add("sfdisk --json", table(promised))
    return recorded


def checks(promised: ReportedDisk, machine: Recorded, tree: SysfsTree) -> list[Any]:
    sys = tree.root / "sys"
    return list(tables.check(tables.find(promised, sys), machine, sys))


def test_a_disk_as_promised(promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree) -> None:
    found = checks(promised, machine, sysfs_tree)
    assert [check for check in found if not check.ok or check.warning] == []
    assert len(found) == 4 + 6 * len(promised.partitions)


@pytest.mark.parametrize(
    ("changes", "failed", "told"),
    [
        ({"name": "other"}, "name", "other"),
        ({"type": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"}, "type", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
        ({"uuid": "0002FCE7-FA36-497E-BC29-710F40C52167"}, "UUID", "0002fce7-fa36-497e-bc29-710f40c52167"),
        ({"start": 4096}, "start in bytes", "2097152"),
        ({"size": 8}, "size in bytes", "4096"),
        ({"attrs": "RequiredPartition GUID:48,58"}, "in-progress flag", "set"),
        ({"attrs": "GUID:58"}, "in-progress flag", "set"),
        ({"uuid": None, "start": "x"}, "entry in the table", "'start': 'x'"),
    ],
)
def test_a_partition_that_differs(
    promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree, changes: dict[str, Any], failed: str, told: str
) -> None:
    machine.add("sfdisk --json", table(promised, **changes))
    (red,) = [check for check in checks(promised, machine, sysfs_tree) if not check.ok]
    assert (red.subject, red.name, red.check) == ("partition", promised.partitions[-1].device, failed)
    assert told in red.seen


@pytest.mark.parametrize("attributes", ["GUID:48", "LegacyBIOSBootable GUID:5", "RequiredPartition"])
def test_other_attributes_are_not_the_flag(
    promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree, attributes: str
) -> None:
    machine.add("sfdisk --json", table(promised, attrs=attributes))
    assert all(check.ok for check in checks(promised, machine, sysfs_tree))


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "told"),
    [
        (INTACT, BACKUP, 0, BACKUP),  # sfdisk 2.38 exits with 0, and says that there are no errors
        ("/dev/sda:\nunrecognized partition table type\n", "", 0, "/dev/sda: unrecognized partition table type"),
        ("", "sfdisk: cannot open /dev/sda: Input/output error", 1, "Input/output error"),
        ("/dev/sda:\n1 error detected.\n", "MyLBA mismatch with real position at backup header.", 0, "MyLBA mismatch"),
        (INTACT, f"{GROWN} {BACKUP}", 0, BACKUP),
    ],
)
def test_a_damaged_copy_of_the_table(
    promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree, stdout: str, stderr: str, status: int, told: str
) -> None:
    machine.add("sfdisk --verify", stdout, stderr, status)
    (red,) = [check for check in checks(promised, machine, sysfs_tree) if not check.ok]
    assert red.check == "copies of the table"
    assert told in red.seen


def test_a_disk_that_has_grown_is_a_warning(promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree) -> None:
    machine.add("sfdisk --verify", "/dev/sda:\n", GROWN)
    found = checks(promised, machine, sysfs_tree)
    assert all(check.ok for check in found)
    assert [check.check for check in found if check.warning] == ["copies of the table"]


@pytest.mark.parametrize("said", ["[]", "{}", '{"partitiontable": {"partitions": [{"node": "x"}]}}', "no JSON"])
def test_an_unknown_table_is_no_table(
    promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree, said: str
) -> None:
    machine.add("sfdisk --json", said)
    red = [check.check for check in checks(promised, machine, sysfs_tree) if not check.ok]
    assert red == ["table", *["entry in the table"] * len(promised.partitions)]


def test_a_disk_is_found_by_its_wwn_at_another_node(promised: ReportedDisk, sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", serial="another", wwid="naa.1")
    sysfs_tree.add("sdc", serial=promised.serial, wwid=promised.wwn)
    found = tables.find(promised, sysfs_tree.root / "sys")
    assert (found.path, found.is_same) == ("/dev/sdc", True)


def test_a_disk_with_the_wwn_and_another_serial_is_not_the_same(promised: ReportedDisk, sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", serial="another", wwid=promised.wwn)
    found = tables.find(promised, sysfs_tree.root / "sys")
    assert (found.path, found.is_same) == ("/dev/sda", False)
    assert "serial another" in found.seen


def test_a_disk_that_is_gone(promised: ReportedDisk, machine: Recorded, sysfs_tree: SysfsTree) -> None:
    gone = evolve(promised, path="/dev/sdx", serial="x", wwn="y")
    (only,) = checks(gone, machine, sysfs_tree)
    assert (only.ok, only.check, only.seen) == (False, "identity", "no such disk")


def test_a_disk_without_identity_is_known_by_its_path(promised: ReportedDisk, sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("loop3")
    nameless = evolve(promised, path="/dev/loop3", serial="", wwn="")
    assert tables.find(nameless, sysfs_tree.root / "sys").is_same
    assert not tables.find(evolve(nameless, path="/dev/loop4"), sysfs_tree.root / "sys").is_same


def test_the_serial_number_of_a_scsi_disk_is_that_of_page_80(promised: ReportedDisk, sysfs_tree: SysfsTree) -> None:
    sysfs_tree.add("sda", device__wwid=promised.wwn, device__vpd_pg80=f"\0\0\0\x10{promised.serial}  ")
    assert tables.find(promised, sysfs_tree.root / "sys").is_same
