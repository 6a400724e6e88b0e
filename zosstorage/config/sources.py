"""Merges four sources: kernel command line over command line over configuration file over built-in defaults.

The kernel command line and the command line may each name a YAML file, which ranks just below that source's own
settings. This module does not check values.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, frozen

from zosstorage import text
from zosstorage.config import cmdline
from zosstorage.config.scalars import LIMIT_BYTES, Path, dotted, is_plain, scalar
from zosstorage.errors import ConfigError, UnimplementedError
from zosstorage.flags import FLAGS, CliOptions, Kind, Setting, option_name
from zosstorage.system.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from zosstorage.config import yamlfile

DEFAULT_FILE = "/etc/zosstorage/config.yaml"
KERNEL_FILE = "/proc/cmdline"
# One byte more than the limit, so that a larger file is noticed.
_READ_BYTES = LIMIT_BYTES + 1
# The device number of /dev/null (Linux, Documentation/admin-guide/devices.txt).
_NULL = os.makedev(1, 3)
# More levels than any key has; a longer key would make the merge recurse too deep.
_DEEPEST_KEY = 8


@define
class Layer:
    """The settings of one source.

    Attributes:
        values: nested mappings as in a file, unchecked.
        origins: for the path of each key and list item, where it was set.
        problems: one sentence for each setting that could not be stored in `values`.
        root: the value of `--root` and its origin; it is not a key of a file.
    """

    values: dict[str, Any] = Factory(dict)
    origins: dict[Path, str] = Factory(dict)
    problems: list[str] = Factory(list)
    root: tuple[str, str] | None = None


@frozen
class Merged:
    """The merged settings of all sources.

    Attributes:
        values: nested mappings, unchecked; keys that no source sets are missing.
        origins: for the path of each leaf in `values`, where it was set.
        root: the root prefix as given, and its origin.
        layers: the sources, the lowest first.
    """

    values: dict[str, Any]
    origins: dict[Path, str]
    root: tuple[str, str]
    layers: tuple[Layer, ...]


def read_bytes(path: str) -> bytes:
    """Read up to 1 MiB and one byte of a regular file; /dev/null counts as an empty one.

    Raises:
        OSError: the file cannot be read or is not a regular file (a FIFO could block, a device may have no end).
    """
    seen = os.stat(path)  # noqa: PTH116 - here a `Path` is that of a key
    if stat.S_ISCHR(seen.st_mode) and seen.st_rdev == _NULL:
        return b""
    with open(path, "rb", opener=open_regular) as stream:
        return stream.read(_READ_BYTES)


def merge(options: CliOptions, *, read_cmdline: Callable[[str], bytes] = read_bytes) -> Merged:
    """Read and merge all sources. Values are not checked; the layers hold the problems of their sources.

    Raises:
        ConfigError: a file or the kernel command line cannot be read, or a file is not YAML.
        UnimplementedError: `zosstorage.force` on the kernel command line.
    """
    parameters = _read_kernel_parameters(options.cmdline, read_cmdline)
    if parameters.force:
        raise UnimplementedError(f"{cmdline.SOURCE}: force is not implemented", hint="remove zosstorage.force")
    return combine(
        (
            _read_default_file(),
            _read_named_file(options.config, "command line --config"),
            flag_layer(options.settings, "command line", option_name),
            _read_named_file(parameters.config, f"{cmdline.SOURCE} zosstorage.config"),
            _kernel_layer(parameters),
        )
    )


def _kernel_layer(parameters: cmdline.Parameters) -> Layer:
    layer = flag_layer(parameters.settings, cmdline.SOURCE, lambda name: cmdline.PREFIX + name)
    layer.problems += parameters.problems
    return layer


def combine(layers: tuple[Layer, ...]) -> Merged:
    """Merge layers, the lowest first: maps merge key by key, lists and scalars replace."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = overlay(values, layer.values)
    origins = {path: _origin(layers, path) for path, _ in leaves(values)}
    root = next((layer.root for layer in reversed(layers) if layer.root), ("/", "default"))
    return Merged(values, origins, root, layers)


def overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a new map: `over` merged over `base` key by key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = overlay(below, value) if both else value  # type: ignore[arg-type]
    return merged


def leaves(values: dict[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path and the value of each leaf; an empty mapping has none."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _origin(layers: Iterable[Layer], path: Path) -> str:
    return next(layer.origins[path] for layer in reversed(tuple(layers)) if path in layer.origins)


def _read_kernel_parameters(path: str | None, read_cmdline: Callable[[str], bytes]) -> cmdline.Parameters:
    try:
        line = read_cmdline(path or KERNEL_FILE)
    except OSError as error:
        if path is None and isinstance(error, FileNotFoundError):  # no /proc: a command that uses disks fails later
            return cmdline.Parameters()
        message = f"{cmdline.SOURCE}: cannot read {text.clean(path or KERNEL_FILE, 200)}: {error.strerror}"
        raise ConfigError(message, hint="mount /proc, or name a file with --cmdline") from None
    return cmdline.read(line.decode("utf-8", "surrogateescape"))


def _read_default_file() -> Layer:
    try:
        return file_layer(DEFAULT_FILE, read_bytes(DEFAULT_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return Layer()
    except OSError as error:
        hint = "fix or remove the file; without it the defaults apply"
        raise ConfigError(f"{DEFAULT_FILE}: cannot be read: {error.strerror}", hint=hint) from None


def _read_named_file(path: str | None, named_by: str) -> Layer:
    if path is None:
        return Layer()
    try:
        return file_layer(path, read_bytes(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = f"the file was named by {named_by}"
        raise ConfigError(f"{text.clean(path, 200)}: cannot be read: {reason}", hint=hint) from None


def _read_yaml(raw: bytes, name: str, *, numbered: bool = True) -> yamlfile.Document:
    """Import PyYAML only if there is YAML to read: the import takes a sixth of the time before the first state."""
    from zosstorage.config import yamlfile  # noqa: PLC0415 - see above

    return yamlfile.read(raw, name, numbered=numbered)


def file_layer(path: str, raw: bytes) -> Layer:
    """Read the settings in a YAML file.

    Args:
        path: the name of the file in messages.
        raw: its content.

    Raises:
        ConfigError: the content is not a plain YAML document.
    """
    name = text.clean(path, 200)
    document = _read_yaml(raw, name)
    layer = Layer(
        origins={where: f"{name}:{line}" for where, line in document.lines.items()},
        problems=[f"{name}:{line}: {dotted(where)}: {problem}" for where, line, problem in document.problems],
    )
    _store_mapping(layer, document.data, f"{name}:1")
    return layer


def _store_mapping(layer: Layer, data: Any, origin: str) -> None:
    if isinstance(data, dict):
        layer.values = data
    elif data is not None:
        layer.problems.append(f"{origin}: the document: found {text.found(data)}; allowed: a mapping of keys")


def flag_layer(settings: Iterable[Setting], source: str, spell: Callable[[str], str]) -> Layer:
    """Store the settings of flags or kernel parameters.

    The last setting of a key wins. Repeated `include` and `exclude` are collected in one list each.

    Args:
        settings: in the order given.
        source: the name of the source in messages.
        spell: turns the name of a setting into the form that this source uses.
    """
    layer, lists = Layer(), dict[str, list[str]]()
    for name, value in settings:
        origin = f"{source} {spell(name)}"
        if name == "set":
            _store_assignment(layer, str(value), origin)
        elif name == "root":
            layer.root = (str(value), origin)
        elif FLAGS[name].kind is Kind.LIST:
            lists.setdefault(name, []).append(str(value))
            _store(layer, FLAGS[name].key, list(lists[name]), origin)
        else:
            _store(layer, FLAGS[name].key, value, origin)
    return layer


def _store_assignment(layer: Layer, assignment: str, origin: str) -> None:
    key, _, written = assignment.partition("=")
    path = tuple(key.split("."))
    if len(path) > _DEEPEST_KEY:
        layer.problems.append(f"{origin}: {text.clean(key)}: unknown key")
    elif is_plain(written) or not written:
        _store(layer, path, scalar(written), origin)
    else:
        _store_yaml(layer, path, written, origin)


def _store_yaml(layer: Layer, path: tuple[str, ...], written: str, origin: str) -> None:
    try:
        raw = written.encode("utf-8", "surrogateescape")
        document = _read_yaml(raw, f"{origin}: {dotted(path)}", numbered=False)
    except ConfigError as error:
        layer.problems.append(error.message)
        return
    layer.problems += [f"{origin}: {dotted((*path, *where))}: {problem}" for where, _, problem in document.problems]
    _store(layer, path, document.data, origin)


def _store(layer: Layer, path: tuple[str, ...], value: Any, origin: str) -> None:
    nested = value
    for key in reversed(path):
        nested = {key: nested}
    layer.values = overlay(layer.values, nested)
    layer.origins.update(dict.fromkeys(_paths(nested), origin))


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))
