"""Four sources, one map: kernel command line over command line over configuration file over built-in defaults.

The first two may each name a YAML file, whose keys rank just below that source's own words. Values are not checked
here.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, frozen

from zosstorage import text
from zosstorage.config import cmdline
from zosstorage.config.scalars import LIMIT_BYTES, Path, dotted, is_plain, scalar
from zosstorage.errors import ConfigError, UnimplementedError
from zosstorage.flags import FLAGS, CliOptions, Kind, Setting, spelled
from zosstorage.system.files import open_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from zosstorage.config import yamlfile

DEFAULT_FILE = "/etc/zosstorage/config.yaml"
KERNEL_FILE = "/proc/cmdline"
# One more byte than a file may have: enough to see that it has too many.
_READ_BYTES = LIMIT_BYTES + 1
# /dev/null, by the numbers that Documentation/admin-guide/devices.txt gives it.
_NULL = os.makedev(1, 3)
_DEEPEST_KEY = 8


@define
class Layer:
    """What one source sets.

    Attributes:
        values: nested mappings as in a file, with whatever types the source wrote.
        origins: for the path of every key and list item, where it was written.
        problems: sentences about what could not be kept in `values`.
        root: `--root` and its origin; it is no key of a file.
    """

    values: dict[str, Any] = Factory(dict)
    origins: dict[Path, str] = Factory(dict)
    problems: list[str] = Factory(list)
    root: tuple[str, str] | None = None


@frozen
class Merged:
    """All layers in one.

    Attributes:
        values: what was set by anyone; unchecked.
        origins: for the path of every leaf in `values`, where it was written.
        root: the prefix, as given, and its origin.
        layers: the lowest first.
    """

    values: dict[str, Any]
    origins: dict[Path, str]
    root: tuple[str, str]
    layers: tuple[Layer, ...]


def read_bytes(path: str) -> bytes:
    """Up to 1 MiB and one byte of a file; /dev/null is an empty one.

    Raises:
        OSError: it cannot be read, or is no file: a FIFO would be waited for, a device may never end.
    """
    with open(path, "rb", opener=open_at_once) as stream:
        seen = os.fstat(stream.fileno())
        if stat.S_ISREG(seen.st_mode) or (stat.S_ISCHR(seen.st_mode) and seen.st_rdev == _NULL):
            return stream.read(_READ_BYTES)
    raise OSError(errno.EINVAL, "it is not a regular file")


def merge(options: CliOptions, *, read_cmdline: Callable[[str], bytes] = read_bytes) -> Merged:
    """All sources in one map, unchecked; what a source could not keep is in its layer's problems.

    Raises:
        ConfigError: a file or the kernel command line cannot be read, or a file is no YAML.
        UnimplementedError: `zosstorage.force` on the kernel command line.
    """
    words = _kernel_words(options.cmdline, read_cmdline)
    if words.force:
        raise UnimplementedError(f"{cmdline.SOURCE}: force is not implemented", hint="take zosstorage.force away")
    return combine(
        (
            _default_file(),
            _named_file(options.config, "command line --config"),
            flag_layer(options.settings, "command line", spelled),
            _named_file(words.config, f"{cmdline.SOURCE} zosstorage.config"),
            _kernel_layer(words),
        )
    )


def _kernel_layer(words: cmdline.Words) -> Layer:
    layer = flag_layer(words.settings, cmdline.SOURCE, lambda name: cmdline.PREFIX + name)
    layer.problems += words.problems
    return layer


def combine(layers: tuple[Layer, ...]) -> Merged:
    """Puts layers over each other, the lowest first: maps merge key by key, lists and scalars replace."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = overlay(values, layer.values)
    origins = {path: _origin(layers, path) for path, _ in leaves(values)}
    root = next((layer.root for layer in reversed(layers) if layer.root), ("/", "default"))
    return Merged(values, origins, root, layers)


def overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """A new map: `over` over `base`, key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = overlay(below, value) if both else value  # type: ignore[arg-type]
    return merged


def leaves(values: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every path whose value is no mapping; an empty mapping sets nothing."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _origin(layers: Iterable[Layer], path: Path) -> str:
    return next(layer.origins[path] for layer in reversed(tuple(layers)) if path in layer.origins)


def _kernel_words(path: str | None, read_cmdline: Callable[[str], bytes]) -> cmdline.Words:
    try:
        line = read_cmdline(path or KERNEL_FILE)
    except OSError as error:
        if path is None and isinstance(error, FileNotFoundError):  # without /proc; who works on disks is refused later
            return cmdline.Words()
        told = f"{cmdline.SOURCE}: cannot read {text.clean(path or KERNEL_FILE, 200)}: {error.strerror}"
        raise ConfigError(told, hint="mount /proc, or name a file with --cmdline") from None
    return cmdline.read(line.decode("utf-8", "surrogateescape"))


def _default_file() -> Layer:
    try:
        return file_layer(DEFAULT_FILE, read_bytes(DEFAULT_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return Layer()
    except OSError as error:
        hint = "mend it, or take it away: without it the defaults hold"
        raise ConfigError(f"{DEFAULT_FILE}: cannot be read: {error.strerror}", hint=hint) from None


def _named_file(path: str | None, named_by: str) -> Layer:
    if path is None:
        return Layer()
    try:
        return file_layer(path, read_bytes(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = f"the file was named by {named_by}"
        raise ConfigError(f"{text.clean(path, 200)}: cannot be read: {reason}", hint=hint) from None


def _read_yaml(raw: bytes, name: str, *, numbered: bool = True) -> yamlfile.Document:
    """PyYAML is imported where there is something in YAML: loading it takes a sixth of the time until work begins."""
    from zosstorage.config import yamlfile  # noqa: PLC0415 - see above

    return yamlfile.read(raw, name, numbered=numbered)


def file_layer(path: str, raw: bytes) -> Layer:
    """What a YAML file sets.

    Raises:
        ConfigError: the bytes are no plain YAML document.
    """
    name = text.clean(path, 200)
    document = _read_yaml(raw, name)
    layer = Layer(
        origins={where: f"{name}:{line}" for where, line in document.lines.items()},
        problems=[f"{name}:{line}: {dotted(where)}: {told}" for where, line, told in document.problems],
    )
    _keep_mapping(layer, document.data, f"{name}:1")
    return layer


def _keep_mapping(layer: Layer, data: Any, origin: str) -> None:
    if isinstance(data, dict):
        layer.values = data
    elif data is not None:
        layer.problems.append(f"{origin}: the document: found {text.found(data)}; allowed: a mapping of keys")


def flag_layer(settings: Iterable[Setting], source: str, spell: Callable[[str], str]) -> Layer:
    """What flags or kernel words set; the last one wins, only `include` and `exclude` add up among themselves."""
    layer, lists = Layer(), dict[str, list[str]]()
    for name, value in settings:
        origin = f"{source} {spell(name)}"
        if name == "set":
            _assign(layer, str(value), origin)
        elif name == "root":
            layer.root = (str(value), origin)
        elif FLAGS[name].kind is Kind.LIST:
            lists.setdefault(name, []).append(str(value))
            _put(layer, FLAGS[name].key, list(lists[name]), origin)
        else:
            _put(layer, FLAGS[name].key, value, origin)
    return layer


def _assign(layer: Layer, assignment: str, origin: str) -> None:
    key, _, written = assignment.partition("=")
    path = tuple(key.split("."))
    if len(path) > _DEEPEST_KEY:
        layer.problems.append(f"{origin}: {text.clean(key)} is not known")
    elif is_plain(written) or not written:
        _put(layer, path, scalar(written), origin)
    else:
        _put_yaml(layer, path, written, origin)


def _put_yaml(layer: Layer, path: tuple[str, ...], written: str, origin: str) -> None:
    try:
        raw = written.encode("utf-8", "surrogateescape")
        document = _read_yaml(raw, f"{origin}: {dotted(path)}", numbered=False)
    except ConfigError as error:
        layer.problems.append(error.message)
        return
    layer.problems += [f"{origin}: {dotted((*path, *where))}: {what}" for where, _, what in document.problems]
    _put(layer, path, document.data, origin)


def _put(layer: Layer, path: tuple[str, ...], value: Any, origin: str) -> None:
    nested = value
    for key in reversed(path):
        nested = {key: nested}
    layer.values = overlay(layer.values, nested)
    layer.origins.update(dict.fromkeys(_nodes(nested), origin))


def _nodes(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _nodes(item, (*path, key))
