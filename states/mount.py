"""Mount, state 5 of 6."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from zosstorage.block import claim, tables
from zosstorage.errors import NotEmptyError, ZosstorageError
from zosstorage.facts import Mounted
from zosstorage.system import run
from zosstorage.work import formatting, mounting, partitioning, subvolumes
from zosstorage.work.mounting import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zosstorage.facts import Facts
    from zosstorage.planned import Plan, PlannedDisk, PlannedFilesystem


@frozen
class Mount:
    """Mounts the data filesystems, makes the subvolumes on a new primary, clears the flags, mounts the targets.

    It must not clear an in-progress flag before the filesystem is synced and its subvolumes are read back, nor make a
    subvolume on a filesystem that was finished before. It holds while all mounts are there and no flag is set.
    """

    made: list[Wanted] = field(factory=list)

    def holds(self, facts: Facts) -> bool:
        """Return whether all mounts are there and no in-progress flag is set."""
        try:
            tops = mounting.tops(facts)
            primary = next(top.filesystem for top in tops if top.filesystem.uuid == facts.mounted.primary)
            wanted = [*tops, *mounting.targets(primary, facts)]
            finished = tables.finished(facts.plan.disks) == list(facts.plan.disks)
        except ZosstorageError:
            return False
        return finished and not any(map(mounting.mismatch, wanted))

    def work(self, facts: Facts) -> Facts:
        """Mount and finish the filesystems; after a failure, undo the mounts of this run.

        Raises:
            NotEmptyError: a finished system is incomplete, or a disk has changed.
            ToolError: a filesystem cannot be mounted, or its mount differs from the plan.
        """
        try:
            return self._work(facts)
        except BaseException:
            mounting.unmount(self.made)
            self.made.clear()
            raise

    def _work(self, facts: Facts) -> Facts:
        tops = mounting.tops(facts)
        with ExitStack() as stack:
            for planned in facts.plan.disks:
                if planned.flagged:
                    stack.enter_context(claim.locked(planned.disk, exclusive=False))
            formatting.read_back(facts)  # Format released the locks: nobody may have made another filesystem since
            pending = _pending(facts.plan)
            formatting.check_unused(_unfinished(facts.plan, pending, tops), facts)
            primary = self._finish(tops, pending, facts.plan)
        targets = mounting.targets(primary.filesystem, facts)
        self._mount(targets)
        mounts = tuple(one.mount for one in (*tops, *targets))
        return evolve(facts, mount=Mounted(primary.filesystem.uuid, mounts))

    def _finish(self, tops: Sequence[Wanted], pending: Sequence[PlannedDisk], plan: Plan) -> Wanted:
        """Mount the filesystems and finish the new ones; return the primary."""
        mounting.scan(tops)
        self._mount(tops)
        for top in tops:
            mounting.check_profile(top)
            if _is_unfinished(top.filesystem, pending, plan):
                subvolumes.check_empty(top, [target.subvolume for target in plan.targets])
        primary = _primary(tops, pending, plan)
        subvolumes.sync([top for top in tops if top.filesystem.make])
        _clear_marks(pending, plan.members(primary.filesystem))
        return primary

    def _mount(self, wanted: Sequence[Wanted]) -> None:
        """Mount all in parallel, except those that are already mounted as wanted (by an interrupted run).

        The mount of a new filesystem is retried once; that of a finished one is not.
        """
        kept, new = ([one for one in wanted if one.filesystem.make is make] for make in (False, True))
        self._try(kept)
        run.retry_once(lambda: self._try(new), lambda: None)

    def _try(self, wanted: Sequence[Wanted]) -> None:
        mounting.mount([one for one in wanted if one not in self.made and mounting.is_free(one)], self.made)


def _pending(plan: Plan) -> list[PlannedDisk]:
    """Return the disks that have in-progress flags."""
    flagged = [planned for planned in plan.disks if planned.flagged]
    done = tables.finished(flagged)
    return [planned for planned in flagged if planned not in done]


def _is_unfinished(filesystem: PlannedFilesystem, pending: Sequence[PlannedDisk], plan: Plan) -> bool:
    return filesystem.make and any(one in pending for one in plan.members(filesystem))


def _unfinished(plan: Plan, pending: Sequence[PlannedDisk], tops: Sequence[Wanted]) -> list[PlannedFilesystem]:
    """Return the unfinished filesystems, without those that an earlier run left mounted."""
    mounted = {top.filesystem.uuid for top in tops if not mounting.is_free(top)}
    return [one for one in plan.filesystems if _is_unfinished(one, pending, plan) and one.uuid not in mounted]


def _primary(tops: Sequence[Wanted], pending: Sequence[PlannedDisk], plan: Plan) -> Wanted:
    """Return the primary: a new one, on which the subvolumes are made now, or the finished one that has them."""
    names = [target.subvolume for target in plan.targets]
    # Finished by an earlier run, or made in this boot with its flags already cleared.
    kept = [top for top in tops if not _is_unfinished(top.filesystem, pending, plan)]
    for new in (top for top in tops if top.filesystem.uuid == plan.primary and top not in kept):
        subvolumes.make(new, names)
        return new
    found = {top.target: subvolumes.present(top, names) for top in kept}
    complete = [top for top in kept if found[top.target] == names]
    if len(complete) != 1:
        shown = "; ".join(f"{target} has {', '.join(have) or 'none'}" for target, have in found.items())
        raise NotEmptyError(
            f"exactly one filesystem must have the subvolumes {', '.join(names)}: {shown}",
            hint="a disk may be missing, or a subvolume was deleted: an incomplete system is not repaired",
        )
    return complete[0]


def _clear_marks(pending: Sequence[PlannedDisk], primary: Sequence[PlannedDisk]) -> None:
    """Clear the flags on the disks of the primary first: if the run ends in between, the primary is finished."""
    first = [planned for planned in pending if planned in primary]
    for batch in (first, [planned for planned in pending if planned not in first]):
        partitioning.clear_marks(batch)
