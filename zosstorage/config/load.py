"""From the merged map to classes: every mistake of every source is told at once."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import fields, has
from cattrs import ClassValidationError, Converter
from cattrs.errors import ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from zosstorage import text
from zosstorage.config import rules, values
from zosstorage.config.fields import key_of
from zosstorage.config.schema import Config
from zosstorage.errors import ConfigError
from zosstorage.value import evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from zosstorage.config.sources import Layer, Merged


class Mistake(NamedTuple):
    """Where in a map something is wrong, and the sentence's end that says what."""

    path: text.Path
    told: str


def structure(merged: Merged) -> Config:
    """The configuration.

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
    return evolve(config, root=root)


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
        return _converter().structure(plain, Config), []
    except ClassValidationError as error:
        mistakes = list(_mistakes(error, plain, ()))
    kept = copy.deepcopy(plain)
    for mistake in mistakes:
        _forget(kept, mistake.path)
    return _converter().structure(kept, Config), mistakes


@cache
def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook_factory(has, lambda kind: _mapping_only(kind, converter))
    return converter


def _mapping_only(kind: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    build = make_dict_structure_fn(
        kind, converter, _cattrs_forbid_extra_keys=True, **{field.name: _override(field) for field in fields(kind)}
    )

    def hook(value: Any, wanted: Any) -> Any:
        if not isinstance(value, dict):
            raise values.WrongValueError("a mapping of keys" + _listing(_keys(kind)))
        return build(value, wanted)

    return hook


def _override(field: Any) -> Any:
    parse = field.metadata.get("parse")
    hook = (lambda value, _: parse(value)) if parse else None
    return override(rename=key_of(field), struct_hook=hook, omit=field.metadata.get("flag"))


def _keys(kind: type[Any]) -> dict[str, str]:
    return {field.name: key_of(field) for field in fields(kind) if not field.metadata.get("flag")}


def _listing(keys: Mapping[str, str]) -> str:
    return f" ({', '.join(keys.values())})"


def _mistakes(error: BaseException, value: Any, path: text.Path) -> Iterator[Mistake]:
    match error:
        case ClassValidationError():
            yield from _class_mistakes(error, value, path)
        case values.WrongItemsError():
            for index, item, wrong in error.items:
                yield Mistake((*path, index), f"found {wrong.found or text.found(item)}; allowed: {wrong.allowed}")
        case values.WrongValueError():
            yield Mistake(path, f"found {error.found or text.found(value)}; allowed: {error.allowed}")
        case _:
            raise error


def _class_mistakes(error: ClassValidationError, value: Any, path: text.Path) -> Iterator[Mistake]:
    keys = _keys(error.cl)
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


def _forget(plain: dict[str, Any], path: text.Path) -> None:
    """Takes the key away, with the whole list where it is an item of one."""
    *sections, last = [key for key in path if isinstance(key, str)]
    for key in sections:
        plain = plain[key]
    plain.pop(last, None)


def _layer_problems(layer: Layer) -> list[str]:
    return [*layer.problems, *_tell(settle(layer.values)[1], layer.origins)]


def _tell(mistakes: list[Mistake], origins: Mapping[text.Path, str]) -> list[str]:
    """Each mistake with its place, in the order in which the source wrote them."""
    order = {path: number for number, path in enumerate(origins)}
    inorder = sorted(mistakes, key=lambda mistake: order[mistake.path])
    return [f"{origins[path]}: {text.dotted(path)}: {told}" for path, told in inorder]


def _root(written: str, origin: str) -> tuple[str, list[str]]:
    try:
        return values.path(written), []
    except values.WrongValueError as error:
        return "/", [f"{origin}: found {text.found(written)}; allowed: {error.allowed}"]


def _contradictions(config: Config, merged: Merged) -> Iterator[tuple[tuple[text.Path, ...], str]]:
    for paths, told in rules.contradictions(config):
        where = dict.fromkeys(merged.origins[path] for path in paths if path in merged.origins)
        keys = [text.dotted(path) + ("" if path in merged.origins else " (default)") for path in paths]
        yield paths, f"{', '.join(where)}: {', '.join(keys)}: {told}"


def _touch(paths: tuple[text.Path, ...], wrong: list[text.Path]) -> bool:
    return any(path[: len(other)] == other[: len(path)] for path in paths for other in wrong)
