"""State 5 of 6."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from zosstorage.block import claim, tables
from zosstorage.errors import NotEmptyError, ToolError, ZosstorageError
from zosstorage.filesystems import data_module
from zosstorage.system import run, threads
from zosstorage.value import Value, evolve, field
from zosstorage.work import formatting, mounting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.config.schema import Config
    from zosstorage.model import Facts, Plan, PlannedDisk
    from zosstorage.witness import Look
    from zosstorage.work.mounting import Wanted


class Mount(Value):
    """Mount each data filesystem by UUID, make the subvolumes on a new primary, clear the marks, mount the targets.

    It must not clear a mark before the filesystem was synced and its subvolumes were seen, nor make a subvolume on a
    filesystem that was finished before. It holds while everything is mounted as it was and no mark is left.
    """

    config: Config
    made: list[Wanted] = field(factory=list)

    def holds(self, facts: Facts) -> bool:
        try:
            wanted = self._all(facts)
            finished = tables.finished(facts.plan.disks, self.config) == list(facts.plan.disks)
        except ZosstorageError:
            return False
        return finished and not any(mounting.mismatch(one) for one in wanted)

    def looks(self, facts: Facts) -> list[Look]:
        """The tables are among what Partition looks at."""
        return [["mounts", *(mount.target for mount in facts.mounts)]]

    def _all(self, facts: Facts) -> list[Wanted]:
        """The mounts that were made: the primary is the filesystem whose subvolumes they are."""
        source = facts.mounts[-1].source
        tops = mounting.tops(facts, self.config)
        primary = next(top.filesystem for top in tops if top.mount.source == source)
        return [*tops, *mounting.targets(primary, facts, self.config)]

    def work(self, facts: Facts) -> Facts:
        try:
            return self._work(facts)
        except BaseException:
            mounting.unmount(self.made)
            self.made.clear()
            raise

    def _work(self, facts: Facts) -> Facts:
        tops = mounting.tops(facts, self.config)
        with ExitStack() as stack:
            for planned in _marked(facts.plan):
                stack.enter_context(claim.locked(planned.disk, exclusive=False))
            formatting.read_back(facts)  # nobody made them anew since Format let go of the locks
            primary = self._finished(tops, facts.plan)
        targets = mounting.targets(primary.filesystem, facts, self.config)
        self._mount(targets)
        return evolve(facts, mount=tuple(one.mount for one in (*tops, *targets)))

    def _finished(self, tops: Sequence[Wanted], plan: Plan) -> Wanted:
        """Mount the filesystems and finish the new ones; returns the primary one."""
        mounting.scan(tops)
        self._mount(tops)
        for top in tops:
            mounting.check_profile(top, plan.topology)
        pending = _marked(plan)
        done = tables.finished(pending, self.config)
        pending = [planned for planned in pending if planned not in done]
        primary = self._primary(tops, pending)
        self._sync(tops)
        self._clear_marks(pending, primary)
        return primary

    def _mount(self, wanted: Sequence[Wanted]) -> None:
        """Mount all side by side, but what is mounted already just so (an earlier run was stopped).

        A new filesystem gets a second attempt; one that was finished before is refused at the first trouble.
        """
        kept, new = ([one for one in wanted if one.filesystem.make is make] for make in (False, True))
        self._try(kept)
        run.once_more(lambda: self._try(new), lambda: None)

    def _try(self, wanted: Sequence[Wanted]) -> None:
        mounting.mount([one for one in wanted if one not in self.made and _is_free(one)], self.made)

    def _primary(self, tops: Sequence[Wanted], pending: Sequence[PlannedDisk]) -> Wanted:
        """The filesystem with the subvolumes: made now on a new primary; among finished ones the one that has them."""
        names = list(self.config.mounts.targets)
        planned = next(top for top in tops if top.filesystem.primary)
        # Kept from an earlier run, or made in this boot and without a mark by now.
        kept = [top for top in tops if not (top.filesystem.make and _on(top, pending))]
        if planned not in kept:
            self._make_subvolumes(planned, names)
            return planned
        found = {top.target: mounting.subvolumes(top.target, top.filesystem.type, names) for top in kept}
        complete = [top for top in kept if found[top.target] == names]
        if len(complete) != 1:
            told = "; ".join(f"{target} has {', '.join(have) or 'none'}" for target, have in found.items())
            raise NotEmptyError(
                f"exactly one filesystem must have the subvolumes {', '.join(names)}: {told}",
                hint="a disk may be missing, or a subvolume was deleted: an incomplete system is not repaired",
            )
        return complete[0]

    def _make_subvolumes(self, top: Wanted, names: Sequence[str]) -> None:
        module = data_module(top.filesystem.type)
        have = mounting.subvolumes(top.target, top.filesystem.type, names)
        missing = [name for name in names if name not in have]
        module.create_subvolumes(top.target, missing)
        if mounting.subvolumes(top.target, top.filesystem.type, names) != list(names):
            raise ToolError(f"the subvolumes of {top.target} are not there after they were made", hint="see dmesg")

    def _sync(self, tops: Sequence[Wanted]) -> None:
        made = [top for top in tops if top.filesystem.make]
        threads.each(lambda top: data_module(top.filesystem.type).sync(top.target), made, lambda top: top.target)

    def _clear_marks(self, pending: Sequence[PlannedDisk], primary: Wanted) -> None:
        """The primary's disks first: where only one filesystem is finished, it is the one with the subvolumes."""
        first = _on(primary, pending)
        for batch in (first, [planned for planned in pending if planned not in first]):
            self._finish(batch)

    def _finish(self, disks: Sequence[PlannedDisk]) -> None:
        for planned in disks:
            claim.check(planned.disk)
        tables.clear_marks(disks, self.config)
        cleared = tables.finished(disks, self.config)
        if left := [planned.disk.path for planned in disks if planned not in cleared]:
            raise ToolError(f"the marks of {', '.join(left)} are still there", hint="see the kernel's log")


def _marked(plan: Plan) -> list[PlannedDisk]:
    """The disks whose tables carry marks, or did when the plan was made."""
    return [planned for planned in plan.disks if planned.clear_marks or planned.write_table]


def _on(top: Wanted, disks: Sequence[PlannedDisk]) -> list[PlannedDisk]:
    """Those of the disks that hold a member of a filesystem."""
    members = set(top.filesystem.members)
    return [planned for planned in disks if members & {part.uuid for part in planned.partitions}]


def _is_free(wanted: Wanted) -> bool:
    """Whether nothing is mounted at the target; False where it is just what is wanted.

    Raises:
        ToolError: something else is mounted there.
    """
    if mounting.occupied(wanted.target) is None:
        return True
    if problem := mounting.mismatch(wanted):
        raise ToolError(f"{wanted.target} is taken: {problem}", hint=f"umount {wanted.target} and run again")
    return False
