"""What a terminal can show: rows that fit its width, a drawn bar, folded text, colour."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

from zosstorage.text import escaped

if TYPE_CHECKING:
    from collections.abc import Sequence

# The width of every table, in characters: that of a serial console.
WIDTH = 80
_CODES = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "bold": 1, "dim": 2}
_GAP = 2


def has_colour() -> bool:
    """Whether stdout is a terminal that shows colours, and nobody asked for none (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: str, *, on: bool) -> str:
    """Add a colour, or `bold` or `dim`, to a text that is escaped already; `on` is whether to do it at all."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if on and colour else text


def table(rows: Sequence[Sequence[str]], shrinks: int | None = None) -> list[str]:
    """Format rows of cells as lines of at most WIDTH characters, escaped.

    Args:
        rows: the cells; each row has the same number.
        shrinks: the column that is cut if a line would be longer; the end of a cell is kept, where serial numbers
            differ.
    """
    shown = [[escaped(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    over = sum(widths) + _GAP * (len(widths) - 1) - WIDTH
    if shrinks is not None and over > 0:
        widths[shrinks] = max(widths[shrinks] - over, 4)
    return [
        (" " * _GAP).join(cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in shown
    ]


def cut(text: str, width: int) -> str:
    """The end of a text that is longer than `width` characters, behind two dots."""
    return text if len(text) <= width else f"..{text[len(text) - width + 2 :]}"


def bar(parts: Sequence[tuple[str, int]], width: int) -> str:
    """Draw parts of a disk side by side, `width` characters in all.

    Each part is as wide as its label, and the rest of the width is shared by size, so that small parts can be seen.

    Args:
        parts: label and size in bytes of each part, in order; the labels must fit.
        width: the number of characters.
    """
    free = max(width - len(parts) - 1 - sum(len(label) for label, _ in parts), 0)
    total = sum(size for _, size in parts) or 1
    extra = [free * size // total for _, size in parts]
    largest = max(range(len(parts)), key=lambda number: parts[number][1])
    extra[largest] += free - sum(extra)
    cells = [label.center(len(label) + more) for (label, _), more in zip(parts, extra, strict=True)]
    return f"|{'|'.join(cells)}|"


def fold(text: str, first: str = "", rest: str | None = None) -> list[str]:
    """Fold a text into lines of at most WIDTH characters, escaped; `first` and `rest` begin the lines."""
    wrapper = textwrap.TextWrapper(
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first) if rest is None else rest,
        break_on_hyphens=False,
    )
    return wrapper.wrap(escaped(text)) or [first.rstrip()]


def one_line(text: str, first: str = "", more: str = "") -> str:
    """A text in one line of at most WIDTH characters, escaped and cut; `more` is added, whole, if it is cut."""
    whole = f"{first}{escaped(text)}"
    if len(whole) <= WIDTH:
        return whole
    end = f"... {more}".rstrip()
    return whole[: WIDTH - len(end)] + end


def command(words: Sequence[str], first: str) -> list[str]:
    """A command line that a shell can read, folded between words with a backslash at the end of a line."""
    lines, line = [], first
    for number, word in enumerate(map(escaped, words)):
        gap = " " if line.strip() and number else ""
        if number and len(line) + len(gap) + len(word) > WIDTH - _GAP:
            lines.append(f"{line} \\")
            line, gap = " " * (len(first) + _GAP), ""
        line += gap + word
    return [*lines, line]
