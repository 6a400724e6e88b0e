import logging

import pytest
from attrs import evolve
from support import blank, config, discovery, disk, finished, foreign

from states.validate import Validate
from zosstorage.block import claim, emptiness
from zosstorage.errors import ConfigError, ExitCode, NoDiskError, NotEmptyError, ToolError
from zosstorage.model import Action, Facts, Rejected
from zosstorage.planning import places, preflight

A, B = disk("sda"), disk("sdb")
FOUND = Facts(discover=discovery(A, B))


@pytest.fixture
def machine(monkeypatch):
    """A machine on which all is well; a test changes what it is about."""
    state = {"verdicts": (blank(A), blank(B)), "tools": [], "kernel": [], "targets": [], "copies": [], "gone": False}

    def check(of):
        if state["gone"]:
            raise NotEmptyError(f"{of.path} is gone")

    monkeypatch.setattr(emptiness, "examine", lambda *_: state["verdicts"])
    monkeypatch.setattr(claim, "check", check)
    missing = lambda names: [ToolError(f"no {name}", hint="install") for name in names if name in state["tools"]]  # noqa: E731
    monkeypatch.setattr(preflight, "check_tools", missing)
    monkeypatch.setattr(preflight, "check_kernel", lambda _: state["kernel"])
    monkeypatch.setattr(places, "check", lambda *_: state["targets"])
    monkeypatch.setattr(preflight, "check_copies", lambda _: state["copies"])
    return state


def work(**sections):
    return Validate(config(**sections)).work(FOUND)


def test_the_plan_is_handed_on(machine):
    known = work()
    assert known.discover == FOUND.discover
    assert (known.plan.action, known.plan.topology) == (Action.CREATE, "dual_independent")
    assert known.plan.verdicts == machine["verdicts"]


def test_every_verdict_is_logged_with_its_evidence(machine, caplog):
    machine["verdicts"] = (finished(A), foreign(B))
    with caplog.at_level(logging.INFO, "states"):
        work()
    assert [(record.disk, record.kind) for record in caplog.records] == [("/dev/sda", "ours"), ("/dev/sdb", "foreign")]
    assert caplog.records[1].found == "a signature of ext4 (at byte 1080, check: wipefs)"


def test_without_probers_there_is_no_verdict(machine, monkeypatch):
    machine["tools"] = ["blkid", "wipefs"]
    monkeypatch.setattr(emptiness, "examine", lambda *_: pytest.fail("examined"))
    with pytest.raises(ToolError) as caught:
        work()
    assert (caught.value.message, caught.value.hint) == ("no blkid; no wipefs", "install")


def test_a_foreign_disk(machine):
    machine["verdicts"] = (blank(A), foreign(B))
    with pytest.raises(NotEmptyError):
        work()


def test_a_refusal_names_missing_tools_too(machine):
    machine["verdicts"], machine["tools"] = (blank(A), foreign(B)), ["sfdisk"]
    with pytest.raises(NotEmptyError) as caught:
        work()
    assert caught.value.message.endswith("; no sfdisk")
    assert caught.value.hint == "erase /dev/sdb; install"


def test_too_few_disks(machine):
    with pytest.raises(NoDiskError):
        work(topology={"mode": "bcachefs_2copy"})


PROBLEMS = {
    "tools": (["mkfs.btrfs"], ExitCode.TOOL, "no mkfs.btrfs"),
    "kernel": ([ToolError("no btrfs")], ExitCode.TOOL, "no btrfs"),
    "targets": ([ConfigError("taken")], ExitCode.CONFIG, "taken"),
    "copies": ([NotEmptyError("a copy")], ExitCode.NOT_EMPTY, "a copy"),
}


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_one_problem_and_nothing_goes_on(machine, name):
    problems, code, told = PROBLEMS[name]
    machine[name] = problems
    with pytest.raises((ToolError, ConfigError, NotEmptyError)) as caught:
        work()
    assert (caught.value.exit_code, caught.value.message) == (code, told)


def test_all_problems_are_told_and_the_weightiest_gives_the_exit_code(machine):
    for name, (problems, _, _) in PROBLEMS.items():
        machine[name] = problems
    with pytest.raises(NotEmptyError) as caught:
        work()
    assert caught.value.message == "a copy; no mkfs.btrfs; no btrfs; taken"
    machine["copies"] = []
    with pytest.raises(ToolError):
        work()


# Does it still hold?


def test_holds_while_every_disk_gets_the_same_verdict(machine):
    known = work()
    assert Validate(config()).holds(known)
    machine["verdicts"] = (blank(A), foreign(B))
    assert not Validate(config()).holds(known)


def test_once_the_tables_are_written_the_disks_need_only_be_the_same(machine, monkeypatch):
    known = evolve(work(), partition=())
    monkeypatch.setattr(emptiness, "examine", lambda *_: pytest.fail("examined"))
    assert Validate(config()).holds(known)
    machine["gone"] = True
    assert not Validate(config()).holds(known)


def test_does_not_hold_when_a_disk_is_gone_or_a_prober_missing(machine):
    known = work()
    machine["tools"] = ["blkid"]
    assert not Validate(config()).holds(known)
    machine["tools"], machine["gone"] = [], True
    assert not Validate(config()).holds(known)


def test_rejected_disks_are_examined_for_the_plan_without_a_full_scan(machine, monkeypatch):
    stick, drive = disk("sdz"), disk("sr0", size_bytes=0)
    found = evolve(discovery(A), rejected=(Rejected(stick, "removable"), Rejected(drive, "a CD-ROM drive")))
    asked = []
    monkeypatch.setattr(
        emptiness,
        "examine",
        lambda disks, of, claim: asked.append((disks, of.validate.scan, claim)) or (foreign(stick),),
    )
    for scan in ("signatures", "sampled", "full"):
        assert Validate(config(validate={"scan": scan})).examine_rejected(found) == (foreign(stick),)
    assert asked == [([stick], "signatures", False), ([stick], "sampled", False), ([stick], "sampled", False)]
    machine["tools"] = ["blkid"]
    assert Validate(config()).examine_rejected(found) == ()


def test_a_rejected_disk_that_cannot_be_examined_is_in_nobodys_way(machine, monkeypatch):
    def fail(*_, claim):
        assert not claim
        raise ToolError("blkid failed")

    monkeypatch.setattr(emptiness, "examine", fail)
    found = evolve(discovery(A), rejected=(Rejected(B, "removable"),))
    (verdict,) = Validate(config()).examine_rejected(found)
    assert (verdict.path, verdict.kind) == ("/dev/sdb", "foreign")
    assert verdict.evidence[0].found == "it cannot be examined: blkid failed"
