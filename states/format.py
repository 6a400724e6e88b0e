"""Format, state 4 of 6."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block import claim, tables
from zosstorage.errors import ZosstorageError
from zosstorage.system import run
from zosstorage.work import formatting

if TYPE_CHECKING:
    from zosstorage.facts import Facts


@frozen
class Format:
    """Makes the ESPs and data filesystems of the plan, on all disks in parallel.

    It must not write to a partition unless the table on its disk has the in-progress flag for it right now, nor over
    anything that zosstorage would not make there. It holds while every superblock is the one that was made.
    """

    def holds(self, facts: Facts) -> bool:
        """Return whether every superblock is still the one that was made."""
        try:
            return formatting.read_back(facts) == facts.filesystems
        except ZosstorageError:
            return False

    def work(self, facts: Facts) -> Facts:
        """Make the filesystems and read them back.

        Raises:
            NotEmptyError: a partition carries something that zosstorage would not make there, or lacks its flag.
            ToolError: a mkfs failed twice, or a superblock differs from the plan.
        """
        wanted = [filesystem for filesystem in facts.plan.filesystems if filesystem.make]
        with ExitStack() as stack:
            for planned in facts.plan.disks:
                stack.enter_context(claim.locked(planned.disk, exclusive=False))
            run.retry_once(lambda: formatting.make(wanted, facts, lambda: _require_marks(facts)), lambda: None)
        return evolve(facts, format=formatting.read_back_twice(facts) if wanted else formatting.read_back(facts))


def _require_marks(facts: Facts) -> None:
    for planned in facts.plan.disks:
        claim.check(planned.disk)
    tables.require_partitions(facts.plan.disks, facts.partitions)
