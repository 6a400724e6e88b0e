"""Validate, state 2 of 6, the last that writes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block import claim, emptiness, sysfs
from zosstorage.config.schema import Config
from zosstorage.errors import ZosstorageError
from zosstorage.facts import Validated
from zosstorage.model import Kind
from zosstorage.planning.decide import decide
from zosstorage.planning.observe import observe
from zosstorage.planning.refusal import blank_text, evidence_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.facts import Facts
    from zosstorage.model import Disk

log = logging.getLogger(__name__)


@frozen
class Validate:
    """Decides whether the target disks may be written, makes the plan, and checks all that the rest of the run needs.

    It must not write, and it reports all problems at once. It holds while the disks are the same and, until the tables
    are written, no blank or unfinished disk was written to since it was read. If the kernel does not count writes, the
    disks are read again.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        """Return whether the disks are the same and unchanged since they were read."""
        try:
            for planned in facts.plan.disks:
                claim.check(planned.disk)
            return facts.partition is not None or self._unchanged(_expected_unchanged(facts), facts.validated)
        except ZosstorageError:
            return False

    def _unchanged(self, disks: Sequence[Disk], known: Validated) -> bool:
        if any(disk.diskseq is None or known.writes.get(disk.path) is None for disk in disks):
            seen = emptiness.observe(disks, self.config.validate.scan, self.config.partitions.esp_size)
            return all(emptiness.verdict(one) in known.verdicts for one in seen)
        claim.flush(disks)
        return all(sysfs.writes(disk) == known.writes[disk.path] for disk in disks)

    def work(self, facts: Facts) -> Facts:
        """Observe the machine and make the plan.

        Raises:
            NoDiskError, NotEmptyError, ToolError, ConfigError: the plan is refused; of several reasons, the class that
                comes first in this list is raised.
        """
        seen = observe(facts.discovery, self.config, trial=True)
        verdicts = tuple(map(emptiness.verdict, seen.disks))
        for verdict in verdicts:
            found = evidence_text(verdict.evidence) or blank_text(verdict)
            extra: dict[str, object] = {"event": "verdict", "disk": verdict.path, "kind": verdict.kind, "found": found}
            for first in verdict.evidence[:1]:
                extra |= {"check": first.check, "offset": first.offset}
            log.info("verdict", extra=extra)
        writes = {one.disk.path: one.writes for one in seen.disks}
        return evolve(facts, validate=Validated(decide(seen, self.config), verdicts, writes))


def _expected_unchanged(facts: Facts) -> list[Disk]:
    """Return the blank and unfinished disks; others may be in use, so writes to them are expected."""
    flagged = [planned.disk.path for planned in facts.plan.disks if planned.flagged]
    blank = [verdict.path for verdict in facts.validated.verdicts if verdict.kind is Kind.BLANK]
    return [disk for disk in facts.discovery.disks if disk.path in (*flagged, *blank)]
