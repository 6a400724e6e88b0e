"""Single values: sizes, durations, paths, globs, compression.

Each parser takes what YAML gave and returns the value, or raises WrongValueError.
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
# The kernel counts bytes of a device in a signed 64 bit loff_t.
_LARGEST = (1 << 63) - 1
_SHORTEST = 0.001
_LONGEST = 7 * 24 * 3600.0
# PATH_MAX, less the prefix and the names that are put after it.
_LONGEST_PATH = 2048


class WrongValueError(ValueError):
    """A value that a key cannot have.

    Attributes:
        allowed: what it can have, to stand after "allowed: ".
        found: what was found and why it is wrong, where the value does not say so by itself.
    """

    def __init__(self, allowed: str, found: str = "") -> None:
        super().__init__(allowed)
        self.allowed = allowed
        self.found = found


class WrongItemsError(ValueError):
    """Several items of a list, each with its index."""

    def __init__(self, items: list[tuple[int, Any, WrongValueError]]) -> None:
        super().__init__("wrong items")
        self.items = items


def switch(value: Any) -> bool:
    """True or false, and nothing that only resembles them."""
    if not _is(value, bool):
        raise WrongValueError("true or false")
    return bool(value)


def whole(least: int, most: int) -> Callable[[Any], int]:
    """A parser of whole numbers in a range, both ends included."""

    def parse(value: Any) -> int:
        if not _is(value, int) or not least <= value <= most:
            raise WrongValueError(f"a whole number from {least} to {most}" if most > least else str(least))
        return int(value)

    return parse


def among(allowed: Callable[[], Iterable[str]]) -> Callable[[Any], str]:
    """A parser of one of some words; `allowed` is asked at each call, because the table behind it may grow."""

    def parse(value: Any) -> str:
        words = [str(word) for word in allowed()]
        if not _is(value, str) or value not in words:
            close = text.nearest(value, words) if _is(value, str) else ""
            raise WrongValueError(text.one_of(words), f"{text.found(value)}{close}")
        return str(value)

    return parse


def choice(kind: type[E]) -> Callable[[Any], E]:
    """A parser of an enum's values."""
    parse = among(lambda: kind)
    return lambda value: kind(parse(value))


def many(parse: Callable[[Any], str]) -> Callable[[Any], tuple[str, ...]]:
    """A list whose items are each parsed; every wrong item is told."""

    def parse_list(value: Any) -> tuple[str, ...]:
        wrong: list[tuple[int, Any, WrongValueError]] = []
        kept = [_kept(parse, index, item, wrong) for index, item in enumerate(a_list(value))]
        if wrong:
            raise WrongItemsError(wrong)
        return tuple(kept)

    return parse_list


def a_list(value: Any) -> list[Any]:
    """A list, whatever its items are."""
    if not isinstance(value, list):
        raise WrongValueError("a list, such as [a, b], or [] for none")
    return value


def _kept(parse: Callable[[Any], str], index: int, item: Any, wrong: list[tuple[int, Any, WrongValueError]]) -> str:
    try:
        return parse(item)
    except WrongValueError as error:
        wrong.append((index, item, error))
        return ""


def size(value: Any) -> int:
    """Bytes of `4GiB` or a plain number; GB and G are refused, because half the world counts them in 1000s."""
    match = re.fullmatch(SIZE_PATTERN, str(value)) if _is(value, int, str) else None
    number = int(str(value).removesuffix(match[1] or "")) * _UNITS[match[1] or ""] if match else -1
    if not 0 <= number <= _LARGEST:
        raise WrongValueError("bytes, or a whole number with B, KiB, MiB, GiB, TiB or PiB, such as 512MiB")
    return number


def esp_size(value: Any) -> int:
    """Bytes of an EFI system partition: whole MiB, because partitions begin and end on MiB boundaries.

    33 MiB is the least that FAT32 can be on 512 byte sectors: 65525 clusters of one sector, two FATs and 32 reserved
    sectors (Microsoft's FAT specification). On 4096 byte sectors it is 257 MiB, which only the disk can tell.
    """
    number = size(value)
    if number % MIB or not 33 * MIB <= number <= 2 << 40:
        raise WrongValueError("whole MiB from 33MiB (257MiB on disks of 4096 byte sectors) to 2TiB")
    return number


def duration(value: Any) -> float:
    """Seconds of `10min` or a plain number of seconds."""
    match = re.fullmatch(DURATION_PATTERN, value) if _is(value, str) else None
    if match:
        seconds = int(value.removesuffix(match[1])) * _SECONDS[match[1]]
    else:
        seconds = float(value) if _is(value, int, float) else 0.0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise WrongValueError("seconds, or a whole number with ms, s, min or h, such as 10min; from 1ms to 168h")
    return seconds


def line(value: Any) -> str:
    """Printable text in one line."""
    if not _is(value, str):
        raise WrongValueError("text" if not _is(value, int, float) else "text; put it in quotes")
    if not value.isprintable():
        raise WrongValueError("text of printable characters in one line")
    return str(value)


def path(value: Any) -> str:
    """An absolute path, without a slash at its end."""
    written = line(value) if _is(value, str) else ""
    if not written.startswith("/") or ".." in written.split("/") or len(written) > _LONGEST_PATH:
        raise WrongValueError("an absolute path without '..'")
    if not written.isascii() and not _can_be_named(written):
        raise WrongValueError("a path of the characters that this locale has: run with LC_ALL=C.UTF-8")
    return "/" + posixpath.normpath(written).lstrip("/")


def _can_be_named(path: str) -> bool:
    try:
        return bool(os.fsencode(path))
    except UnicodeEncodeError:
        return False


def place(value: Any) -> str:
    """A path of a file or directory of its own, which the root is not."""
    written = path(value)
    if written == "/":
        raise WrongValueError("an absolute path other than /")
    return written


def mount_target(value: Any) -> str:
    """A directory to mount on: not the root, not in the kernel's own filesystems."""
    target = path(value)
    if target == "/" or target.split("/")[1] in {"proc", "sys", "dev"}:
        raise WrongValueError("a directory to mount on: not /, and nothing in /proc, /sys or /dev")
    return target


def glob(value: Any) -> str:
    """A glob below `/dev/`."""
    written = line(value) if _is(value, str) else ""
    if not written.startswith("/dev/") or ".." in written.split("/"):
        raise WrongValueError("a glob over device nodes or their links, such as /dev/nvme*")
    return written


def btrfs_compression(value: Any) -> str:
    """What `compress=` takes: zlib or zstd, with a level after a colon, or lzo."""
    return _compression(value, {"zlib": 9, "lzo": 0, "zstd": 15})


def bcachefs_compression(value: Any) -> str:
    """What `--compression` takes; the superblock keeps four bits for a level."""
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
    """The shortest IEC spelling that is exact."""
    for unit in ("PiB", "TiB", "GiB", "MiB", "KiB"):
        if number and number % _UNITS[unit] == 0:
            return f"{number // _UNITS[unit]}{unit}"
    return number


def show_duration(seconds: float) -> str | float:
    """A duration as a file would write it, in the largest unit that is exact."""
    for unit in ("h", "min", "s", "ms"):
        whole = round(seconds / _SECONDS[unit])
        if whole and whole * _SECONDS[unit] == seconds and whole < 10**9:
            return f"{whole}{unit}"
    return seconds


def _is(value: Any, *kinds: type) -> bool:
    return type(value) in kinds  # bool is a subclass of int, and never meant where a number is asked for
