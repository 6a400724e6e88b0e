"""State 2 of 6, the last that writes nothing."""

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
    """Decide whether every target disk may be written, make the plan, and check all that the whole run will need.

    It must not write, and it tells all problems at once. It holds while the disks are the same ones and, until the
    tables are written, nobody wrote since they were read to a blank one, or to one that is to be written. Where the
    kernel does not count writes, they are read again.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        """Whether the disks are the same ones, and as they were when they were read."""
        try:
            for planned in facts.plan.disks:
                claim.check(planned.disk)
            return facts.partition is not None or self._as_examined(_still(facts), facts.validated)
        except ZosstorageError:
            return False

    def _as_examined(self, disks: Sequence[Disk], known: Validated) -> bool:
        if any(disk.diskseq is None or known.writes.get(disk.path) is None for disk in disks):
            seen = emptiness.observe(disks, self.config.validate.scan, self.config.partitions.esp_size)
            return all(emptiness.verdict(one) in known.verdicts for one in seen)
        claim.flush(disks)
        return all(sysfs.writes(disk) == known.writes[disk.path] for disk in disks)

    def work(self, facts: Facts) -> Facts:
        """Read what the plan follows from, and make it.

        Raises:
            NoDiskError, NotEmptyError, ToolError, ConfigError: what is in the way, in this order of weight.
        """
        seen = observe(facts.discovery, self.config)
        verdicts = tuple(map(emptiness.verdict, seen.disks))
        for verdict in verdicts:
            found = evidence_text(verdict.evidence) or blank_text(verdict)
            log.info("verdict", extra={"disk": verdict.path, "kind": verdict.kind, "found": found})
        writes = {one.disk.path: one.writes for one in seen.disks}
        return evolve(facts, validate=Validated(decide(seen, self.config), verdicts, writes))


def _still(facts: Facts) -> list[Disk]:
    """The disks that nobody has a reason to write to: a finished or a foreign one may be in use."""
    flagged = [planned.disk.path for planned in facts.plan.disks if planned.flagged]
    blank = [verdict.path for verdict in facts.validated.verdicts if verdict.kind is Kind.BLANK]
    return [disk for disk in facts.discovery.disks if disk.path in (*flagged, *blank)]
