"""State 3 of 6, the first that writes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from zosstorage.block import claim, tables
from zosstorage.errors import ZosstorageError
from zosstorage.system import run
from zosstorage.work import partitioning

if TYPE_CHECKING:
    from zosstorage.facts import Facts


@frozen
class Partition:
    """Write the table, with its marks "in progress", onto every disk that needs one, and tell the kernel.

    It must not write to any disk before all of them were claimed and seen to be the same ones, blank still; and it
    believes a table only when both copies were read back. It holds while every disk carries the table of the plan, with
    its marks until Format is done.
    """

    def holds(self, facts: Facts) -> bool:
        """Whether disks and kernel have the partitions that they had."""
        try:
            pending = facts.format is None  # what is made next needs the marks: without them the disks decide anew
            return tables.partitions(facts.plan.disks, marked=pending) == facts.partitions
        except ZosstorageError:
            return False

    def work(self, facts: Facts) -> Facts:
        """Write the tables.

        Raises:
            NotEmptyError: a disk is in use, is another, or is not what it was; nothing was written to any.
            ToolError: sfdisk or partx failed twice.
        """
        disks, total = facts.plan.disks, len(facts.discovery.disks)
        written = [planned for planned in disks if planned.write_table]
        with ExitStack() as stack:
            for planned in written:
                stack.enter_context(claim.locked(planned.disk, exclusive=True))
            for planned in disks:
                claim.check(planned.disk)  # once they are held: waiting for a lock leaves time to swap a disk
            partitioning.check_unchanged(written, total)
            run.retry_once(lambda: partitioning.write(written), lambda: partitioning.check_ours(written, total))
        partitioning.tell_kernel(disks)
        return evolve(facts, partition=tables.partitions(disks, marked=True))
