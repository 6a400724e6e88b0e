import pytest
from attrs import fields
from support import ALL_KINDS, blank, disk, facts, finished, foreign, ours, unfinished

from zosstorage.errors import ExitCode, InterruptedRunError, NotEmptyError, ToolError, ZosstorageError
from zosstorage.model import Disk, Facts, PartitionKind


@pytest.mark.parametrize("name", ["discovery", "plan", "partitions", "filesystems", "mounts", "written"])
def test_a_fact_that_is_not_known_yet(name):
    with pytest.raises(LookupError, match="has not been completed"):
        getattr(Facts(), name)
    assert getattr(facts(), name) is not None


def test_the_node_of_a_partition():
    known = facts()
    assert [known.device(part.uuid) for part in known.partitions] == [part.device for part in known.partitions]


def test_identity_is_what_must_not_change():
    names = {"number", "serial", "wwn", "size_bytes", "sector_size", "diskseq"}
    assert set(disk().identity) == {getattr(disk(), name) for name in names}
    assert names < {field.name for field in fields(Disk)}


@pytest.mark.parametrize(
    ("verdict", "done"),
    [
        (blank(disk()), False),
        (foreign(disk()), False),
        (finished(disk()), True),
        (finished(disk(), torn=True), False),
        (unfinished(disk()), False),
        *((ours(disk(), marked={kind}), False) for kind in sorted(ALL_KINDS - {PartitionKind.BIOS_BOOT})),
    ],
    ids=lambda value: str(value)[:40],
)
def test_finished(verdict, done):
    assert verdict.finished is done


def test_the_data_partition_is_the_last():
    assert finished(disk()).data == finished(disk()).partitions[-1]


def test_exit_codes_are_those_of_the_contract():
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


def test_errors_carry_what_an_operator_needs():
    error = ToolError("no", hint="do", argv=("x",), status=3, stderr="err")
    assert isinstance(error, ZosstorageError)
    assert (str(error), error.hint, error.argv, error.status, error.stderr) == ("no", "do", ("x",), 3, "err")
    assert NotEmptyError("x").hint == ""
    assert InterruptedRunError("SIGTERM", 15).number == 15
