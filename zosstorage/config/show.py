"""The configuration as a file would say it, with the origin of every key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zosstorage import converter, text
from zosstorage.config import load, scalars
from zosstorage.config.scalars import Path, dotted
from zosstorage.config.sources import combine, file_layer, leaves, read_bytes
from zosstorage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zosstorage.config.load import Loaded


def as_file(section: Any) -> dict[str, Any]:
    """Plain maps, lists and scalars that a configuration file could hold; sizes in IEC units."""
    plain: dict[str, Any] = converter.unstructure(section)
    return plain


def origins(loaded: Loaded) -> dict[str, str]:
    """For every key of the configuration (`topology.mode`), and for `root`, where its value comes from."""
    merged = loaded.merged
    told = {dotted(path): merged.origins.get(path, "default") for path, _ in leaves(as_file(loaded.config))}
    return {**told, "root": merged.root[1]}


def show(loaded: Loaded, *, with_origins: bool = False) -> str:
    """The merged configuration as YAML that `config check` accepts; `root` is no key of a file, so a comment."""
    named = origins(loaded)
    lines = list(_lines(as_file(loaded.config), ()))
    width = max(len(line) for _, line in lines)
    shown = [
        f"{line:<{width}}  # {text.clean(named[name], 400)}" if with_origins and name else line for name, line in lines
    ]
    if loaded.config.root != "/":
        shown.append(f"# root: {loaded.config.root} ({text.clean(named['root'], 400)})")
    return "\n".join(shown) + "\n"


def _lines(section: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    """Each line with the key it tells, empty for the line that opens a section."""
    indent = "  " * len(path)
    for key, value in section.items():
        if isinstance(value, dict):
            yield "", f"{indent}{key}:"
            yield from _lines(value, (*path, key))
        else:
            yield dotted((*path, key)), f"{indent}{key}: {leaf(value)}"


def leaf(value: Any) -> str:
    """A leaf in one line of YAML."""
    if isinstance(value, list):
        return "[" + ", ".join(leaf(item) for item in value) + "]"
    if isinstance(value, str) and scalars.is_plain(value) and scalars.scalar(value) == value:
        return value
    # JSON is YAML; every text in a checked configuration is printable, so that nothing needs YAML's own escapes.
    return json.dumps(value, ensure_ascii=False)


def check(path: str) -> str:
    """Checks one file by itself, over the built-in defaults, and says that it is fine.

    Raises:
        ConfigError: it cannot be read, or has mistakes: all of them.
    """
    try:
        raw = read_bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "name a YAML file that can be read"
        raise ConfigError(f"{text.clean(path, 200)}: cannot be read: {reason}", hint=hint) from None
    load.checked(combine((file_layer(path, raw),)))
    return f"{text.clean(path, 200)}: valid\n"
