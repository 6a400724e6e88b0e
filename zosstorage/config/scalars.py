"""Unquoted YAML scalars and key paths, used by all sources of the configuration."""

from __future__ import annotations

import re

from zosstorage import text

Path = tuple[str | int, ...]
# The largest size of a configuration file, in bytes.
LIMIT_BYTES = 1 << 20

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
# YAML 1.2's core schema: `yes`, `no`, `on`, `off` are text, and so are 0755, 0x10, 1_000 and 12:30:00.
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
# Text without a character that has a meaning in YAML, which can be read without a parser.
_PLAIN = re.compile(r"[A-Za-z0-9/_]([A-Za-z0-9/_.+*?=@%-]|:(?=[A-Za-z0-9/]))*")


def scalar(written: str) -> str | int | float | bool | None:
    """Convert an unquoted YAML scalar to its value; a number of more than 18 digits stays text."""
    if written in _WORDS or (written.lower() in _WORDS and written in (written.upper(), written.capitalize())):
        return _WORDS[written.lower()]
    if _INTEGER.fullmatch(written):
        return int(written)
    return float(written) if _FLOAT.fullmatch(written) else written


def is_plain(written: str) -> bool:
    """Whether every YAML parser reads `written` as one unquoted scalar."""
    return _PLAIN.fullmatch(written) is not None


def dotted(path: Path) -> str:
    """Format a key path for messages: `devices.include[1]`."""
    shown = "".join(f"[{part}]" if isinstance(part, int) else f".{text.clean(part)}" for part in path)
    return shown.removeprefix(".") or "the document"
