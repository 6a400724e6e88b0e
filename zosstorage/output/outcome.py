"""What a state found or made, in one sentence: for a person who goes through the states one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.facts import STATES
from zosstorage.text import size

if TYPE_CHECKING:
    from collections.abc import Sized

    from zosstorage.facts import Facts


def text(name: str, facts: Facts) -> str:
    """Say what the completed state `name` found or made, and which comes next."""
    number = STATES.index(name) + 1
    following = f"next: {STATES[number]}" if number < len(STATES) else "that was the last state"
    return f"{name} {_SENTENCES[name](facts)}; {following}"


def _discover(facts: Facts) -> str:
    found = facts.discovery
    disks = ", ".join(f"{disk.path} ({size(disk.size_bytes)})" for disk in found.disks)
    return f"found {_count(found.disks, 'eligible disk')}: {disks}; {len(found.rejected)} rejected"


def _validate(facts: Facts) -> str:
    kinds = ", ".join(f"{verdict.path} is {verdict.kind}" for verdict in facts.validated.verdicts)
    return f"planned to {facts.plan.action} {facts.plan.topology}: {kinds}"


def _partition(facts: Facts) -> str:
    written = sum(one.write_table for one in facts.plan.disks)
    return f"wrote {_count(range(written), 'table')}; there are {_count(facts.partitions, 'partition')}"


def _format(facts: Facts) -> str:
    made = sum(one.make for one in facts.plan.filesystems)
    return f"made {made} of {_count(facts.filesystems, 'filesystem')}"


def _mount(facts: Facts) -> str:
    return f"made {_count(facts.mounted.mounts, 'mount')}; the primary is {facts.mounted.primary}"


def _report(facts: Facts) -> str:
    return f"wrote {facts.written.report}: {facts.written.status}"


def _count(things: Sized, name: str) -> str:
    number = len(things)
    return f"{number} {name}{'' if number == 1 else 's'}"


_SENTENCES = {
    "discover": _discover,
    "validate": _validate,
    "partition": _partition,
    "format": _format,
    "mount": _mount,
    "report": _report,
}
