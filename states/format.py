"""State 4 of 6."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from zosstorage import filesystems
from zosstorage.block import claim, tables
from zosstorage.errors import ZosstorageError
from zosstorage.system import run
from zosstorage.value import Value, evolve
from zosstorage.work import formatting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Facts, PlannedFilesystem
    from zosstorage.witness import Look


class Format(Value):
    """Make every ESP and data filesystem that is to be made, all disks at once.

    It must not write into a partition that its disk's table does not mark as in progress right now, nor over anything
    that we would not make there. It holds while every superblock is the one that was made.
    """

    config: Config

    def holds(self, facts: Facts) -> bool:
        try:
            return formatting.read_back(facts) == facts.filesystems
        except ZosstorageError:
            return False

    def looks(self, facts: Facts) -> list[Look]:
        return [["bytes", device, *filesystems.DECISIVE] for one in facts.filesystems for device in one.devices]

    def work(self, facts: Facts) -> Facts:
        wanted = [filesystem for filesystem in facts.plan.filesystems if filesystem.make]
        with ExitStack() as stack:
            for planned in facts.plan.disks:
                stack.enter_context(claim.locked(planned.disk, exclusive=False))
            run.once_more(lambda: self._make(wanted, facts), lambda: None)
        return evolve(facts, format=formatting.read_back_twice(facts) if wanted else formatting.read_back(facts))

    def _make(self, wanted: Sequence[PlannedFilesystem], facts: Facts) -> None:
        formatting.make(wanted, facts, self.config, lambda: self._require_marks(facts))

    def _require_marks(self, facts: Facts) -> None:
        for planned in facts.plan.disks:
            claim.check(planned.disk)
        tables.require_nodes(facts.plan.disks, facts.partitions, self.config)
