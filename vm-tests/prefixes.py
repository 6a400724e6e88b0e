"""What a power cut may leave of the writes of a provisioning: sets of writes, one list of indices a disk."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import writelog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from writelog import Write

Cut = list[list[int]]
_MIB = 1 << 20


def states(logs: list[list[Write]], size: int, *, alone: bool) -> list[Cut]:
    """Prefixes in step, single drops, and of several disks one ahead of the other while tables are written.

    How the writes of two disks fell between each other is not recorded; they ran side by side, so each disk is taken
    through its own log while the others stand at the same part of theirs. Tables are written to all disks at once, and
    so are the marks of one filesystem cleared: there any disk may be ahead of any other. Where each disk has a
    filesystem `alone`, the first one's marks are cleared, flushed and seen to be gone before any of another is touched:
    what could not be left by that is no state. States with the same writes are one.
    """
    found: dict[tuple[tuple[int, ...], ...], Cut] = {}
    for cut in (*_in_step(logs), *_drops(logs), *_apart(logs, size)):
        if alone and not _first_before_others(cut, [_clearing(log, size) for log in logs]):
            continue
        writes = tuple(tuple(index for index in part if log[index].length) for part, log in zip(cut, logs, strict=True))
        found.setdefault(writes, cut)
    return list(found.values())


def _in_step(logs: list[list[Write]]) -> Iterator[Cut]:
    longest = max(map(len, logs))
    for step in range(longest + 1):
        yield [list(range(step * len(log) // longest)) for log in logs]


def _drops(logs: list[list[Write]]) -> Iterator[Cut]:
    for disk, log in enumerate(logs):
        for end, lost in writelog.unflushed(log):
            cut = [list(range(end * len(other) // len(log))) for other in logs]
            cut[disk] = [index for index in range(end) if index != lost]
            yield cut


def _apart(logs: list[list[Write]], size: int) -> Iterator[Cut]:
    """Every pair of disks at every pair of table writes of one phase; the others where the first of the pair is not."""
    if len(logs) == 1:
        return
    for phase in zip(*(_phases(log, size) for log in logs), strict=True):
        for ends in product(*(_thinned(part, len(logs)) for part in phase)):
            yield [list(range(end)) for end in ends]


def _thinned(ends: list[int], disks: int) -> list[int]:
    """All of them for two disks; of more, the first, the middle and the last: the product grows with every disk."""
    return ends if disks == 2 else [ends[0], ends[len(ends) // 2], ends[-1]]


def _phases(log: list[Write], size: int) -> tuple[list[int], list[int]]:
    """Where prefixes end that stop before or after a write to a table: as it is made, and as marks are cleared."""
    tables = [n for n, write in enumerate(log) if write.length and _in_a_table(write, size)]
    between = next(n for n, write in enumerate(log) if write.length and not _in_a_table(write, size))
    made = [n for n in tables if n < between]
    cleared = sorted(_clearing(log, size))
    assert len(made) >= 5, made  # entries and header of both copies, and the MBR
    assert len(cleared) >= 4, cleared
    return [made[0], *(n + 1 for n in made)], [cleared[0], *(n + 1 for n in cleared)]


def _clearing(log: list[Write], size: int) -> set[int]:
    """The writes to a table behind the first write elsewhere."""
    tables = [n for n, write in enumerate(log) if write.length and _in_a_table(write, size)]
    between = next(n for n, write in enumerate(log) if write.length and not _in_a_table(write, size))
    return {n for n in tables if n > between}


def _first_before_others(cut: Cut, clearing: list[set[int]]) -> bool:
    first, *others = (writes & set(part) for writes, part in zip(clearing, cut, strict=True))
    return first == clearing[0] or not any(others)


def _in_a_table(write: Write, size: int) -> bool:
    return write.offset < _MIB or write.offset >= size - _MIB
