"""From the sources to the checked configuration: every mistake of every source is told at once."""

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
from zosstorage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from zosstorage.flags import CliOptions

# The sections that change nothing on a disk and no mount: a checkpoint of another value is as good.
_RUN_OPTIONS = ("logging", "report", "run_dir", "tools")


@frozen
class Loaded:
    """The configuration, and what it was made of."""

    config: Config
    merged: Merged

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of all that bears on what is provisioned: the configuration without the run options."""
        plain = converter.unstructure(self.config)
        told = {key: value for key, value in plain.items() if key not in _RUN_OPTIONS}
        canonical = json.dumps({**told, "root": self.config.root}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()


class Mistake(NamedTuple):
    """Where in a map something is wrong, and the sentence's end that says what."""

    path: Path
    told: str


def load(options: CliOptions, *, read_cmdline: Callable[[str], bytes] = sources.read_bytes) -> Loaded:
    """Merges and checks all sources.

    Raises:
        ConfigError: with every mistake of every source, or a source cannot be read.
        UnimplementedError: `zosstorage.force` on the kernel command line.
    """
    return checked(sources.merge(options, read_cmdline=read_cmdline))


def checked(merged: Merged) -> Loaded:
    """The configuration that a merged map makes.

    Raises:
        ConfigError: with every mistake: what a layer could not keep, unknown keys, wrong values (also those that a
            higher source hides) and contradictions between keys.
    """
    problems = [problem for layer in merged.layers for problem in _layer_problems(layer)]
    # A layer has told each of these mistakes already; here they only show which keys cannot be believed.
    config, mistakes = settle(merged.values)
    root, root_problems = _root(*merged.root)
    problems += root_problems
    wrong = [mistake.path for mistake in mistakes]
    problems += [told for paths, told in _contradictions(config, merged) if not _touch(paths, wrong)]
    if problems:
        raise refusal(problems)
    return Loaded(evolve(config, root=root), merged)


def refusal(problems: list[str]) -> ConfigError:
    """One error: the only mistake, or their number and each as a problem. A mistake of two layers counts once."""
    unique = tuple(dict.fromkeys(problems))
    hint = "zosstorage schema config has every key and what it takes"
    if len(unique) == 1:
        return ConfigError(unique[0], hint=hint)
    return ConfigError(f"{len(unique)} mistakes in the configuration", problems=unique, hint=hint)


def settle(plain: dict[str, Any]) -> tuple[Config, list[Mistake]]:
    """The configuration as far as `plain` can be used, with defaults for the rest, and what could not be used."""
    try:
        return converter.structure(plain, Config), []
    except ClassValidationError as error:
        mistakes = list(_mistakes(error, plain, ()))
    kept = copy.deepcopy(plain)
    for mistake in mistakes:
        _forget(kept, mistake.path)
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
            yield Mistake((*path, key), f"is not known{close}; known: {text.one_of(keys.values())}")


def _forget(plain: dict[str, Any], path: Path) -> None:
    """Takes the key away, with the whole list where it is an item of one."""
    *sections, last = [key for key in path if isinstance(key, str)]
    for key in sections:
        plain = plain[key]
    plain.pop(last, None)


def _layer_problems(layer: Layer) -> list[str]:
    return [*layer.problems, *_tell(settle(layer.values)[1], layer.origins)]


def _tell(mistakes: list[Mistake], origins: Mapping[Path, str]) -> list[str]:
    """Each mistake with its place, in the order in which the source wrote them."""
    order = {path: number for number, path in enumerate(origins)}
    inorder = sorted(mistakes, key=lambda mistake: order[mistake.path])
    return [f"{origins[path]}: {dotted(path)}: {told}" for path, told in inorder]


def _root(written: str, origin: str) -> tuple[str, list[str]]:
    try:
        return values.path(written), []
    except values.WrongValueError as error:
        return "/", [f"{origin}: found {text.found(written)}; allowed: {error.allowed}"]


def _contradictions(config: Config, merged: Merged) -> Iterator[tuple[tuple[Path, ...], str]]:
    for paths, told in rules.contradictions(config):
        where = dict.fromkeys(merged.origins[path] for path in paths if path in merged.origins)
        keys = [dotted(path) + ("" if path in merged.origins else " (default)") for path in paths]
        yield paths, f"{', '.join(where)}: {', '.join(keys)}: {told}"


def _touch(paths: tuple[Path, ...], wrong: list[Path]) -> bool:
    return any(path[: len(other)] == other[: len(path)] for path in paths for other in wrong)
