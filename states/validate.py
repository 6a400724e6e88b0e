"""State 2 of 6, the last that writes nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from zosstorage.block import claim
from zosstorage.block.gpt import MIB
from zosstorage.config.choices import Scan
from zosstorage.errors import ConfigError, NoDiskError, NotEmptyError, ToolError, ZosstorageError
from zosstorage.value import Value, evolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Discovery, Facts, Plan, Verdict
    from zosstorage.witness import Look

log = logging.getLogger(__name__)


class Validate(Value):
    """Decide whether every target disk may be written, make the plan, and check all that the whole run will need.

    It must not write, and it tells all problems at once. Once the tables are written it holds while the disks are the
    same ones; before that, while every disk still gets the verdict that it got.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        try:
            for planned in facts.plan.disks:
                claim.check(planned.disk)
            return facts.partition is not None or self.examine(facts.discovery) == facts.plan.verdicts
        except ZosstorageError:
            return False

    def looks(self, facts: Facts) -> list[Look]:
        """The disks' identities are among what Discover looks at."""
        return [["nodes", *(planned.disk.path for planned in facts.plan.disks)]]

    def work(self, facts: Facts) -> Facts:
        from zosstorage.planning import decide

        verdicts = self.examine(facts.discovery)
        for verdict in verdicts:
            found = decide.tell(verdict.evidence) or "no signature, no user, every byte that was read is zero"
            log.info("verdict", extra={"disk": verdict.path, "kind": verdict.kind, "found": found})
        return evolve(facts, validate=self.judge(facts.discovery, verdicts))

    def examine(self, discovery: Discovery) -> tuple[Verdict, ...]:
        """The verdict on every eligible disk.

        Raises:
            ToolError: a prober is missing or failed.
        """
        from zosstorage.block import emptiness
        from zosstorage.planning import preflight

        if missing := preflight.check_tools(preflight.EXAMINING):
            raise _together(missing)
        return emptiness.examine(discovery.disks, self.config)

    def examine_rejected(self, discovery: Discovery) -> tuple[Verdict, ...]:
        """The verdicts on the other disks, for whoever asks for the plan; none where there is nothing to read.

        A full scan is for disks that may be written: of these a sample will do.
        """
        from zosstorage.block import emptiness
        from zosstorage.planning import preflight

        if preflight.check_tools(preflight.EXAMINING):
            return ()
        scan = Scan.SAMPLED if self.config.validate.scan is Scan.FULL else self.config.validate.scan
        disks = [one.disk for one in discovery.rejected if one.disk.size_bytes >= 2 * MIB]
        return emptiness.examine_aside(disks, evolve(self.config, validate=evolve(self.config.validate, scan=scan)))

    def judge(self, discovery: Discovery, verdicts: Sequence[Verdict]) -> Plan:
        """The plan, or everything that is in its way.

        Raises:
            NoDiskError, NotEmptyError, ToolError: in this order of weight, with all messages.
            ConfigError: a mount target is taken.
        """
        from zosstorage.planning import decide, places, preflight

        try:
            plan = decide.decide(discovery, verdicts, self.config)
        except (NoDiskError, NotEmptyError) as error:
            raise _together([error, *preflight.check_tools(preflight.ALWAYS)]) from None
        problems = [
            *preflight.check_copies(plan),
            *preflight.check_tools(preflight.needed(plan)),
            *preflight.check_kernel(plan),
            *preflight.check_twice(plan),
            *places.check(plan, self.config),
        ]
        if problems:
            raise _together(problems)
        return plan


def _together(problems: Sequence[ZosstorageError]) -> ZosstorageError:
    """One error of all: the weightiest kind, every message, every hint once."""
    kinds = (NoDiskError, NotEmptyError, ToolError, ConfigError)
    kind = next(kind for kind in kinds if any(isinstance(problem, kind) for problem in problems))
    hints = dict.fromkeys(problem.hint for problem in problems if problem.hint)
    return kind("; ".join(problem.message for problem in problems), hint="; ".join(hints))
