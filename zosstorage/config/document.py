"""Generates docs/SCHEMA.md from the classes: `python -m zosstorage.config.document > docs/SCHEMA.md`."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attrs import frozen, has

from zosstorage.config import options, show
from zosstorage.config.choices import OnFailure, profiles
from zosstorage.config.fields import described
from zosstorage.config.schema import Config
from zosstorage.converter import fields_of, key_of
from zosstorage.flags import FLAGS, MAX_WAIT, Kind, option_name
from zosstorage.topologies import TOPOLOGIES, Topology

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from attrs import Attribute

_HEAD = """\
# Configuration

This page is generated from the classes in `zosstorage/config` by `python -m zosstorage.config.document`; a test checks
that it is up to date. `zosstorage schema config` prints the same information as JSON Schema (2020-12).
`zosstorage config check FILE` validates a file. `zosstorage config show --origins` prints the merged configuration and
the source of each key.

## Sources

From the highest precedence to the lowest; sources are merged key by key: maps merge, lists and scalars replace.

1. parameters on the kernel command line: `zosstorage.KEY=VALUE`
2. the YAML file named there by `zosstorage.config=PATH`
3. flags
4. the YAML file named by `--config PATH`
5. `/etc/zosstorage/config.yaml`
6. the built-in defaults

All these files are read; the default file is read even if another file is named. The default file may be missing; a
named file that is missing is an error. All mistakes in all sources are reported at once, each with its place, including
mistakes in a value that a higher source overrides; the exit code is 3. `config check` checks one file over the
defaults, so it also reports a contradiction that another source would resolve.

`logging`, `report.path`, `run_dir` and `tools` do not affect the disks: a checkpoint stays valid if they change. Any
other change makes the next run start at Discover.

## Files

A configuration file is a regular file (or `/dev/null`) of at most 1 MiB in UTF-8. It holds one YAML document, which is
a mapping; an empty file sets nothing. Scalars are read as in YAML 1.2: the booleans are `true` and `false`, and `yes`,
`no`, `0755`, `12:30:00` and `1_000` are text. Duplicate keys, unknown keys, anchors, aliases, tags and merge keys are
errors. `null` is allowed only where the default is `null`.

**Sizes** are bytes, or a whole number with `B`, `KiB`, `MiB`, `GiB`, `TiB` or `PiB`. `GB` and `G` are errors, because
they can mean powers of 1000 or of 1024. **Durations** are seconds, or a whole number with `ms`, `s`, `min` or `h`.
**Paths** are absolute and do not contain `..`. **Globs** begin with `/dev/`.
"""

_FLAGS_HEAD = """\
## Flags and kernel command line

`--set KEY.PATH=VALUE` (`zosstorage.set=`) sets any key of the tables above; VALUE is YAML, for example
`--set 'devices.exclude=[/dev/sr*]'`. It can be repeated. Within a source, the last setting of a key wins, whether it
was set by its own flag or by `--set`. Only `include` and `exclude` accumulate within a source; the result replaces the
list of lower sources. A relative path in a flag is resolved against the working directory; in a file and on the kernel
command line a path must be absolute.
"""

_KERNEL_NOTES = f"""\
On the kernel command line:

- The kernel's quoting applies: `zosstorage.report="/run/a b"` and `"zosstorage.report=/run/a b"` are one parameter.
- Dashes and underscores in a name are equivalent: `zosstorage.log-level` is `zosstorage.log_level`.
- `zosstorage.fstab` without a value is true. Its values are those of the kernel's boolean parameters: `1`, `y`, `yes`,
  `t`, `true`, `on` or `0`, `n`, `no`, `f`, `false`, `off`. `zosstorage.no_fstab` is the opposite.
- `zosstorage.include=/dev/sda,/dev/sdb` is equivalent to two parameters.
- Parameters after ` -- ` are for init and are ignored.
- An unknown `zosstorage.` parameter is an error; the message names the nearest known one.
- `zosstorage.on_failure={"|".join(OnFailure)}` tells the init hook what to do if the disks cannot
  be provisioned, and `zosstorage.wait=SECONDS` (0 to {MAX_WAIT}) tells it how long to wait for disks. The program
  itself only checks these two parameters; see [OPERATING.md](OPERATING.md).
- `zosstorage.force` ends with exit code 8, like `--force`.
"""

_OPTIONS_HEAD = """\
## Extra arguments for mkfs and mount

Only the options in this table are allowed. They cannot name one more device to format, and what mount would refuse is
refused before anything is written. Not allowed are options that set a label or a size, force, encrypt, or choose
members, options that have their own key, and mount options that mount read-only or degraded, select a subvolume or
only concern user space. bcachefs takes values as `--name=value`. Each mount option is an item of the list, without
commas.
"""

_CONTRADICTIONS_HEAD = """\
## Contradictions

Each of these is an error; the message names all keys that contradict each other:
"""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The btrfs profiles that are not allowed, and why.
_NO_PROFILES = (
    (("raid0", "raid10"), "no topology stripes"),
    (("raid1c3", "raid1c4"), "no topology requires them"),
    (("raid5", "raid6"), "the write hole"),
)


def markdown() -> str:
    """Return the whole page, with a newline at its end."""
    keys = ["## Keys\n", *_tables()]
    words = [_FLAGS_HEAD, _flags(), _KERNEL_NOTES, _OPTIONS_HEAD, _option_table()]
    return "\n".join([_HEAD, *keys, *words, _CONTRADICTIONS_HEAD, _contradictions()])


@frozen
class Section:
    """A section of the configuration.

    Attributes:
        path: its key; empty for the keys outside of all sections.
        doc: its description.
        keys: its keys, each as (path, default as YAML, description).
    """

    path: str
    doc: str
    keys: tuple[tuple[str, str, str], ...]


def sections() -> Iterator[Section]:
    """All sections of the configuration; texts are Markdown."""
    yield Section("", "", tuple(_rows(Config, "")))
    for path, kind, doc in _sections(Config, ""):
        yield Section(path, doc, tuple(_rows(kind, f"{path}.")))


def _tables() -> Iterator[str]:
    for section in sections():
        if section.path:
            yield f"### `{section.path}`\n\n{section.doc}\n"
        if section.keys:
            yield _table(section.keys)


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | `{default}` | {_cell(doc)} |" for name, default, doc in rows]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *lines]) + "\n"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def _sections(kind: type[Any], prefix: str) -> Iterator[tuple[str, type[Any], str]]:
    for field in fields_of(kind):
        section = _section(field)
        if section is not None:
            path = prefix + key_of(field)
            yield path, section, described(field)
            yield from _sections(section, path + ".")


def _rows(kind: type[Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    defaults = show.as_file(kind())
    for field in fields_of(kind):
        if _section(field) is None:
            name, choices = key_of(field), _choices(field)
            doc = described(field) + (f" One of {choices}." if choices else "")
            yield prefix + name, show.leaf(defaults[name]), doc


def _section(field: Attribute[Any]) -> type[Any] | None:
    """The class of a section; None for a key with a value."""
    return field.type if isinstance(field.type, type) and has(field.type) else None


def _choices(field: Attribute[Any]) -> str:
    # Only an enum has `__members__`; a field that is not an enum has no choices unless its metadata lists them.
    members = [str(member.value) for member in getattr(field.type, "__members__", {}).values()]
    return ", ".join(map(_code, field.metadata.get("choices", lambda: members)()))


def _code(name: str) -> str:
    return f"`{name}`"


def _flags() -> str:
    lines = [f"| {_flag(name)} | {_parameter(name)} | `{'.'.join(flag.key)}` |" for name, flag in FLAGS.items()]
    root = "`root` is not a key of a configuration file.\n"
    return "\n".join(["| flag | kernel command line | key |", "| --- | --- | --- |", *lines]) + "\n\n" + root


def _flag(name: str) -> str:
    if FLAGS[name].kind is Kind.SWITCH:
        return f"`{option_name(name)}`, `--no-{name}`"
    return f"`{option_name(name)} {_metavar(name)}`"


def _parameter(name: str) -> str:
    if FLAGS[name].kind is Kind.SWITCH:
        return f"`zosstorage.{name}`, `zosstorage.no_{name}`"
    return f"`zosstorage.{name}={_metavar(name)}`"


def _metavar(name: str) -> str:
    return _cell(FLAGS[name].metavar)


def _option_table() -> str:
    lines = [f"| `{name}.mkfs_options` | {_spelled(known)} |" for name, known in options.MKFS.items()]
    lines += [f"| `{name}.mount_options` | {_spelled(known)} |" for name, known in options.MOUNT.items()]
    return "\n".join(["| key in `filesystems` | allowed |", "| --- | --- |", *lines]) + "\n"


def _spelled(known: Iterable[str]) -> str:
    return " ".join(f"`{option}…`" if option.endswith(("=", " ")) else f"`{option}`" for option in known)


def _contradictions() -> str:
    return ";\n".join(map(_item, _rules())) + ".\n"


def _rules() -> Iterator[str]:
    """The contradictions that `rules` finds, each as one line."""
    yield ("`devices.include` is empty, or a glob is in both `include` and `exclude`, or in both `cache` and `backing`")
    yield f"`topology.cache` or `backing` with a mode without such disks: all modes except `auto` and {_tiered()}"
    yield (
        f"numbers in `devices.expect` that do not add up, or that the mode cannot use: {_needs()} "
        "(the numbers of SSDs and HDDs are not checked if `cache` or `backing` is set)"
    )
    yield _profiles()
    yield f"`replicas` {_replicas()}, more than `expect.hdd`"
    yield "btrfs `compression` with the mount option `compress-force`, `nodatacow` or `nodatasum`"
    yield "mount targets (or `data_root`) that are equal or inside each other"
    yield "the same path for two of log file, report, fstab, checkpoint and lock"


def _item(rule: str) -> str:
    return textwrap.fill(f"- {rule}", 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _tiered() -> str:
    count = sum(row.tiered for row in TOPOLOGIES.values())
    return f"the {_NUMBERS[count]} tiered one{'' if count == 1 else 's'}"


def _needs() -> str:
    """The disks that each mode needs, in words; modes with the same needs share an entry."""
    rows = sorted(TOPOLOGIES.values(), key=_need)
    (names, amount), *rest = ((_names(same), _amount(need)) for need, same in groupby(rows, key=_need))
    return ", ".join([f"{names} need {amount} disk", *(f"{names} {amount}" for names, amount in rest)])


def _need(row: Topology) -> tuple[int, int, int]:
    return row.cache, row.backing, row.least


def _names(rows: Iterable[Topology]) -> str:
    return " and ".join(_code(row.name) for row in rows)


def _amount(need: tuple[int, int, int]) -> str:
    cache, backing, least = need
    return f"{_disks(cache, 'SSD')} and {_disks(backing, 'HDD')}" if cache else _NUMBERS[least]


def _disks(number: int, kind: str) -> str:
    return f"an {kind}" if number == 1 else f"{_NUMBERS[number]} {kind}s"


def _profiles() -> str:
    promised = [(_code(row.profile), _code(row.name)) for row in TOPOLOGIES.values() if row.profile]
    others = ", ".join(f"other than {profile} with {name}" for profile, name in promised)
    shared = " or ".join(dict.fromkeys(profile for profile, _ in promised))
    return (
        f"a btrfs profile {others}, or {shared} with a mode whose filesystems have one disk each. "
        f"{', '.join(_no_profiles())} are never allowed"
    )


def _no_profiles() -> Iterator[str]:
    for names, why in _NO_PROFILES:
        left = [_code(name) for name in names if name not in profiles()]
        if left:
            yield f"{' and '.join(left)} ({why})"


def _replicas() -> str:
    promised = [(row.replicas, _code(row.name)) for row in TOPOLOGIES.values() if row.replicas]
    return ", ".join(f"other than {number} with {name}" for number, name in promised)


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201  a generator's output
