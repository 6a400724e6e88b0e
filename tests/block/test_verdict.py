"""The verdict depends only on the observations of a disk, without I/O."""

import builtins
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from attrs import evolve
from support import ALL_KINDS, GUID, disk, finished, foreign, observed, seen, unfinished

from zosstorage.block import emptiness
from zosstorage.model import Evidence, Kind, PartitionKind, Verdict
from zosstorage.observed import ObservedDisk, OwnTable
from zosstorage.system import run

FINDING = Evidence("wipefs", 1080, "a signature of ext4", "erase it")
TABLE = OwnTable(GUID, False, seen(disk()))


@pytest.fixture(autouse=True)
def _no_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make every read and every start of a command fail."""

    def fail(*words: object, **_: object) -> NoReturn:
        raise AssertionError(words)

    with monkeypatch.context() as patched:
        for owner, name in ((os, "open"), (os, "stat"), (os, "listdir"), (builtins, "open"), (run, "start")):
            patched.setattr(owner, name, fail)
        patched.setattr(Path, "stat", fail)
        yield


def test_a_disk_with_no_table_and_no_findings_is_blank() -> None:
    found = emptiness.verdict(ObservedDisk(disk()))
    assert (found.path, found.kind, found.evidence, found.partitions) == ("/dev/vda", Kind.BLANK, (), ())
    assert (found.guid, found.torn) == ("", False)


@pytest.mark.parametrize("table", [None, TABLE, evolve(TABLE, torn=True)], ids=["no table", "table", "torn table"])
def test_one_finding_makes_a_disk_foreign_with_any_table(table: OwnTable | None) -> None:
    found = emptiness.verdict(ObservedDisk(disk(), table, (FINDING,)))
    assert (found.kind, found.evidence) == (Kind.FOREIGN, (FINDING,))
    assert (found.guid, found.torn, found.partitions) == ("", False, ())


def test_all_findings_are_evidence_in_their_order() -> None:
    findings = tuple(evolve(FINDING, offset=offset) for offset in (5, 3, 9))
    assert emptiness.verdict(ObservedDisk(disk(), findings=findings)).evidence == findings


@pytest.mark.parametrize(
    ("marked", "torn", "expected"),
    [
        ((), False, "our own layout, finished"),
        (ALL_KINDS, False, "our own layout, unfinished (partitions 1, 2)"),
        (ALL_KINDS, True, "our own layout, unfinished (partitions 1, 2), its table only partly written"),
        ((), True, "our own layout, finished, its table only partly written"),
    ],
)
def test_a_table_without_findings_is_ours(marked: Collection[PartitionKind], torn: bool, expected: str) -> None:
    partitions = seen(disk(), marked=marked)
    found = emptiness.verdict(ObservedDisk(disk(), OwnTable(GUID, torn, partitions)))
    assert (found.kind, found.guid, found.torn, found.partitions) == (Kind.OURS, GUID, torn, partitions)
    assert [(one.check, one.offset, one.found) for one in found.evidence] == [("own layout", None, expected)]


def test_counts_of_writes_and_a_backing_file_do_not_change_the_verdict() -> None:
    for one in (ObservedDisk(disk()), ObservedDisk(disk(), TABLE), ObservedDisk(disk(), TABLE, (FINDING,))):
        assert emptiness.verdict(evolve(one, writes="1 2 3 4", backing_file="/image")) == emptiness.verdict(one)


@pytest.mark.parametrize("expected", [finished(disk()), unfinished(disk(), torn=True), foreign(disk())])
def test_the_observations_of_tests_lead_to_the_expected_verdict(expected: Verdict) -> None:
    found = emptiness.verdict(observed(disk(), expected))
    assert evolve(found, evidence=()) == evolve(expected, evidence=())
