"""Refusals: make errors of verdicts and contradictions, and one error of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.errors import ConfigError, Finding, NoDiskError, NotEmptyError, ToolError, ZosstorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.model import Evidence, Verdict


def refusal(verdicts: Sequence[Verdict], total: int) -> NotEmptyError:
    """Refuse a whole run because of disks that may not be written.

    Args:
        verdicts: the verdicts on these disks; the message has all their evidence.
        total: the number of target disks.
    """
    reasons = "; ".join(f"{verdict.path}: {evidence_text(verdict.evidence)}" for verdict in verdicts)
    hints = dict.fromkeys(found.hint for verdict in verdicts for found in verdict.evidence if found.hint)
    count = f"{len(verdicts)} of {total} target disk{'s' if total > 1 else ''} may not be written"
    evidence = tuple(
        Finding(verdict.path, found.check, found.offset, found.found)
        for verdict in verdicts
        for found in verdict.evidence
    )
    return NotEmptyError(f"{count}, nothing was written: {reasons}", hint="; ".join(hints), evidence=evidence)


def evidence_text(evidence: Iterable[Evidence]) -> str:
    """Findings in one line of text: what was found, at which byte, by which check."""
    return ", ".join(
        f"{found.found} ({f'at byte {found.offset}, ' if found.offset is not None else ''}check: {found.check})"
        for found in evidence
    )


def contradiction(message: str, hint: str) -> NotEmptyError:
    """Refuse disks that contradict each other or the configuration."""
    return NotEmptyError(f"{message}; nothing was written", hint=hint)


def combined(problems: Sequence[ZosstorageError]) -> ZosstorageError:
    """Combine errors into one: all messages, each hint once, and the class that comes first in this order.

    NoDiskError, NotEmptyError, ToolError, ConfigError. The class determines the exit code.
    """
    kinds = (NoDiskError, NotEmptyError, ToolError, ConfigError)
    kind = next(kind for kind in kinds if any(isinstance(problem, kind) for problem in problems))
    hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
    error = kind("; ".join(problem.message for problem in problems), hint="; ".join(hints))
    error.evidence = tuple(found for problem in problems for found in problem.evidence)
    return error


def blank_text(verdict: Verdict) -> str:
    """Why a disk counts as blank, and how much of it was read."""
    amount = f": {verdict.read}" if verdict.read else ""
    return f"no signature, nothing uses it, every byte that was read is zero{amount}"
