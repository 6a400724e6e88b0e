"""From the merged map to classes where nothing is wrong with it, which is nearly always: a rerun has no time for more.

Where anything is wrong, `structure` finds and tells it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zosstorage.config import rules, values
from zosstorage.config.fields import key_of
from zosstorage.config.schema import Config
from zosstorage.value import evolve, fields

if TYPE_CHECKING:
    from zosstorage.config.sources import Merged


def build(merged: Merged) -> Config | None:
    """The configuration; None if any source has a mistake, also one that a higher source hides."""
    if any(layer.problems for layer in merged.layers):
        return None
    try:
        for layer in merged.layers:
            _section(Config, layer.values)
        config = evolve(_section(Config, merged.values), root=values.path(merged.root[0]))
    except (values.WrongValueError, values.WrongItemsError):
        return None
    return None if any(rules.contradictions(config)) else config


def _section(kind: type[Any], plain: object) -> Any:
    """A section's class from what a file, or a flag, said; defaults for the rest."""
    known = {key_of(field): field for field in fields(kind) if not field.metadata.get("flag")}
    if not isinstance(plain, dict) or not plain.keys() <= known.keys():
        raise values.WrongValueError("a mapping of known keys")
    return kind(**{known[key].name: _value(known[key], value) for key, value in plain.items()})


def _value(field: Any, value: object) -> Any:
    parse = field.metadata.get("parse")
    return parse(value) if parse else _section(field.factory, value)
