"""State 3 of 6, the first that writes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from zosstorage.block import claim, tables
from zosstorage.errors import NotEmptyError, ZosstorageError
from zosstorage.model import Kind, Verdict
from zosstorage.system import run
from zosstorage.value import Value, evolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Facts, Plan, PlannedDisk
    from zosstorage.witness import Look


class Partition(Value):
    """Write the table, with its marks "in progress", onto every disk that needs one, and tell the kernel.

    It must not write to any disk before all of them were claimed and seen to be the same ones, blank still; and it
    believes a table only when both copies were read back. It holds while every disk carries the table of the plan, with
    its marks until Format is done.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        try:
            pending = facts.format is None  # what is made next needs the marks: without them the disks decide anew
            return tables.nodes(facts.plan.disks, self.config, marked=pending) == facts.partitions
        except ZosstorageError:
            return False

    def looks(self, facts: Facts) -> list[Look]:
        return [look for planned in facts.plan.disks for look in tables.looks(planned)]

    def work(self, facts: Facts) -> Facts:
        disks = facts.plan.disks
        written = [planned for planned in disks if planned.write_table]
        with ExitStack() as stack:
            for planned in written:
                stack.enter_context(claim.locked(planned.disk, exclusive=True))
            for planned in disks:
                claim.check(planned.disk)  # once they are held: waiting for a lock leaves time to swap a disk
            self._check_unchanged(written, facts.plan)
            run.once_more(lambda: tables.write(written), lambda: self._check_ours(written, facts.plan))
        tables.tell_kernel(disks)
        return evolve(facts, partition=tables.nodes(disks, self.config, marked=True))

    def _check_ours(self, disks: Sequence[PlannedDisk], plan: Plan) -> None:
        """After a failed write: each disk carries our table, torn perhaps, or is as blank as it was."""
        for planned in disks:
            claim.check(planned.disk)
            try:
                tables.recognised([planned], self.config)
            except NotEmptyError:
                self._check_unchanged([planned], plan)

    def _check_unchanged(self, disks: Sequence[PlannedDisk], plan: Plan) -> None:
        """The last look, with the disks ours alone: blank ones blank still, torn tables of ours still those."""
        from zosstorage.block import emptiness
        from zosstorage.planning import decide

        were_blank = {verdict.path for verdict in plan.verdicts if verdict.kind is Kind.BLANK}
        tables.recognised([planned for planned in disks if planned.disk.path not in were_blank], self.config)
        used = emptiness.no_longer_blank([planned.disk for planned in disks if planned.disk.path in were_blank])
        if used:
            verdicts = [Verdict(path, Kind.FOREIGN, evidence) for path, evidence in used.items()]
            raise decide.refusal(verdicts, len(plan.verdicts))
