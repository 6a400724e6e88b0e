"""The configuration as a file would say it, with the origin of every key."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import fields, has

from zosstorage import text
from zosstorage.config.fields import key_of
from zosstorage.config.sources import Loaded, Merged, combine, file_layer, leaves, read_bytes
from zosstorage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.config.schema import Config


def as_file(section: Any) -> dict[str, Any]:
    """Plain maps, lists and scalars that a configuration file could hold; sizes in IEC units."""
    return {key_of(field): _plain(field, getattr(section, field.name)) for field in _file_fields(section)}


def _file_fields(section: Any) -> Iterator[Any]:
    return (field for field in fields(type(section)) if not field.metadata.get("flag"))


def _plain(field: Any, value: Any) -> Any:
    if has(type(value)):
        return as_file(value)
    if "show" in field.metadata:
        return field.metadata["show"](value)
    return value.value if isinstance(value, Enum) else list(value) if isinstance(value, tuple) else value


def origins(config: Config, merged: Merged) -> dict[str, str]:
    """For every key of the configuration (`topology.mode`), and for `root`, where its value comes from."""
    told = {text.dotted(path): merged.origins.get(path, "default") for path, _ in leaves(as_file(config))}
    return {**told, "root": merged.root[1]}


def show(loaded: Loaded, *, with_origins: bool = False) -> str:
    """The merged configuration as YAML that `config check` accepts; `root` is no key of a file, so a comment."""
    lines = list(_lines(as_file(loaded.config), ()))
    width = max(len(line) for _, line in lines)
    shown = [
        f"{line:<{width}}  # {text.clean(loaded.origins[name], 400)}" if with_origins and name else line
        for name, line in lines
    ]
    if loaded.config.root != "/":
        shown.append(f"# root: {loaded.config.root} ({text.clean(loaded.origins['root'], 400)})")
    return "\n".join(shown) + "\n"


def _lines(section: dict[str, Any], path: text.Path) -> Iterator[tuple[str, str]]:
    """Each line with the key it tells, empty for the line that opens a section."""
    indent = "  " * len(path)
    for key, value in section.items():
        if isinstance(value, dict):
            yield "", f"{indent}{key}:"
            yield from _lines(value, (*path, key))
        else:
            yield text.dotted((*path, key)), f"{indent}{key}: {scalar(value)}"


def scalar(value: Any) -> str:
    """A leaf in one line of YAML."""
    if isinstance(value, list):
        return "[" + ", ".join(scalar(item) for item in value) + "]"
    if isinstance(value, str) and text.is_plain(value) and text.scalar(value) == value:
        return value
    # JSON is YAML; every text in a checked configuration is printable, so that nothing needs YAML's own escapes.
    return json.dumps(value, ensure_ascii=False)


def check(path: str) -> str:
    """Checks one file by itself, over the built-in defaults, and says that it is fine.

    Raises:
        ConfigError: it cannot be read, or has mistakes: all of them.
    """
    from zosstorage.config import load

    try:
        raw = read_bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "name a YAML file that can be read"
        raise ConfigError(f"{text.clean(path, 200)}: cannot be read: {reason}", hint=hint) from None
    load.structure(combine((file_layer(path, raw),)))
    return f"{text.clean(path, 200)}: valid\n"
