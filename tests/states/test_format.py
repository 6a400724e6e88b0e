from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from support import facts

from states.format import Format
from zosstorage.block import claim, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Facts, Filesystem
from zosstorage.model import Disk
from zosstorage.planned import PlannedFilesystem
from zosstorage.work import formatting

MADE = facts().filesystems
# The steps that were done, and the errors that steps raise, one per call.
Recorded = tuple[list[str], dict[str, list[Exception]]]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Record what Format does, in order; `fail` makes steps raise errors."""
    steps: list[str] = []
    fail: dict[str, list[Exception]] = {}

    def step(name: str) -> None:
        steps.append(name)
        if errors := fail.get(name):
            raise errors.pop(0)

    @contextmanager
    def locked(of: Disk, *, exclusive: bool) -> Iterator[None]:
        step(f"lock {of.name}{' exclusively' if exclusive else ''}")
        yield
        step(f"unlock {of.name}")

    monkeypatch.setattr(claim, "locked", locked)
    monkeypatch.setattr(claim, "check", lambda of: step(f"identity {of.name}"))
    monkeypatch.setattr(tables, "require_partitions", lambda *_: step("marks and nodes"))

    def make(wanted: Sequence[PlannedFilesystem], _facts: Facts, require_marks: Callable[[], None]) -> None:
        require_marks()
        step(f"make {len(wanted)}")

    def read_back(_facts: Facts) -> tuple[Filesystem, ...]:
        step("read back")
        return MADE

    def read_back_twice(_facts: Facts) -> tuple[Filesystem, ...]:
        step("read back twice")
        return MADE

    monkeypatch.setattr(formatting, "make", make)
    monkeypatch.setattr(formatting, "read_back_twice", read_back_twice)
    monkeypatch.setattr(formatting, "read_back", read_back)
    return steps, fail


BEFORE = ["lock sda", "lock sdb"]
CHECKS = ["identity sda", "identity sdb", "marks and nodes"]
AFTER = ["unlock sdb", "unlock sda", "read back twice"]


def known(**rest: Any) -> Facts:
    found = facts(**rest)
    return Facts(found.discover, found.validate, found.partition)


def test_disks_are_locked_and_checked_before_anything_is_made(recorded: Recorded) -> None:
    """All disks are locked and checked before anything is made; then everything is read back."""
    steps, _ = recorded
    assert Format().work(known()).format == MADE
    assert steps == [*BEFORE, *CHECKS, "make 4", *AFTER]


@pytest.mark.parametrize("name", ["lock sdb", "identity sdb", "marks and nodes"])
def test_makes_nothing_if_a_check_fails(recorded: Recorded, name: str) -> None:
    steps, fail = recorded
    fail[name] = [NotEmptyError("not ours")]
    with pytest.raises(NotEmptyError):
        Format().work(known())
    assert not any(step.startswith("make") for step in steps)


def test_retries_a_failed_mkfs_after_the_same_checks(recorded: Recorded) -> None:
    steps, fail = recorded
    fail["make 4"] = [ToolError("no luck", argv=("mkfs.btrfs",))]
    Format().work(known())
    assert steps == [*BEFORE, *CHECKS, "make 4", *CHECKS, "make 4", *AFTER]


def test_a_mkfs_that_fails_twice_ends_the_run(recorded: Recorded) -> None:
    steps, fail = recorded
    fail["make 4"] = [ToolError("no luck", argv=("mkfs.btrfs",)), ToolError("again", argv=("mkfs.btrfs",))]
    with pytest.raises(ToolError, match="again"):
        Format().work(known())
    assert "read back twice" not in steps


def test_reads_back_finished_filesystems(recorded: Recorded) -> None:
    steps, _ = recorded
    Format().work(known(make=False))
    assert "make 0" in steps
    assert "read back twice" not in steps
    assert steps[-1] == "read back"


def test_refuses_a_filesystem_that_differs(recorded: Recorded) -> None:
    _, fail = recorded
    fail["read back twice"] = [ToolError("not there")]
    with pytest.raises(ToolError, match="not there"):
        Format().work(known())


def test_holds_while_every_superblock_is_the_one_that_was_made(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, fail = recorded
    found = facts()
    state = Format()
    assert state.holds(found)
    assert steps == ["read back"]
    fail["read back"] = [ToolError("gone")]
    assert not state.holds(found)
    monkeypatch.setattr(formatting, "read_back", lambda _: ())
    assert not state.holds(found)
