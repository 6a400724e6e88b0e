"""docs/SCHEMA.md, rendered from the classes: `python -m zosstorage.config.document > docs/SCHEMA.md`."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Any

from attrs import has

from zosstorage.config import options, show
from zosstorage.config.choices import OnFailure, profiles
from zosstorage.config.fields import described
from zosstorage.config.schema import Config
from zosstorage.converter import fields_of, key_of
from zosstorage.flags import FLAGS, MAX_WAIT, Kind, spelled
from zosstorage.topologies import TOPOLOGIES, Topology

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from attrs import Attribute

_HEAD = """\
# Configuration

This page is made from the classes in `zosstorage/config` by `python -m zosstorage.config.document`; a test holds the
two equal. `zosstorage schema config` prints the same as JSON Schema (2020-12), `zosstorage config check FILE`
validates a file, `zosstorage config show --origins` prints what all sources together say and which of them said it.

## Sources

The highest wins, key by key; maps merge, lists and scalars replace.

1. words on the kernel command line: `zosstorage.KEY=VALUE`
2. the YAML file named there by `zosstorage.config=PATH`
3. flags
4. the YAML file named by `--config PATH`
5. `/etc/zosstorage/config.yaml`
6. the built-in defaults

All files that are named are read, the default file also when another is named. That one may be missing; a named file
that is missing is an error. Every mistake of every source is told at once, with the place where it stands (also one
in a value that a higher source hides), and ends in exit code 3. `config check` looks at one file over the defaults,
so a contradiction that only another source would resolve is one there.

`logging`, `report.path`, `run_dir` and `tools` change nothing on a disk: setting them differently does not make a
checkpoint worthless. Any other change starts the machine again at Discover.

## Files

Regular files (or `/dev/null`) in UTF-8, at most 1 MiB, one document, a mapping at the top; an empty one sets nothing.
Scalars are read as in YAML 1.2: `true` and `false` are the only booleans, and `yes`, `no`, `0755`, `12:30:00`, `1_000`
are text. Keys that stand twice, unknown keys, anchors, aliases, tags and merge keys are errors. `null` is a value only
where a key's default is `null`.

**Sizes** are bytes, or a whole number with `B`, `KiB`, `MiB`, `GiB`, `TiB` or `PiB`. `GB` and `G` are refused: half the
world counts them in thousands. **Durations** are seconds, or a whole number with `ms`, `s`, `min` or `h`. **Paths** are
absolute, without `..`. **Globs** begin with `/dev/`.
"""

_WORDS = """\
## Flags and kernel command line

`--set KEY.PATH=VALUE` (`zosstorage.set=`) sets any key of the tables above; VALUE is YAML, such as
`--set 'devices.exclude=[/dev/sr*]'`. It may be given more than once. Within a source the last word wins, whichever of
its forms it has; only `include` and `exclude` add up among themselves, and then replace the list of lower sources.
A path given to a flag is taken from the working directory; in a file and for the kernel it is absolute.
"""

_KERNEL = f"""\
For the kernel command line:

- The kernel's quoting holds: `zosstorage.report="/run/a b"` and `"zosstorage.report=/run/a b"` are one word each.
- Dashes and underscores in a name are the same: `zosstorage.log-level` is `zosstorage.log_level`.
- `zosstorage.fstab` alone is true; with a value it is what the kernel takes for its own: `1`, `y`, `yes`, `t`, `true`,
  `on` or `0`, `n`, `no`, `f`, `false`, `off`. `zosstorage.no_fstab` is the opposite.
- `zosstorage.include=/dev/sda,/dev/sdb` is the same as two words.
- What stands after ` -- ` is for init, and not read.
- An unknown `zosstorage.` word is an error that names the nearest known one.
- `zosstorage.on_failure={"|".join(OnFailure)}` is for the init hook, which decides what becomes of a boot whose
  disks could not be provisioned, and `zosstorage.wait=SECONDS` (0 to {MAX_WAIT}) for how long it waits for disks. The
  program checks the words and does nothing with them; see [OPERATING.md](OPERATING.md).
- `zosstorage.force` ends in exit code 8, as `--force` does.
"""

_OPTIONS = """\
## Further words for mkfs and mount

Only these are taken. Their arity is known, so no word can become one more device to format, and what mount would
refuse is refused before anything is written. What labels, sizes, forces, encrypts, chooses members or has a key of
its own is not among them, nor is what makes a mount read-only or degraded, names a subvolume, or only concerns
user space. bcachefs takes values as `--name=value`. A mount option is one item of the list, without commas.
"""

_CONTRADICTIONS = """\
## Contradictions

Each of these is an error, told with every key that takes part in it:
"""

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# The profiles of btrfs that are never, or not yet, a value, and why.
_NO_PROFILES = (
    (("raid0", "raid10"), "no topology stripes"),
    (("raid1c3", "raid1c4"), "the mode promises raid1"),
    (("raid5", "raid6"), "the write hole"),
)


def markdown() -> str:
    """The whole page, ending with a newline."""
    keys = ["## Keys\n", *_tables()]
    words = [_WORDS, _flags(), _KERNEL, _OPTIONS, _option_table()]
    return "\n".join([_HEAD, *keys, *words, _CONTRADICTIONS, _contradictions()])


def _tables() -> Iterator[str]:
    yield _table(_rows(Config, ""))
    for path, kind, doc in _sections(Config, ""):
        yield f"### `{path}`\n\n{doc}\n"
        rows = list(_rows(kind, f"{path}."))
        if rows:
            yield _table(rows)


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = [f"| `{name}` | {default} | {doc} |" for name, default, doc in rows]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *lines]) + "\n"


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
            yield prefix + name, f"`{show.leaf(defaults[name])}`", doc.replace("|", "\\|")


def _section(field: Attribute[Any]) -> type[Any] | None:
    """The class of a field that holds a section; None for a key with a value."""
    return field.type if isinstance(field.type, type) and has(field.type) else None


def _choices(field: Attribute[Any]) -> str:
    # What is no enum may be text, whose iteration would be an error, or a tuple, which has no members.
    members = [str(member.value) for member in getattr(field.type, "__members__", {}).values()]
    return ", ".join(map(_code, field.metadata.get("choices", lambda: members)()))


def _code(name: str) -> str:
    return f"`{name}`"


def _flags() -> str:
    lines = [f"| {_flag(name)} | {_word(name)} | `{'.'.join(flag.key)}` |" for name, flag in FLAGS.items()]
    root = "`root` is no key of a file.\n"
    return "\n".join(["| flag | kernel command line | key |", "| --- | --- | --- |", *lines]) + "\n\n" + root


def _flag(name: str) -> str:
    if FLAGS[name].kind is Kind.SWITCH:
        return f"`{spelled(name)}`, `--no-{name}`"
    return f"`{spelled(name)} {_metavar(name)}`"


def _word(name: str) -> str:
    if FLAGS[name].kind is Kind.SWITCH:
        return f"`zosstorage.{name}`, `zosstorage.no_{name}`"
    return f"`zosstorage.{name}={_metavar(name)}`"


def _metavar(name: str) -> str:
    return FLAGS[name].metavar.replace("|", "\\|")


def _option_table() -> str:
    lines = [f"| `{name}.mkfs_options` | {_spelled(known)} |" for name, known in options.MKFS.items()]
    lines += [f"| `{name}.mount_options` | {_spelled(known)} |" for name, known in options.MOUNT.items()]
    return "\n".join(["| key in `filesystems` | allowed |", "| --- | --- |", *lines]) + "\n"


def _spelled(known: Iterable[str]) -> str:
    return " ".join(f"`{option}…`" if option.endswith(("=", " ")) else f"`{option}`" for option in known)


def _contradictions() -> str:
    return ";\n".join(map(_item, _rules())) + ".\n"


def _rules() -> Iterator[str]:
    """What `rules` refuses, each as one line."""
    yield (
        "`devices.include` is empty, or a glob stands in both `include` and `exclude`, or in both `cache` and `backing`"
    )
    yield f"`topology.cache` or `backing` with a mode that has no such disks: all but `auto` and {_tiered()}"
    yield (
        f"numbers in `devices.expect` that do not add up, or of which the mode cannot be made: {_needs()} "
        "(the classes are not compared when `cache` or `backing` give roles by name)"
    )
    yield _profiles()
    yield f"`replicas` {_replicas()}, more than `expect.hdd`"
    yield "btrfs `compression` with the mount option `compress-force`, `nodatacow` or `nodatasum`"
    yield "mount targets (and `data_root`) that are equal or inside each other"
    yield "two of log file, report, fstab, checkpoint and lock at one path"


def _item(rule: str) -> str:
    return textwrap.fill(f"- {rule}", 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _tiered() -> str:
    count = sum(row.tiered for row in TOPOLOGIES.values())
    return f"the {_NUMBERS[count]} tiered one{'' if count == 1 else 's'}"


def _needs() -> str:
    """The disks that each mode needs, in words; modes that need the same are told together."""
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
        f"{', '.join(_no_profiles())} are no values at all"
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
