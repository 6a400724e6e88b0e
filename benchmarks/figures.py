"""Samples → medians, ratios and bars; as a table for people, as JSON for programs."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contenders import Measured

Rounds = dict[tuple[int, str], list["Measured"]]


class Bar(NamedTuple):
    """A ratio between two medians of one run, and what it must not exceed."""

    name: str
    value: float
    limit: float

    @property
    def told(self) -> str:
        return f"{self.name:<52} {self.value:7.2f}  {'≤' if self.met else '>'} {self.limit:g}"

    @property
    def met(self) -> bool:
        return self.value <= self.limit


class Figures:
    """The medians of a run."""

    def __init__(self, rounds: Rounds) -> None:
        self.rounds = rounds
        self.counts = sorted({count for count, _ in rounds})
        self.names = list(dict.fromkeys(name for _, name in rounds))

    def of(self, count: int, name: str, what: str = "cold", unit: str = "wall") -> float | None:
        """The median in milliseconds (KiB for `rss`); None where it was not measured."""
        found = [getattr(one.samples[what], unit) for one in self.rounds.get((count, name), []) if what in one.samples]
        return median(found) if found else None

    def bars(self) -> list[Bar]:
        """Those of the bars whose both sides were measured, for every form of ours."""
        ours = [name for name in self.names if self.of(self.counts[0], name, "rerun")]
        return [bar for name in ours for bar in self._bars(name)]

    def _bars(self, name: str) -> Iterator[Bar]:
        for count, other, limit in ((1, "repart", 1.3), (8, "repart", 0.5), (32, "repart", 0.33)):
            yield from self._bar(f"{name}, {_disks(count)} / {other}", (count, name), (count, other), limit)
        for fewer, more in ((1, 8), (8, 32)):
            yield from self._bar(f"{name}, {_disks(more)} / {_disks(fewer)}", (more, name), (fewer, name), more / fewer)
        for count in self.counts:
            rerun = f"{name}, {_disks(count)}, rerun / python -I -S -c pass"
            yield from self._bar(rerun, (count, name, "rerun"), (count, name, "bare"), 10)
            yield from self._bar(
                f"{name}, {_disks(count)}, second boot / cold", (count, name, "second"), (count, name), 0.7
            )
            if rss := self.of(count, name, unit="rss"):
                yield Bar(f"{name}, {_disks(count)}, MiB of memory", rss / 1024, 40)

    def _bar(self, told: str, ours: tuple[Any, ...], others: tuple[Any, ...], limit: float) -> Iterator[Bar]:
        over, under = self.of(*ours), self.of(*others)
        if over and under:
            yield Bar(told, over / under, limit)

    def commands(self, count: int, name: str) -> list[tuple[str, int, float]]:
        """(tool, how many, median of their seconds together) in one cold run."""
        rounds = [one.commands for one in self.rounds[count, name]]
        tools = list(dict.fromkeys(tool for one in rounds for tool in one))
        return [
            (
                tool,
                round(median(len(one.get(tool, ())) for one in rounds)),
                median(sum(one.get(tool, ())) for one in rounds),
            )
            for tool in tools
        ]

    def lines(self) -> Iterator[str]:
        """The tables."""
        yield f"{'milliseconds, medians':<24}{'disks':>6}{'wall':>9}{'cpu':>9}{'rerun':>9}{'second':>9}{'MiB':>7}"
        for count in self.counts:
            for name in self.names:
                row = [self.of(count, name), self.of(count, name, unit="cpu")]
                row += [self.of(count, name, what) for what in ("rerun", "second")]
                rss = self.of(count, name, unit="rss") if row[2] else None
                cells = "".join(f"{'-' if cell is None else format(cell, '.0f'):>9}" for cell in row)
                yield f"{name:<24}{count:>6}{cells}{format(rss / 1024, '.0f') if rss else '-':>7}"
        yield ""
        yield f"{'ratio':<52} {'is':>7}    bar"
        yield from (bar.told for bar in self.bars())
        for count in self.counts:
            yield from self._command_lines(count)

    def _command_lines(self, count: int) -> Iterator[str]:
        name = self.names[0]
        yield ""
        yield f"{name}, {_disks(count)}, cold: command, how many, seconds together (side by side they overlap)"
        for tool, number, seconds in self.commands(count, name):
            yield f"  {tool:<24}{number:>5}{seconds:>9.3f}"

    def as_json(self) -> dict[str, Any]:
        """Every sample, and what was made of them."""
        samples = [
            {"disks": count, "contender": name, "rounds": [_plain(one) for one in rounds]}
            for (count, name), rounds in self.rounds.items()
        ]
        bars = [
            {"name": bar.name, "value": round(bar.value, 3), "limit": bar.limit, "met": bar.met} for bar in self.bars()
        ]
        return {"samples": samples, "bars": bars}


def _disks(count: int) -> str:
    return f"{count} disk{'' if count == 1 else 's'}"


def _plain(one: Measured) -> dict[str, Any]:
    return {what: sample._asdict() for what, sample in one.samples.items()} | {"commands": one.commands}
