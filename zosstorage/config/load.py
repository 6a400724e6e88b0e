"""Merges the sources and checks the configuration; reports all mistakes of all sources at once."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import evolve, frozen
from cattrs import ClassValidationError
from cattrs.errors import ForbiddenExtraKeysError

from zosstorage import converter, text
from zosstorage.config import rules, sources, values
from zosstorage.config.scalars import Path, dotted
from zosstorage.config.schema import Config
from zosstorage.config.sources import Layer, Merged
from zosstorage.errors import ConfigError, ZosstorageError
from zosstorage.flags import option_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from zosstorage.flags import CliOptions

# The sections that affect neither a disk nor a mount: a checkpoint stays valid if they change.
_RUN_OPTIONS = ("logging", "report", "run_dir", "tools")


@frozen
class Loaded:
    """The configuration and the sources that it was made from."""

    config: Config
    merged: Merged

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of the settings that affect disks and mounts: all except the run options."""
        plain = converter.unstructure(self.config)
        kept = {key: value for key, value in plain.items() if key not in _RUN_OPTIONS}
        canonical = json.dumps({**kept, "root": self.config.root}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


# The most mistakes that a message names; a wrong file can have a million.
_MOST_SHOWN = 50


class Mistake(NamedTuple):
    """A mistake: the path of the key, and the text that says what is wrong and what is allowed."""

    path: Path
    problem: str


def load(options: CliOptions, *, read_cmdline: Callable[[str], bytes] = sources.read_bytes) -> Loaded:
    """Merge and check all sources.

    Args:
        options: the command line.
        read_cmdline: reads the kernel command line from the path of its file.

    Raises:
        ConfigError: all mistakes of all sources, or a source cannot be read.
        UnimplementedError: `zosstorage.force` on the kernel command line.
    """
    return checked(sources.merge(options, read_cmdline=read_cmdline))


def usable(options: CliOptions) -> Config:
    """The configuration without what is wrong in it: it says how and where to report that it was refused."""
    try:
        merged = sources.merge(options)
    except ZosstorageError:
        merged = sources.combine((sources.flag_layer(options.settings, "command line", option_name),))
    return parse(merged.values)[0]


def checked(merged: Merged) -> Loaded:
    """Check merged sources and make the configuration.

    Raises:
        ConfigError: all mistakes: duplicate and unknown keys, wrong values (also those that a higher source overrides)
            and contradictions between keys.
    """
    problems = [problem for layer in merged.layers for problem in _layer_problems(layer)]
    # Each of these mistakes was already reported for its layer; here they only show which keys have no valid value.
    config, mistakes = parse(merged.values)
    root, root_problems = _root(*merged.root)
    problems += root_problems
    wrong = [mistake.path for mistake in mistakes]
    problems += [problem for paths, problem in _contradictions(config, merged) if not _overlap(paths, wrong)]
    if problems:
        raise refusal(problems)
    return Loaded(evolve(config, root=root), merged)


def refusal(problems: list[str]) -> ConfigError:
    """Make one error: its message is the only mistake, or the number of mistakes, which are then the problems.

    A mistake that two layers share counts once.
    """
    unique = tuple(dict.fromkeys(problems))
    hint = "zosstorage schema config prints all keys and their allowed values"
    if len(unique) == 1:
        return ConfigError(unique[0], hint=hint)
    shown = unique[:_MOST_SHOWN]
    more = (f"and {len(unique) - len(shown)} more",) if len(unique) > len(shown) else ()
    return ConfigError(f"{len(unique)} mistakes in the configuration", problems=(*shown, *more), hint=hint)


def parse(plain: dict[str, Any]) -> tuple[Config, list[Mistake]]:
    """Make the configuration from plain data, with the default for each wrong value; also return the mistakes."""
    try:
        return converter.structure(plain, Config), []
    except ClassValidationError as error:
        mistakes = list(_mistakes(error, plain, ()))
    kept = copy.deepcopy(plain)
    for mistake in mistakes:
        _remove(kept, mistake.path)
    return converter.structure(kept, Config), mistakes


def _mistakes(error: BaseException, value: Any, path: Path) -> Iterator[Mistake]:
    match error:
        case ClassValidationError():
            yield from _class_mistakes(error, value, path)
        case converter.NotAMappingError():
            allowed = f"a mapping of keys ({text.one_of(converter.keys_of(error.kind))})"
            yield Mistake(path, f"found {text.found(value)}; allowed: {allowed}")
        case values.WrongItemsError():
            for index, item, wrong in error.items:
                yield Mistake((*path, index), f"found {wrong.found or text.found(item)}; allowed: {wrong.allowed}")
        case values.WrongValueError():
            yield Mistake(path, f"found {error.found or text.found(value)}; allowed: {error.allowed}")
        case _:
            raise error


def _class_mistakes(error: ClassValidationError, value: Any, path: Path) -> Iterator[Mistake]:
    keys = {field.name: converter.key_of(field) for field in converter.fields_of(error.cl)}
    of_fields, of_class = error.group_exceptions()
    for wrong, note in of_fields:
        key = keys[note.name]
        yield from _mistakes(wrong, value[key], (*path, key))
    for wrong in of_class:
        if not isinstance(wrong, ForbiddenExtraKeysError):
            raise wrong
        for key in sorted(wrong.extra_fields):
            close = text.nearest(key, keys.values())
            yield Mistake((*path, key), f"unknown key{close}; known: {text.one_of(keys.values())}")


def _remove(plain: dict[str, Any], path: Path) -> None:
    """Remove a key, or the whole list if the path is that of a list item."""
    *sections, last = [key for key in path if isinstance(key, str)]
    for key in sections:
        plain = plain[key]
    plain.pop(last, None)


def _layer_problems(layer: Layer) -> list[str]:
    return [*layer.problems, *_sentences(parse(layer.values)[1], layer.origins)]


def _sentences(mistakes: list[Mistake], origins: Mapping[Path, str]) -> list[str]:
    """Each mistake with its origin and key, in the order of the source."""
    order = {path: number for number, path in enumerate(origins)}
    in_order = sorted(mistakes, key=lambda mistake: order[mistake.path])
    return [f"{origins[path]}: {dotted(path)}: {problem}" for path, problem in in_order]


def _root(written: str, origin: str) -> tuple[str, list[str]]:
    try:
        return values.path(written), []
    except values.WrongValueError as error:
        return "/", [f"{origin}: found {text.found(written)}; allowed: {error.allowed}"]


def _contradictions(config: Config, merged: Merged) -> Iterator[tuple[tuple[Path, ...], str]]:
    for paths, problem in rules.contradictions(config):
        where = dict.fromkeys(merged.origins[path] for path in paths if path in merged.origins)
        keys = [dotted(path) + ("" if path in merged.origins else " (default)") for path in paths]
        yield paths, f"{', '.join(where)}: {', '.join(keys)}: {problem}"


def _overlap(paths: tuple[Path, ...], wrong: list[Path]) -> bool:
    return any(path[: len(other)] == other[: len(path)] for path in paths for other in wrong)
