"""The state machine: six states forward, or aborted; a checkpoint after each state and on failure."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field
from transitions import Machine

from zosstorage import checkpoint as checkpoints
from zosstorage.checkpoint import Checkpoint
from zosstorage.converter import unstructure
from zosstorage.errors import ExitCode, InterruptedRunError, ToolError, ZosstorageError
from zosstorage.facts import STATES, Facts
from zosstorage.system import signals

if TYPE_CHECKING:
    from zosstorage.checkpoint import StateRecord

log = logging.getLogger(__name__)

START, ABORTED = "start", "aborted"
# The machine's edges, in order: (trigger, source, destination).
EDGES = [
    *(("advance", source, target) for source, target in zip((START, *STATES), STATES, strict=False)),
    *(("abort", source, ABORTED) for source in (START, *STATES)),
]


class State(Protocol):
    """One of the six."""

    def holds(self, facts: Facts) -> bool:
        """Whether what this state found or made is still true on this machine; writes nothing."""

    def work(self, facts: Facts) -> Facts:
        """Do it, and hand on the facts with one thing more."""


@define(slots=False)  # the machine adds its triggers
class Provisioner:
    """The model of the machine: drives the states over one checkpoint.

    Attributes:
        skip: how many states at the start are done and still hold.
    """

    states: Mapping[str, State]
    path: Path
    checkpoint: Checkpoint
    facts: Facts = field(factory=Facts)
    skip: int = 0
    state: str = START

    def rely(self) -> None:
        """Hold every completed state of the checkpoint against the machine; if one no longer holds, begin again."""
        done = self.checkpoint.completed
        try:
            self.facts = self.checkpoint.facts() if done else Facts()
        except ValueError as error:
            self._begin_again(str(error))
            return
        for name in STATES[:done]:
            if not self._holds(name):
                self._begin_again(f"what the state {name} made is no longer there as it was")
                return
        self.skip = done

    def _holds(self, name: str) -> bool:
        try:
            return self.states[name].holds(self.facts)
        except (LookupError, StopIteration, OSError):  # facts that do not fit each other or the machine
            return False

    def _begin_again(self, reason: str) -> None:
        log.warning("checkpoint not trusted, the disks decide", extra={"reason": reason})
        self.checkpoint.forget(STATES[0])
        self.facts = Facts()

    def run(self, until: str = STATES[-1]) -> Facts:
        """Go forward up to and with a state.

        Raises:
            ZosstorageError: a state failed; the machine is aborted and the checkpoint tells it.
        """
        if self.skip == len(STATES):
            log.info("already done in this boot: every state still holds", extra={"states": list(STATES)})
            return self.facts
        Machine(self, model_override=True, **_definition("enter"))
        try:
            while self.state != until:
                self.advance()
        except BaseException:
            self.abort()
            raise
        return self.facts

    def advance(self) -> bool:
        """Go on to the next state; the machine puts its trigger in the place of this method."""
        raise NotImplementedError

    def abort(self) -> bool:
        """Go to the state "aborted", from any other; likewise."""
        raise NotImplementedError

    def enter(self) -> None:
        """Called by the machine when it has entered a state: work, or skip what holds."""
        signals.check()
        number = STATES.index(self.state)
        progress = f"state {number + 1}/{len(STATES)} {self.state}"
        if number < self.skip:
            log.info("%s: still holds, skipped", progress)
            return
        log.info("%s: begins", progress)
        seconds = self._work(self.checkpoint.record(self.state))
        log.info("%s: done", progress, extra={"seconds": seconds})

    def _work(self, record: StateRecord) -> float:
        began = time.monotonic()
        record.started, record.error = _now(), None
        try:
            self.facts = self._run_state(record.name)
        except BaseException as error:
            try:
                self._finish(record, began, "failed", _failure(error))
            except ZosstorageError as unsaved:  # the reason why the state failed matters more
                log.warning("%s", unsaved.message)
            raise
        record.facts = unstructure(getattr(self.facts, record.name))
        return self._finish(record, began, "done", None)

    def _run_state(self, name: str) -> Facts:
        """The work of a state; what the system refuses it is a failure of the machine, not a defect of ours.

        Raises:
            ToolError: a system call failed.
        """
        try:
            return self.states[name].work(self.facts)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message = f"the state {name} failed: {error.strerror or error}{where}"
            raise ToolError(message, hint="look for I/O errors in the kernel's log and run again") from error

    def _finish(
        self, record: StateRecord, began: float, status: checkpoints.Status, error: checkpoints.Failure | None
    ) -> float:
        record.status, record.error = status, error
        record.finished, record.seconds = _now(), round(time.monotonic() - began, 3)
        checkpoints.save(self.path, self.checkpoint)
        return record.seconds


def _definition(entered: str | None = None) -> dict[str, Any]:
    """Forward edges and an explicit abort, nothing automatic.

    The work is done after the state has changed (`after` and not `on_enter`, so that "aborted" needs no special case).
    """
    return {
        "states": [START, *STATES, ABORTED],
        "transitions": [
            {"trigger": trigger, "source": source, "dest": target, "after": entered if trigger == "advance" else None}
            for trigger, source, target in EDGES
        ],
        "initial": START,
        "auto_transitions": False,
    }


def graph(form: str) -> str:
    """The machine as a diagram, `mermaid` or `dot`, drawn from the machine itself."""
    if form == "mermaid":
        from transitions.extensions import GraphMachine  # noqa: PLC0415 - 20 ms that only a drawing needs

        # The engine writes the title as the whole front matter, which is YAML with the key `title`.
        machine = GraphMachine(graph_engine="mermaid", title="title: zosstorage", **_definition())
        return str(machine.get_combined_graph().source)  # type: ignore[attr-defined]  # the engine's own class
    return _dot(Machine(None, **_definition()))


def _dot(machine: Machine) -> str:
    nodes = [f'  "{name}";' for name in machine.states]
    edges = [
        f'  "{edge.source}" -> "{edge.dest}" [label="{trigger}"];'
        for trigger, event in machine.events.items()
        for edges in event.transitions.values()
        for edge in edges
    ]
    return "\n".join(["digraph zosstorage {", "  rankdir=LR;", *nodes, *edges, "}", ""])


def _failure(error: BaseException) -> checkpoints.Failure:
    if isinstance(error, InterruptedRunError):
        return checkpoints.Failure(error.message, error.hint, 128 + error.number)
    if isinstance(error, ZosstorageError):
        return checkpoints.Failure(error.message, error.hint, int(error.exit_code))
    return checkpoints.Failure(
        f"{type(error).__name__}: {error}", "this is a defect of zosstorage", int(ExitCode.DEFECT)
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
