"""The configuration in the form of a configuration file, with the origin of each key."""

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
    """Turn a section into the maps, lists and scalars of a configuration file; sizes are in IEC units."""
    plain: dict[str, Any] = converter.unstructure(section)
    return plain


def origins(loaded: Loaded) -> dict[str, str]:
    """Return the origin of the value of each key (`topology.mode`), and of `root`."""
    merged = loaded.merged
    found = {dotted(path): merged.origins.get(path, "default") for path, _ in leaves(as_file(loaded.config))}
    return {**found, "root": merged.root[1]}


def show(loaded: Loaded, *, with_origins: bool = False) -> str:
    """Format the merged configuration as YAML that `config check` accepts.

    `root` is not a key of a configuration file, so it is shown in a comment.
    """
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
    """Yield the key and the text of each line; the key is empty for the first line of a section."""
    indent = "  " * len(path)
    for key, value in section.items():
        if isinstance(value, dict):
            yield "", f"{indent}{key}:"
            yield from _lines(value, (*path, key))
        else:
            yield dotted((*path, key)), f"{indent}{key}: {leaf(value)}"


def leaf(value: Any) -> str:
    """Format a list or a scalar in one line of YAML."""
    if isinstance(value, list):
        return "[" + ", ".join(leaf(item) for item in value) + "]"
    if isinstance(value, str) and scalars.is_plain(value) and scalars.scalar(value) == value:
        return value
    # JSON is valid YAML. All text in a checked configuration is printable, so no escape of YAML alone is needed.
    return json.dumps(value, ensure_ascii=False)


def check(path: str) -> str:
    """Check one file over the built-in defaults, without the other sources; return a line that says it is valid.

    Raises:
        ConfigError: the file cannot be read, or all its mistakes.
    """
    try:
        raw = read_bytes(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "name a readable YAML file"
        raise ConfigError(f"{text.clean(path, 200)}: cannot be read: {reason}", hint=hint) from None
    load.checked(combine((file_layer(path, raw),)))
    return f"{text.clean(path, 200)}: valid\n"
