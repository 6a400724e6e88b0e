"""Parsers of single values: sizes, durations, paths, globs, compression.

Each parser takes a YAML value and returns the value of the key, or raises WrongValueError.
"""

from __future__ import annotations

import os
import posixpath
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from zosstorage import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

E = TypeVar("E", bound=StrEnum)

MIB = 1 << 20
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30, "TiB": 1 << 40, "PiB": 1 << 50}
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
SIZE_PATTERN = r"^[0-9]{1,18}(B|KiB|MiB|GiB|TiB|PiB)?$"
DURATION_PATTERN = r"^[0-9]{1,9}(ms|s|min|h)$"
PATH_PATTERN = r"^/"
# The kernel stores the size of a device in a signed 64-bit loff_t.
_LARGEST = (1 << 63) - 1
_SHORTEST = 0.001
_LONGEST = 7 * 24 * 3600.0
# Half of PATH_MAX (4096), which leaves room for the root prefix and for names below the path.
_LONGEST_PATH = 2048


class WrongValueError(ValueError):
    """A value that a key cannot have.

    Attributes:
        allowed: what is allowed; the message shows it after "allowed: ".
        found: what was found and why it is wrong; empty if the value itself is enough.
    """

    def __init__(self, allowed: str, found: str = "") -> None:
        """Keep both parts of the message."""
        super().__init__(allowed)
        self.allowed = allowed
        self.found = found


class WrongItemsError(ValueError):
    """A list with wrong items.

    Attributes:
        items: index, value and error of each wrong item.
    """

    def __init__(self, items: list[tuple[int, Any, WrongValueError]]) -> None:
        """Keep the wrong items."""
        super().__init__("wrong items")
        self.items = items


def switch(value: Any) -> bool:
    """Parse a boolean: only true and false."""
    if not _is(value, bool):
        raise WrongValueError("true or false")
    return bool(value)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Make a parser of integers from `least` to `most`."""

    def parse(value: Any) -> int:
        if not _is(value, int) or not least <= value <= most:
            raise WrongValueError(f"a whole number from {least} to {most}" if most > least else str(least))
        return int(value)

    return parse


def among(allowed: Callable[[], Iterable[str]]) -> Callable[[Any], str]:
    """Make a parser of one of the texts that `allowed` returns; it is called at each use, as its result may grow."""

    def parse(value: Any) -> str:
        words = [str(word) for word in allowed()]
        if not _is(value, str) or value not in words:
            close = text.nearest(value, words) if _is(value, str) else ""
            raise WrongValueError(text.one_of(words), f"{text.found(value)}{close}")
        return str(value)

    return parse


def choice(kind: type[E]) -> Callable[[Any], E]:
    """Make a parser of the values of an enum."""
    parse = among(lambda: kind)
    return lambda value: kind(parse(value))


def many(parse: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    """Make a parser of lists that parses each item and reports all wrong items."""

    def parse_list(value: Any) -> tuple[str, ...]:
        wrong: list[tuple[int, Any, WrongValueError]] = []
        kept = [_parsed_item(parse, index, item, wrong) for index, item in enumerate(a_list(value))]
        if wrong:
            raise WrongItemsError(wrong)
        return tuple(kept)

    return parse_list


def a_list(value: Any) -> list[Any]:
    """Parse a list with any items."""
    if not isinstance(value, list):
        raise WrongValueError("a list, such as [a, b], or [] for an empty one")
    return value


def _parsed_item(
    parse: Callable[[Any], str], index: int, item: Any, wrong: list[tuple[int, Any, WrongValueError]]
) -> str:
    try:
        return parse(item)
    except WrongValueError as error:
        wrong.append((index, item, error))
        return ""


def size(value: Any) -> int:
    """Parse a size, `4GiB` or a number of bytes, to bytes. GB and G are refused because their meaning is ambiguous."""
    match = re.fullmatch(SIZE_PATTERN, str(value)) if _is(value, int, str) else None
    number = int(str(value).removesuffix(match[1] or "")) * _UNITS[match[1] or ""] if match else -1
    if not 0 <= number <= _LARGEST:
        raise WrongValueError("bytes, or a whole number with B, KiB, MiB, GiB, TiB or PiB, such as 512MiB")
    return number


def esp_size(value: Any) -> int:
    """Parse the size of an EFI system partition to bytes: whole MiB, as partitions begin and end on MiB boundaries.

    A FAT32 needs at least 33 MiB with 512-byte sectors: 65525 clusters of one sector, two FATs and 32 reserved sectors
    (Microsoft's FAT specification). With 4096-byte sectors it needs 257 MiB; that is checked when the disk is known.
    """
    number = size(value)
    if number % MIB or not 33 * MIB <= number <= 2 << 40:
        raise WrongValueError("whole MiB from 33MiB (257MiB on disks with 4096-byte sectors) to 2TiB")
    return number


def duration(value: Any) -> float:
    """Parse a duration, `10min` or a number of seconds, to seconds."""
    match = re.fullmatch(DURATION_PATTERN, value) if _is(value, str) else None
    if match:
        seconds = int(value.removesuffix(match[1])) * _SECONDS[match[1]]
    else:
        seconds = float(value) if _is(value, int, float) else 0.0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise WrongValueError("seconds, or a whole number with ms, s, min or h, such as 10min; from 1ms to 168h")
    return seconds


def line(value: Any) -> str:
    """Parse one line of printable text."""
    if not _is(value, str):
        raise WrongValueError("text" if not _is(value, int, float) else "text; put it in quotes")
    if not value.isprintable():
        raise WrongValueError("one line of printable text")
    return str(value)


def path(value: Any) -> str:
    """Parse an absolute path; the result has no slash at its end."""
    written = line(value) if _is(value, str) else ""
    if not written.startswith("/") or ".." in written.split("/") or len(written) > _LONGEST_PATH:
        raise WrongValueError("an absolute path without '..'")
    if not written.isascii() and not _is_encodable(written):
        raise WrongValueError("a path that this locale can encode; set LC_ALL=C.UTF-8 for other characters")
    return "/" + posixpath.normpath(written).lstrip("/")


def _is_encodable(path: str) -> bool:
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:
        return False


def place(value: Any) -> str:
    """Parse an absolute path other than `/`."""
    written = path(value)
    if written == "/":
        raise WrongValueError("an absolute path other than /")
    return written


def mount_target(value: Any) -> str:
    """Parse a directory to mount on: not `/`, and not in `/proc`, `/sys` or `/dev`."""
    target = path(value)
    if target == "/" or target.split("/")[1] in {"proc", "sys", "dev"}:
        raise WrongValueError("a directory to mount on, other than / and outside /proc, /sys and /dev")
    return target


def glob(value: Any) -> str:
    """Parse a glob below `/dev/`."""
    written = line(value) if _is(value, str) else ""
    if not written.startswith("/dev/") or ".." in written.split("/"):
        raise WrongValueError("a glob for device nodes or links to them, such as /dev/nvme*")
    return written


def btrfs_compression(value: Any) -> str:
    """Parse a value of `compress=`: zlib or zstd, with an optional level after a colon, or lzo."""
    return _compression(value, {"zlib": 9, "lzo": 0, "zstd": 15})


def bcachefs_compression(value: Any) -> str:
    """Parse a value of `--compression`; the superblock has four bits for the level."""
    return _compression(value, {"lz4": 15, "gzip": 9, "zstd": 15})


def _compression(value: Any, levels: dict[str, int]) -> str:
    name, colon, level = line(value).partition(":")
    known = name in levels
    if not known or (colon and not (re.fullmatch(r"[1-9][0-9]?", level) and int(level) <= levels[name])):
        raise WrongValueError(
            text.one_of(f"{name}[:1-{most}]" if most else name for name, most in levels.items()) + " or null"
        )
    return str(value)


def show_size(number: int) -> str | int:
    """Format a size in the largest IEC unit that is exact; a number of bytes if there is none."""
    for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if number and number % _UNITS[unit] == 0:
            return f"{number // _UNITS[unit]}{unit}"
    return number


def show_duration(seconds: float) -> str | float:
    """Format a duration in the largest unit that is exact; a number of seconds if there is none."""
    for unit in ("h", "min", "s", "ms"):
        whole = round(seconds / _SECONDS[unit])
        if whole and whole * _SECONDS[unit] == seconds and whole < 10**9:
            return f"{whole}{unit}"
    return seconds


def _is(value: Any, *kinds: type) -> bool:
    return type(value) in kinds  # bool is a subclass of int, but not a number in a configuration
