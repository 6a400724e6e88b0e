"""State 4 of 6."""

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
    """Make every ESP and data filesystem that is to be made, all disks at once.

    It must not write into a partition that its disk's table does not mark as in progress right now, nor over anything
    that we would not make there. It holds while every superblock is the one that was made.
    """

    def holds(self, facts: Facts) -> bool:
        """Whether every superblock reads as it did."""
        try:
            return formatting.read_back(facts) == facts.filesystems
        except ZosstorageError:
            return False

    def work(self, facts: Facts) -> Facts:
        """Make them.

        Raises:
            NotEmptyError: a partition carries what we would not make there, or its mark is gone.
            ToolError: a mkfs failed twice, or what it made reads otherwise.
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
