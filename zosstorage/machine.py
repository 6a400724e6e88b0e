"""The state machine: runs the six states in order, or aborts; saves the checkpoint after each state and failure."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import define, field
from transitions import Machine

from zosstorage import checkpoint as checkpoints
from zosstorage.checkpoint import Checkpoint
from zosstorage.converter import unstructure
from zosstorage.errors import ExitCode, InterruptedRunError, ToolError, ZosstorageError
from zosstorage.facts import STATES, Facts
from zosstorage.output import logs
from zosstorage.system import signals
from zosstorage.text import utc_now

if TYPE_CHECKING:
    from zosstorage.checkpoint import StateRecord

log = logging.getLogger(__name__)

START, ABORTED = "start", "aborted"
# The machine's edges, in order: (trigger, source, destination).
EDGES = [
    *(("advance", source, target) for source, target in zip((START, *STATES), STATES, strict=False)),
    *(("abort", source, ABORTED) for source in (START, *STATES)),
]


# What to do about a system call that failed, by its error.
_HINTS = {
    errno.EIO: "look for I/O errors in the kernel's log and run again",
    errno.EPERM: "run it as root with all capabilities: a container or a security module forbids it",
    errno.EACCES: "run it as root with all capabilities: a container or a security module forbids it",
    errno.ENOSPC: "free space there and run again",
    errno.EROFS: "make that filesystem writable and run again",
    errno.ENOMEM: "free memory and run again",
}
_ANY_HINT = "look for its cause in the kernel's log and run again"


class State(Protocol):
    """One of the six states."""

    def holds(self, facts: Facts) -> bool:
        """Return whether the result of this state is still there on this machine; writes nothing."""

    def work(self, facts: Facts) -> Facts:
        """Do the work of this state and return the facts with its result added."""


@define(slots=False)  # transitions adds the triggers as attributes
class Provisioner:
    """The model of the state machine, in the sense of transitions: runs the states and keeps their checkpoint.

    Attributes:
        states: the states by name.
        path: the file of the checkpoint.
        checkpoint: which states are done, with their facts.
        facts: what the completed states found or made.
        skip: how many of the first states are done and still hold.
        state: the current state.
        entered: the last state that was entered; None before the first one.
    """

    states: Mapping[str, State]
    path: Path
    checkpoint: Checkpoint
    facts: Facts = field(factory=Facts)
    skip: int = 0
    state: str = START
    entered: str | None = None

    def check_completed(self) -> None:
        """Ask each completed state of the checkpoint whether it holds; if one does not, forget the checkpoint."""
        done = self.checkpoint.completed
        try:
            self.facts = self.checkpoint.facts() if done else Facts()
        except ValueError as error:
            self._start_over(str(error))
            return
        for name in STATES[:done]:
            if not self._holds(name):
                self._start_over(f"the result of the state {name} is gone or has changed")
                return
        self.skip = done

    def _holds(self, name: str) -> bool:
        try:
            return self.states[name].holds(self.facts)
        except (LookupError, StopIteration, OSError):  # the facts contradict each other or the machine
            return False

    def _start_over(self, reason: str) -> None:
        log.warning(
            "checkpoint not trusted, starting at discover", extra={"event": "checkpoint.untrusted", "reason": reason}
        )
        self.checkpoint.forget(STATES[0])
        self.facts = Facts()

    def run(self, until: str = STATES[-1]) -> Facts:
        """Run all states up to and including a state; return the facts.

        Raises:
            ZosstorageError: a state failed; the machine is aborted and the checkpoint has the error.
        """
        if self.skip == len(STATES):
            log.info(
                "already done in this boot: every state still holds", extra={"event": "done", "states": list(STATES)}
            )
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
        """Go to the next state; transitions replaces this method by its trigger."""
        raise NotImplementedError

    def abort(self) -> bool:
        """Go to `aborted` from any other state; transitions replaces this method by its trigger."""
        raise NotImplementedError

    def enter(self) -> None:
        """Do the work of the state that was entered, or skip it if it holds; transitions calls this method."""
        signals.check()
        self.entered = self.state
        logs.CONTEXT["state"] = self.state
        number = STATES.index(self.state)
        progress = f"state {number + 1}/{len(STATES)} {self.state}"
        if number < self.skip:
            log.info("%s: still holds, skipped", progress, extra={"event": "state.skipped"})
            return
        log.info("%s: started", progress, extra={"event": "state.begin"})
        seconds = self._work(self.checkpoint.record(self.state))
        log.info("%s: done", progress, extra={"event": "state.end", "seconds": seconds})

    def _work(self, record: StateRecord) -> float:
        began = time.monotonic()
        record.started, record.error = utc_now("milliseconds"), None
        try:
            self.facts = self._run_state(record.name)
        except BaseException as error:
            try:
                self._finish(record, began, "failed", _failure(error))
            except ZosstorageError as unsaved:  # the error of the state is more important, so it is raised
                log.warning("%s", unsaved.message, extra={"event": "checkpoint.unsaved"})
            raise
        record.facts = unstructure(getattr(self.facts, record.name))
        return self._finish(record, began, "done", None)

    def _run_state(self, name: str) -> Facts:
        """Call `work` of a state and return the facts.

        Raises:
            ToolError: a system call failed, which is a failure of the machine and not a defect of zosstorage.
        """
        try:
            return self.states[name].work(self.facts)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            message = f"the state {name} failed: {error.strerror or error}{where}"
            raise ToolError(message, hint=_HINTS.get(error.errno or 0, _ANY_HINT)) from error

    def _finish(
        self, record: StateRecord, began: float, status: checkpoints.Status, error: checkpoints.Failure | None
    ) -> float:
        record.status, record.error = status, error
        record.finished, record.seconds = utc_now("milliseconds"), round(time.monotonic() - began, 3)
        checkpoints.save(self.path, self.checkpoint)
        return record.seconds


def reset(checkpoint: Checkpoint, start: str) -> str:
    """Forget a state and all later ones; return what the next run does.

    A finished system has no in-progress flags left, and Validate, Partition and Format are never done over on it: the
    states before them then hold no longer, and the next run starts at discover.
    """
    finished = checkpoint.record("mount").status == "done"
    checkpoint.forget(start)
    if finished and start in ("partition", "format"):
        return f"forgot {start} and later states; the disks are finished, so that the next run examines them again"
    following = STATES[min(checkpoint.completed, len(STATES) - 1)]
    return f"forgot {start} and later states; the next run continues with {following}"


def _definition(entered: str | None = None) -> dict[str, Any]:
    """Return the arguments for Machine: forward edges and an explicit abort, without automatic transitions.

    `entered` is the callback that does the work. It is an `after` callback, which runs when the state has changed;
    `on_enter` would run for `aborted` too.
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
    """Return the state machine as a diagram in the language `mermaid` or `dot`."""
    if form == "mermaid":
        from transitions.extensions import GraphMachine  # noqa: PLC0415 - takes 20 ms, which only this command needs

        # transitions writes the title as the whole front matter, which must be YAML with the key `title`.
        machine = GraphMachine(graph_engine="mermaid", title="title: zosstorage", **_definition())
        return str(machine.get_combined_graph().source)  # type: ignore[attr-defined]  # a class of the mermaid engine
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
