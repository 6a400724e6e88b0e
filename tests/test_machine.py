import itertools
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support import facts
from transitions import MachineError

from zosstorage import checkpoint as checkpoints
from zosstorage.checkpoint import Checkpoint
from zosstorage.errors import InterruptedRunError, NotEmptyError, ZosstorageError
from zosstorage.facts import STATES, Facts
from zosstorage.machine import ABORTED, EDGES, START, Provisioner, graph

KNOWN = facts()
States = dict[str, Any]  # FakeState by name


class FakeState:
    """A state with a fixed result; records its calls."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls
        self.is_holding = True
        self.error: BaseException | None = None

    def holds(self, known: Facts) -> bool:
        self.calls.append(f"holds {self.name}")
        assert getattr(known, self.name) is not None
        return self.is_holding

    def work(self, known: Facts) -> Facts:
        self.calls.append(f"work {self.name}")
        before = STATES[: STATES.index(self.name)]
        assert all(getattr(known, name) is not None for name in before)
        if self.error:
            raise self.error
        return evolve(known, **{self.name: getattr(KNOWN, self.name)})


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def states(calls: list[str]) -> States:
    return {name: FakeState(name, calls) for name in STATES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.json"


def machine(states: States, path: Path, found: Checkpoint | None = None) -> Provisioner:
    provisioner = Provisioner(states, path, found or checkpoints.load(path) or Checkpoint())
    provisioner.check_completed()
    return provisioner


def loaded(path: Path) -> Checkpoint:
    found = checkpoints.load(path)
    assert found
    return found


def statuses(path: Path) -> list[str]:
    return [record.status for record in loaded(path).states]


def logged(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """The log records of zosstorage, without those of transitions."""
    return [record for record in caplog.records if record.name.startswith("zosstorage")]


def works(calls: list[str]) -> list[str]:
    return [line.removeprefix("work ") for line in calls if line.startswith("work ")]


# Edges.


def test_edges_lead_to_the_next_state_or_to_aborted() -> None:
    forward = [(source, target) for trigger, source, target in EDGES if trigger == "advance"]
    assert forward == list(itertools.pairwise((START, *STATES)))
    out = [(source, target) for trigger, source, target in EDGES if trigger == "abort"]
    assert out == [(source, ABORTED) for source in (START, *STATES)]
    assert len(EDGES) == len(forward) + len(out)


def test_there_are_no_other_edges(states: States, path: Path) -> None:
    provisioner = machine(states, path)
    provisioner.run("validate")
    triggers = {name for name in dir(provisioner) if name.startswith("to_") or name in ("advance", "abort")}
    assert triggers == {"advance", "abort"}
    provisioner.abort()
    assert provisioner.state == ABORTED
    with pytest.raises(MachineError):
        provisioner.advance()
    with pytest.raises(MachineError):
        provisioner.abort()


def test_nothing_follows_the_last_state(states: States, path: Path) -> None:
    provisioner = machine(states, path)
    provisioner.run()
    with pytest.raises(MachineError):
        provisioner.advance()


# Runs.


def test_runs_every_state_once_in_order(states: States, path: Path, calls: list[str]) -> None:
    known = machine(states, path).run()
    assert calls == [f"work {name}" for name in STATES]
    assert known == KNOWN
    assert statuses(path) == ["done"] * 6
    assert loaded(path).facts() == KNOWN


def test_the_checkpoint_is_saved_after_each_state(states: States, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = []
    monkeypatch.setattr(checkpoints, "save", lambda _, found: saved.append(found.completed))
    machine(states, path, Checkpoint()).run()
    assert saved == [1, 2, 3, 4, 5, 6]


def test_records_times(states: States, path: Path) -> None:
    machine(states, path).run("discover")
    record = loaded(path).record("discover")
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert record.started
    assert record.finished
    assert re.fullmatch(time, record.started)
    assert re.fullmatch(time, record.finished)
    assert record.started <= record.finished
    assert record.seconds is not None
    assert record.seconds >= 0
    assert record.error is None


def test_progress_is_logged(states: States, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "zosstorage"):
        machine(states, path).run("validate")
    assert [record.message for record in logged(caplog)] == [
        "state 1/6 discover: started",
        "state 1/6 discover: done",
        "state 2/6 validate: started",
        "state 2/6 validate: done",
    ]


@pytest.mark.parametrize("until", STATES)
def test_runs_up_to_and_including_a_state(states: States, path: Path, calls: list[str], until: str) -> None:
    machine(states, path).run(until)
    count = STATES.index(until) + 1
    assert works(calls) == list(STATES[:count])
    assert statuses(path) == ["done"] * count + ["pending"] * (6 - count)


# Failures.


@pytest.mark.parametrize("name", STATES)
def test_a_failed_state_aborts_the_run(states: States, path: Path, calls: list[str], name: str) -> None:
    states[name].error = NotEmptyError("not empty", hint="erase it")
    provisioner = machine(states, path)
    with pytest.raises(NotEmptyError):
        provisioner.run()
    assert provisioner.state == ABORTED
    number = STATES.index(name)
    assert works(calls) == list(STATES[: number + 1])
    assert statuses(path) == ["done"] * number + ["failed"] + ["pending"] * (5 - number)
    record = loaded(path).record(name)
    assert record.error
    assert (record.error.message, record.error.hint, record.error.exit_code) == ("not empty", "erase it", 5)
    assert record.facts is None
    assert record.finished


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (InterruptedRunError("SIGTERM", 15), "stopped by SIGTERM", 143),
        (KeyError("x"), "KeyError: 'x'", 1),
        (KeyboardInterrupt(), "KeyboardInterrupt: ", 1),
    ],
    ids=str,
)
def test_saves_other_exceptions(states: States, path: Path, error: BaseException, message: str, code: int) -> None:
    states["format"].error = error
    provisioner = machine(states, path)
    with pytest.raises(type(error)):
        provisioner.run()
    assert provisioner.state == ABORTED
    failure = loaded(path).record("format").error
    assert failure
    assert (failure.message, failure.exit_code) == (message, code)


def test_runs_a_failed_state_again_and_removes_its_error(states: States, path: Path, calls: list[str]) -> None:
    states["format"].error = NotEmptyError("not empty")
    with pytest.raises(NotEmptyError):
        machine(states, path).run()
    states["format"].error = None
    calls.clear()
    machine(states, path).run()
    assert works(calls) == ["format", "mount", "report"]
    assert loaded(path).record("format").error is None


def test_raises_the_error_of_the_state_if_saving_fails_too(
    states: States, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ZosstorageError("no space")

    states["discover"].error = NotEmptyError("not empty")
    monkeypatch.setattr(checkpoints, "save", full)
    with pytest.raises(NotEmptyError):
        machine(states, path, Checkpoint()).run()


def test_a_checkpoint_that_cannot_be_saved_stops_the_run(
    states: States, path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise ZosstorageError("no space")

    monkeypatch.setattr(checkpoints, "save", full)
    provisioner = machine(states, path, Checkpoint())
    with pytest.raises(ZosstorageError, match="no space"):
        provisioner.run()
    assert works(calls) == ["discover"]
    assert provisioner.state == ABORTED


# Reruns.


@pytest.mark.parametrize("count", range(1, 7))
def test_skips_states_that_are_done_and_hold(states: States, path: Path, calls: list[str], count: int) -> None:
    machine(states, path).run(STATES[count - 1])
    calls.clear()
    provisioner = machine(states, path)
    assert provisioner.skip == count
    assert provisioner.run() == KNOWN
    assert calls == [f"holds {name}" for name in STATES[:count]] + [f"work {name}" for name in STATES[count:]]


def test_does_and_saves_nothing_if_all_states_hold(
    states: States, path: Path, calls: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    machine(states, path).run()
    before = path.stat()
    calls.clear()
    with caplog.at_level(logging.INFO, "zosstorage"):
        assert machine(states, path).run() == KNOWN
    assert works(calls) == []
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert [record.message for record in logged(caplog)] == ["already done in this boot: every state still holds"]


@pytest.mark.parametrize("name", STATES)
def test_starts_over_if_a_state_does_not_hold(
    states: States, path: Path, calls: list[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    machine(states, path).run()
    states[name].is_holding = False
    calls.clear()
    with caplog.at_level(logging.WARNING, "zosstorage"):
        provisioner = machine(states, path)
        assert provisioner.run() == KNOWN
    assert provisioner.skip == 0
    assert works(calls) == list(STATES)
    asked = [line for line in calls if line.startswith("holds")]
    assert asked == [f"holds {asked_of}" for asked_of in STATES[: STATES.index(name) + 1]]
    assert f"the state {name}" in logged(caplog)[0].reason


def test_starts_over_if_the_facts_cannot_be_read(states: States, path: Path, calls: list[str]) -> None:
    machine(states, path).run("partition")
    found = loaded(path)
    found.record("validate").facts = {"action": "create"}
    checkpoints.save(path, found)
    calls.clear()
    machine(states, path).run()
    assert calls == [f"work {name}" for name in STATES]


def test_checking_completed_states_writes_nothing(states: States, path: Path) -> None:
    machine(states, path).run("partition")
    text = path.read_bytes()
    states["discover"].is_holding = False
    machine(states, path)
    assert path.read_bytes() == text


def test_asks_no_state_if_none_is_done(states: States, path: Path, calls: list[str]) -> None:
    provisioner = machine(states, path)
    assert (calls, provisioner.skip, provisioner.facts) == ([], 0, Facts())


def test_runs_one_state_per_step(states: States, path: Path, calls: list[str]) -> None:
    """`step` runs each state in its own process."""
    for name in STATES:
        calls.clear()
        provisioner = machine(states, path)
        provisioner.run(STATES[provisioner.skip])
        assert works(calls) == [name]
    assert statuses(path) == ["done"] * 6


# The diagram.


def test_draws_mermaid() -> None:
    text = graph("mermaid")
    assert "stateDiagram" in text
    for trigger, source, target in EDGES:
        assert f"{source} --> {target}: {trigger}" in text
    assert len(re.findall(r"-->.*: (advance|abort)", text)) == len(EDGES)


def test_draws_dot() -> None:
    text = graph("dot")
    assert text.startswith("digraph zosstorage {\n")
    assert text.endswith("}\n")
    for trigger, source, target in EDGES:
        assert f'"{source}" -> "{target}" [label="{trigger}"];' in text
    assert text.count("->") == len(EDGES)


@pytest.mark.parametrize("error", [IndexError("x"), StopIteration(), KeyError("x")], ids=str)
def test_starts_over_if_the_facts_contradict_each_other(
    states: States, path: Path, calls: list[str], error: BaseException
) -> None:
    """A checkpoint was edited by hand: facts name something that is not in them."""
    machine(states, path).run()

    def holds(_: object) -> bool:
        raise error

    states["mount"].holds = holds
    calls.clear()
    assert machine(states, path).run() == KNOWN
    assert works(calls) == list(STATES)
