"""Partition, state 3 of 6, the first that writes."""

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
    """Writes the table, with its in-progress flags, to each disk that needs one, and makes it known to the kernel.

    It must not write to any disk before it has claimed all of them and checked that they are the same and still blank.
    A table counts as written once both copies are read back. It holds while every disk carries the table of the plan
    and, until Format is done, all its in-progress flags.
    """

    def holds(self, facts: Facts) -> bool:
        """Return whether the disks and the kernel still have the partitions."""
        try:
            pending = facts.format is None  # Format needs the flags; if one is gone, the disks must be examined again
            return tables.partitions(facts.plan.disks, marked=pending) == facts.partitions
        except ZosstorageError:
            return False

    def work(self, facts: Facts) -> Facts:
        """Write the tables.

        Raises:
            NotEmptyError: a disk is in use, was replaced or has changed; nothing was written to any disk.
            ToolError: sfdisk failed twice, or partx failed.
        """
        disks, total = facts.plan.disks, len(facts.discovery.disks)
        written = [planned for planned in disks if planned.write_table]
        with ExitStack() as stack:
            for planned in written:
                stack.enter_context(claim.locked(planned.disk, exclusive=True))
            for planned in disks:
                claim.check(planned.disk)  # after the claim: a disk can be swapped while the claim waits for a lock
            partitioning.check_unchanged(written, total)
            run.retry_once(lambda: partitioning.write(written), lambda: partitioning.check_ours(written, total))
        partitioning.tell_kernel(disks)
        return evolve(facts, partition=tables.partitions(disks, marked=True))
