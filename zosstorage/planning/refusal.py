"""Refusals: verdicts and contradictions as errors, several as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zosstorage.errors import ConfigError, NoDiskError, NotEmptyError, ToolError, ZosstorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zosstorage.model import Evidence, Verdict


def refusal(verdicts: Sequence[Verdict], total: int) -> NotEmptyError:
    """The refusal of a whole run: every disk with all its evidence. `total` is the number of target disks."""
    told = "; ".join(f"{verdict.path}: {tell(verdict.evidence)}" for verdict in verdicts)
    hints = dict.fromkeys(found.hint for verdict in verdicts for found in verdict.evidence if found.hint)
    count = f"{len(verdicts)} of {total} target disk{'s' if total > 1 else ''} may not be written"
    return NotEmptyError(f"{count}, nothing was written: {told}", hint="; ".join(hints))


def tell(evidence: Iterable[Evidence]) -> str:
    """Findings as text: what, at which byte, by which check."""
    return ", ".join(
        f"{found.found} ({f'at byte {found.offset}, ' if found.offset is not None else ''}check: {found.check})"
        for found in evidence
    )


def contradiction(message: str, hint: str) -> NotEmptyError:
    """The refusal of disks that contradict each other or the configuration."""
    return NotEmptyError(f"{message}; nothing was written", hint=hint)


def together(problems: Sequence[ZosstorageError]) -> ZosstorageError:
    """One error of all: the weightiest kind, every message, every hint once."""
    kinds = (NoDiskError, NotEmptyError, ToolError, ConfigError)
    kind = next(kind for kind in kinds if any(isinstance(problem, kind) for problem in problems))
    hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
    return kind("; ".join(problem.message for problem in problems), hint="; ".join(hints))


def blankness(verdict: Verdict) -> str:
    """What a blank disk was found to be, and how much of it was read."""
    amount = f": {verdict.read}" if verdict.read else ""
    return f"no signature, nothing uses it, every byte that was read is zero{amount}"
