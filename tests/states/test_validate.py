import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve
from support import blank, config, discovery, disk, finished, foreign, observations, observed

from states import validate
from states.validate import Validate
from zosstorage.block import claim, emptiness, sysfs
from zosstorage.config.schema import Config
from zosstorage.converter import structure, unstructure
from zosstorage.errors import NoDiskError, NotEmptyError, ToolError
from zosstorage.facts import Facts, Validated
from zosstorage.model import Discovery, Disk, Verdict
from zosstorage.observed import Observations, ObservedKernel
from zosstorage.planned import Action

A, B = disk("sda"), disk("sdb")
FOUND = Facts(discover=discovery(A, B))
WRITES = "1 8 0 0"


class Machine:
    """What Validate reads of a machine; by default, nothing is wrong with it."""

    def __init__(self) -> None:
        self.verdicts = [blank(A), blank(B)]
        self.changes: dict[str, Any] = {}
        self.missing: set[str] = set()
        self.flushed: list[Disk] = []
        self.writes: dict[str, str | None] = {"/dev/sda": WRITES, "/dev/sdb": WRITES}

    def observe(self, found: Discovery, settings: Config, *, trial: bool) -> Observations:
        assert trial
        return observations(found, self.verdicts, settings, **self.changes)

    def check(self, of: Disk) -> None:
        if of.path in self.missing:
            raise NotEmptyError(f"{of.path} is missing")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine()
    monkeypatch.setattr(validate, "observe", found.observe)
    monkeypatch.setattr(claim, "check", found.check)
    monkeypatch.setattr(claim, "flush", found.flushed.extend)
    monkeypatch.setattr(sysfs, "writes", lambda of: found.writes[of.path])
    return found


def work(**sections: Any) -> Facts:
    return Validate(config(**sections)).work(FOUND)


def test_adds_plan_verdicts_and_write_counts_to_the_facts(machine: Machine) -> None:
    known = work()
    assert known.discover == FOUND.discover
    assert (known.plan.action, known.plan.topology) == (Action.CREATE, "dual_independent")
    assert known.validated.verdicts == (blank(A), blank(B))
    assert known.validated.writes == {"/dev/sda": WRITES, "/dev/sdb": WRITES}


def test_the_facts_can_be_saved(machine: Machine) -> None:
    machine.changes = {"disks": (observed(A, writes=None), observed(B))}
    known = work()
    assert structure(json.loads(json.dumps(unstructure(known.validated))), Validated) == known.validated
    assert known.validated.writes["/dev/sda"] is None


def test_every_verdict_is_logged_with_its_evidence(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.verdicts = [finished(A), foreign(B)]
    with caplog.at_level(logging.INFO, "states"):
        work()
    assert [(vars(record)["disk"], vars(record)["kind"]) for record in caplog.records] == [
        ("/dev/sda", "ours"),
        ("/dev/sdb", "foreign"),
    ]
    assert vars(caplog.records[1])["found"] == "a signature of ext4 (at byte 1080, check: wipefs)"


def test_verdicts_are_logged_before_a_refusal_too(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.verdicts = [blank(A), foreign(B)]
    with caplog.at_level(logging.INFO, "states"), pytest.raises(NotEmptyError):
        work()
    assert [vars(record)["kind"] for record in caplog.records] == ["blank", "foreign"]
    assert vars(caplog.records[0])["found"] == "no signature, nothing uses it, every byte that was read is zero"


def test_makes_no_plan_if_the_disks_cannot_be_read(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, trial: bool) -> None:
        assert trial
        raise ToolError("no blkid", hint="install")

    monkeypatch.setattr(validate, "observe", fail)
    with pytest.raises(ToolError, match="no blkid"):
        work()


def test_a_foreign_disk_is_refused(machine: Machine) -> None:
    machine.verdicts = [blank(A), foreign(B)]
    with pytest.raises(NotEmptyError):
        work()


def test_too_few_disks_are_refused(machine: Machine) -> None:
    with pytest.raises(NoDiskError):
        work(topology={"mode": "bcachefs_2copy"})


def test_refuses_a_machine_that_lacks_what_later_states_need(machine: Machine) -> None:
    machine.changes = {"kernel": ObservedKernel(frozenset(["ext4"]))}
    with pytest.raises(ToolError, match="this kernel has no btrfs"):
        work()


# Whether it holds.


@pytest.fixture
def holds(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[[Facts], bool]:
    """Ask whether it holds; fail if the machine is observed for that."""

    def ask(known: Facts) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(validate, "observe", lambda *_, **__: pytest.fail("the machine was observed"))
            return Validate(config()).holds(known)

    return ask


def test_holds_while_no_disk_was_written_to(holds: Callable[[Facts], bool]) -> None:
    assert holds(work())


def test_flushes_the_page_cache_before_it_reads_write_counts(machine: Machine, holds: Callable[[Facts], bool]) -> None:
    assert holds(work())
    assert machine.flushed == [A, B]


def read_again(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict) -> list[Disk]:
    """Give verdicts to disks that are read again; return the list of these disks."""
    read: list[Disk] = []

    def observe(disks: Sequence[Disk], depth: object, esp_size: int) -> tuple[Verdict, ...]:
        read.extend(disks)
        return verdicts

    monkeypatch.setattr(emptiness, "observe", observe)
    monkeypatch.setattr(emptiness, "verdict", lambda verdict: verdict)
    return read


@pytest.mark.parametrize("now", [None, WRITES])
def test_disks_without_write_counts_are_read_again(
    machine: Machine, holds: Callable[[Facts], bool], monkeypatch: pytest.MonkeyPatch, now: str | None
) -> None:
    """Otherwise `step` would start over forever on a kernel without write counts."""
    machine.changes = {"disks": (observed(A), observed(B, writes=None))}
    known = work()
    machine.writes["/dev/sdb"] = now
    read = read_again(monkeypatch, blank(A), blank(B))
    assert holds(known)
    assert read == [A, B]
    read_again(monkeypatch, blank(A), foreign(B))
    assert not holds(known)


def test_disks_without_a_diskseq_are_read_again(
    machine: Machine, holds: Callable[[Facts], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write counts start at 0 with another medium, so equal counts prove nothing."""
    old = evolve(B, diskseq=None)
    machine.verdicts = [blank(A), blank(old)]
    known = Validate(config()).work(Facts(discover=discovery(A, old)))
    read_again(monkeypatch, blank(A), blank(old))
    assert holds(known)
    read_again(monkeypatch, blank(A), foreign(old))
    assert not holds(known)


@pytest.mark.parametrize("path", ["/dev/sda", "/dev/sdb"])
@pytest.mark.parametrize("now", ["2 16 0 0", "1 8 1 8", None])
def test_does_not_hold_once_a_disk_was_written_to_or_has_no_count(
    machine: Machine, holds: Callable[[Facts], bool], path: str, now: str | None
) -> None:
    known = work()
    machine.writes[path] = now
    assert not holds(known)


def test_does_not_hold_once_an_unused_blank_disk_was_written_to(
    machine: Machine, holds: Callable[[Facts], bool]
) -> None:
    """A write may make it foreign, or ours."""
    machine.verdicts = [finished(A), blank(B)]
    known = work()
    assert [one.disk for one in known.plan.disks] == [A]
    assert holds(known)
    machine.writes["/dev/sdb"] = "2 16 0 0"
    assert not holds(known)


@pytest.mark.parametrize("verdict", [finished, foreign])
def test_ignores_writes_to_disks_that_may_be_in_use(
    machine: Machine, holds: Callable[[Facts], bool], verdict: Callable[[Disk], Verdict]
) -> None:
    """Otherwise `step` would start over forever on a machine whose disks are in use."""
    machine.verdicts = [finished(A), foreign(B)]
    known = work()
    machine.writes["/dev/sda" if verdict is finished else "/dev/sdb"] = "2 16 0 0"
    assert holds(known)


def test_does_not_hold_for_a_disk_without_a_write_count(holds: Callable[[Facts], bool]) -> None:
    known = work()
    without = evolve(known.validated, writes={"/dev/sda": WRITES})
    assert not holds(evolve(known, validate=without))


def test_ignores_writes_once_the_tables_are_written(machine: Machine, holds: Callable[[Facts], bool]) -> None:
    known = evolve(work(), partition=())
    machine.writes = dict.fromkeys(machine.writes, "99 999 0 0")
    assert holds(known)
    machine.missing = {"/dev/sdb"}
    assert not holds(known)


def test_does_not_hold_when_a_disk_is_missing(machine: Machine, holds: Callable[[Facts], bool]) -> None:
    known = work()
    machine.missing = {"/dev/sda"}
    assert not holds(known)
