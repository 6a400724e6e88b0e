"""docs/SCHEMA.md, rendered from the classes: `python -m zosstorage.config.document > docs/SCHEMA.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields, has, resolve_types

from zosstorage.config import options, show
from zosstorage.config.choices import OnFailure
from zosstorage.config.fields import key_of
from zosstorage.config.flags import FLAGS, MAX_WAIT, Kind, spelled
from zosstorage.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEAD = """\
# Configuration

This page is made from the classes in `zosstorage/config` by `python -m zosstorage.config.document`; a test holds the two
equal. `zosstorage schema config` prints the same as JSON Schema (2020-12), `zosstorage config check FILE` validates a
file, `zosstorage config show --origins` prints what all sources together say and which of them said it.

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

`logging` and `report.path` change nothing on a disk: setting them differently does not make a checkpoint worthless.
Any other change starts the machine again at Discover.

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

- `devices.include` is empty, or a glob stands in both `include` and `exclude`, or in both `cache` and `backing`;
- `topology.cache` or `backing` with a mode that has no such disks: all but `auto` and the two tiered ones;
- numbers in `devices.expect` that do not add up, or of which the mode cannot be made: `single` and `bcachefs_single`
  need one disk, `dual_independent` and `btrfs_raid1` two, `ssd_hdd_bcachefs` an SSD and an HDD, `bcachefs_2copy` an
  SSD and two HDDs (the classes are not compared when `cache` or `backing` give roles by name);
- a btrfs profile other than `raid1` with `btrfs_raid1`, or `raid1` with a mode whose filesystems have one disk each.
  `raid0` and `raid10` (no topology stripes), `raid1c3` and `raid1c4` (the mode promises raid1), `raid5` and `raid6`
  (the write hole) are no values at all;
- `replicas` other than 1 with `bcachefs_single`, other than 2 with `bcachefs_2copy`, more than `expect.hdd`;
- btrfs `compression` with the mount option `compress-force`, `nodatacow` or `nodatasum`;
- mount targets (and `data_root`) that are equal or inside each other;
- two of log file, report, fstab, checkpoint and lock at one path.
"""


def markdown() -> str:
    """The whole page, ending with a newline."""
    parts = [_HEAD, "## Keys\n", *_tables(), _WORDS, _flags(), _KERNEL, _OPTIONS, _option_table(), _CONTRADICTIONS]
    return "\n".join(parts)


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


def _kept(kind: type[Any]) -> Iterator[Any]:
    resolve_types(kind)
    return (field for field in fields(kind) if not field.metadata.get("flag"))


def _sections(kind: type[Any], prefix: str) -> Iterator[tuple[str, type[Any], str]]:
    for field in _kept(kind):
        if has(field.type):
            path = prefix + key_of(field)
            yield path, field.type, field.metadata["doc"]
            yield from _sections(field.type, path + ".")


def _rows(kind: type[Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    defaults = show.as_file(kind())
    for field in _kept(kind):
        if not has(field.type):
            name, choices = key_of(field), _choices(field.type)
            doc = field.metadata["doc"] + (f" One of {choices}." if choices else "")
            yield prefix + name, f"`{show.scalar(defaults[name])}`", doc.replace("|", "\\|")


def _choices(kind: Any) -> str:
    # What is no enum may be text, whose iteration would be an error, or a tuple, which has no members.
    members = getattr(kind, "__members__", {})
    return ", ".join(f"`{member.value}`" for member in members.values())


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


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201  a generator's output
