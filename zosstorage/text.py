"""Parts of messages: a value as found, a list of choices, the nearest known name."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LONGEST_SHOWN = 60
_KIB, _UNITS = 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def found(value: object) -> str:
    """Describe a wrong value: its kind and, for a scalar, the value."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text '{clean(value)}'"
        case dict():
            return "a mapping"
    return "a list"


def one_of(choices: Iterable[str]) -> str:
    """Join the choices in one line: `a, b, c`."""
    return ", ".join(choices)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean X?)`, or an empty text if no known word is close."""
    close = get_close_matches(word[:_LONGEST_SHOWN], list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def clean(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Make external text fit for one line of a message: cut it to `longest` characters and escape the unprintable."""
    shown = text if len(text) <= longest else text[:longest] + "…"
    return escaped(shown)


def escaped(text: str) -> str:
    r"""Escape what a terminal obeys or does not show: C0 (ESC, newline), C1, bidirectional controls, separators.

    A surrogate escape is shown as the byte that it represents. Other text, spaces among it, stays as it is.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def escaped_lines(text: str) -> str:
    """As `escaped`, for a text whose newlines are ours: they stay."""
    return "\n".join(map(escaped, text.split("\n")))


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    number = _number(char)
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}"  # noqa: PLR2004 - a byte


def _number(char: str) -> int:
    """The code point of a character, or the byte that it replaces if it is a surrogate escape (PEP 383)."""
    number = ord(char)
    return number - 0xDC00 if 0xDC80 <= number <= 0xDCFF else number  # noqa: PLR2004


def size(count: float) -> str:
    """Bytes for people: 9.5 GiB."""
    for unit in _UNITS[:-1]:
        if count < _KIB:
            return f"{count:.4g} {unit}"
        count /= _KIB
    return f"{count:.4g} {_UNITS[-1]}"


def sections(titled: Mapping[str, Sequence[tuple[str, str]]]) -> list[str]:
    """Lines of titled tables: each row has a left column and a meaning, which is folded."""
    lines = []
    for title, rows in titled.items():
        width = max(len(left) for left, _ in rows)
        lines += ["", f"{title}:", *(line for left, meaning in rows for line in _row(left, meaning, width))]
    return lines


def _row(left: str, meaning: str, width: int) -> list[str]:
    first, *rest = textwrap.wrap(meaning, min(76, 116 - width))
    return [f"  {left:<{width}}  {first}", *(" " * (width + 4) + line for line in rest)]


def utc_now(timespec: Literal["seconds", "milliseconds"] = "seconds") -> str:
    """The time in UTC as RFC 3339 writes it: `2026-11-27T20:18:41Z`."""
    return datetime.now(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
