"""Plain scalars, and the words that mistakes are told in. Imports nothing: every source needs it, on every run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
# YAML 1.2's core schema: `yes`, `no`, `on`, `off` are text, and so are 0755, 0x10, 1_000 and 12:30:00.
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
# Text without any sign that YAML gives a meaning to, so that no parser is needed to read it.
_PLAIN = re.compile(r"[A-Za-z0-9/_]([A-Za-z0-9/_.+*?=@%-]|:(?=[A-Za-z0-9/]))*")
_LONGEST_SHOWN = 60


def scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted YAML scalar means; numbers of more than 18 digits stay text."""
    if text in _WORDS or (text.lower() in _WORDS and text in (text.upper(), text.capitalize())):
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def is_plain(text: str) -> bool:
    """True where `text` is one unquoted scalar to any YAML parser."""
    return _PLAIN.fullmatch(text) is not None


def dotted(path: Path) -> str:
    """`devices.include[1]`."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{clean(part)}" for part in path)
    return shown.removeprefix(".") or "the document"


def found(value: object) -> str:
    """A wrong value in words: its kind and, where short, itself."""
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
    return ", ".join(choices)


def nearest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)`, or nothing where no known word is close."""
    from difflib import get_close_matches

    close = get_close_matches(word[:_LONGEST_SHOWN], list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def clean(text: str, longest: int = _LONGEST_SHOWN) -> str:
    """Text of others, fit for one line of a message: short and printable."""
    shown = text if len(text) <= longest else text[:longest] + "…"
    return "".join(char if char.isprintable() else f"\\x{_number(char):02x}" for char in shown)


def _number(char: str) -> int:
    """A character's, or the byte's that was no text where the character stands for it (PEP 383)."""
    number = ord(char)
    return number - 0xDC00 if 0xDC80 <= number <= 0xDCFF else number  # noqa: PLR2004
