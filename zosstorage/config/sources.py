"""Four sources, one map: kernel command line over command line over configuration file over built-in defaults.

The first two may each name a YAML file, whose keys rank just below that source's own words. Nothing here imports
attrs, cattrs or (without a file) yaml: a rerun compares the digest and is done.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from zosstorage import text
from zosstorage.config import cmdline
from zosstorage.config.flags import FLAGS, CliOptions, Kind, Setting, spelled
from zosstorage.errors import ConfigError, UnimplementedError
from zosstorage.sha import sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from zosstorage.config.schema import Config

DEFAULT_FILE = "/etc/zosstorage/config.yaml"
KERNEL_FILE = "/proc/cmdline"
RUN_DIR = "/run/zosstorage"
# One more byte than a file may have: enough to see that it has too many.
_READ_BYTES = (1 << 20) + 1
# /dev/null, by the numbers that Documentation/admin-guide/devices.txt gives it.
_NULL = os.makedev(1, 3)
_DEEPEST_KEY = 8


class Layer:
    """What one source sets.

    Attributes:
        values: nested mappings as in a file, with whatever types the source wrote.
        origins: for the path of every key and list item, where it was written.
        problems: sentences about what could not be kept in `values`.
        root: `--root`, which is no key of a file.
    """

    def __init__(self, values: dict[str, Any] | None = None, origins: dict[text.Path, str] | None = None) -> None:
        self.values = values or {}
        self.origins = origins or {}
        self.problems: list[str] = []
        self.root: tuple[str, str] | None = None


class Merged(NamedTuple):
    """All layers in one.

    Attributes:
        values: what was set by anyone; unchecked.
        origins: for the path of every leaf in `values`, where it was written.
        root: the prefix, as given, and its origin.
        digest: SHA-256 over what was set and bears on what is provisioned; logging and report.path do not.
        layers: the lowest first.
    """

    values: dict[str, Any]
    origins: dict[text.Path, str]
    root: tuple[str, str]
    digest: str
    layers: tuple[Layer, ...]

    @property
    def told(self) -> str:
        """What every source said: whoever says the same gets the same configuration."""
        return json.dumps([(layer.values, layer.root) for layer in self.layers], sort_keys=True, default=str)

    @property
    def run_dir(self) -> str:
        """Where the run directory is, if nothing is wrong with what was set."""
        return str(self.values.get("run_dir", RUN_DIR))


class Loaded(NamedTuple):
    """The configuration, and what it was made of."""

    config: Config
    merged: Merged

    @property
    def digest(self) -> str:
        return self.merged.digest

    @property
    def origins(self) -> dict[str, str]:
        """For every key (`topology.mode`) where its value comes from."""
        from zosstorage.config import show

        return show.origins(self.config, self.merged)


def read_bytes(path: str) -> bytes:
    """At most 1 MiB and one byte of a file; /dev/null is an empty one.

    Raises:
        OSError: it cannot be read, or is no file: a FIFO would be waited for, a device may never end.
    """
    with open(path, "rb", opener=_without_waiting) as stream:
        seen = os.fstat(stream.fileno())
        if stat.S_ISREG(seen.st_mode) or (stat.S_ISCHR(seen.st_mode) and seen.st_rdev == _NULL):
            return stream.read(_READ_BYTES)
    raise OSError(errno.EINVAL, "it is not a regular file")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def load(options: CliOptions, *, read_cmdline: Callable[[str], bytes] = read_bytes) -> Loaded:
    """Merges and checks all sources.

    Raises:
        ConfigError: with every mistake of every source.
        UnimplementedError: `zosstorage.force` on the kernel command line.
    """
    return checked(merge(options, read_cmdline=read_cmdline))


def checked(merged: Merged) -> Loaded:
    """The configuration that all sources make.

    Raises:
        ConfigError: with every mistake of every source.
    """
    from zosstorage.config import build

    return Loaded(build.build(merged) or _thorough(merged), merged)


def _thorough(merged: Merged) -> Config:
    from zosstorage.config import load

    return load.structure(merged)


def merge(options: CliOptions, *, read_cmdline: Callable[[str], bytes] = read_bytes) -> Merged:
    """Merges all sources without checking values; what a rerun needs of the configuration is the digest.

    Raises:
        ConfigError: a file or the kernel command line cannot be read, or holds what cannot be merged. What is wrong
            with the values is then told as well.
        UnimplementedError: `zosstorage.force` on the kernel command line.
    """
    words = _kernel_words(options.cmdline, read_cmdline)
    if words.force:
        raise UnimplementedError(f"{cmdline.SOURCE}: force is not implemented", hint="take zosstorage.force away")
    layers = (
        _default_file(),
        _named_file(options.config, "command line --config"),
        flag_layer(options.settings, "command line", spelled),
        _named_file(words.config, f"{cmdline.SOURCE} zosstorage.config"),
        flag_layer(words.settings, cmdline.SOURCE, lambda name: cmdline.PREFIX + name),
    )
    layers[-1].problems.extend(words.problems)
    merged = combine(layers)
    if any(layer.problems for layer in layers):
        _thorough(merged)
    return merged


def combine(layers: tuple[Layer, ...]) -> Merged:
    """Puts layers over each other, the lowest first: maps merge key by key, lists and scalars replace."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = overlay(values, layer.values)
    origins = {path: _origin(layers, path) for path, _ in leaves(values)}
    root = next((layer.root for layer in reversed(layers) if layer.root), ("/", "default"))
    return Merged(values, origins, root, _digest(values, root[0]), layers)


def overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = overlay(below, value) if both else value  # type: ignore[arg-type]
    return merged


def leaves(values: dict[str, Any], path: text.Path = ()) -> Iterator[tuple[text.Path, Any]]:
    """Every path whose value is no mapping; an empty mapping sets nothing."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def _origin(layers: Iterable[Layer], path: text.Path) -> str:
    return next(layer.origins[path] for layer in reversed(tuple(layers)) if path in layer.origins)


def _digest(values: dict[str, Any], root: str) -> str:
    told = {text.dotted(path): value for path, value in leaves(values) if _provisions(path)}
    canonical = json.dumps({"root": root, "settings": told}, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode("ascii")).hexdigest()


def _provisions(path: text.Path) -> bool:
    return path[0] != "logging" and path != ("report", "path")


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


def file_layer(path: str, raw: bytes) -> Layer:
    """What a YAML file sets.

    Raises:
        ConfigError: the bytes are no plain YAML document.
    """
    from zosstorage.config import yamlfile

    name = text.clean(path, 200)
    document = yamlfile.read(raw, name)
    layer = Layer(origins={where: f"{name}:{line}" for where, line in document.lines.items()})
    layer.problems += [f"{name}:{line}: {text.dotted(where)}: {told}" for where, line, told in document.problems]
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
    elif text.is_plain(written) or not written:
        _put(layer, path, text.scalar(written), origin)
    else:
        _put_yaml(layer, path, written, origin)


def _put_yaml(layer: Layer, path: tuple[str, ...], written: str, origin: str) -> None:
    from zosstorage.config import yamlfile

    try:
        raw = written.encode("utf-8", "surrogateescape")
        document = yamlfile.read(raw, f"{origin}: {text.dotted(path)}", numbered=False)
    except ConfigError as error:
        layer.problems.append(error.message)
        return
    told = [f"{origin}: {text.dotted((*path, *where))}: {what}" for where, _, what in document.problems]
    layer.problems += told
    _put(layer, path, document.data, origin)


def _put(layer: Layer, path: tuple[str, ...], value: Any, origin: str) -> None:
    nested = value
    for key in reversed(path):
        nested = {key: nested}
    layer.values = overlay(layer.values, nested)
    layer.origins.update(dict.fromkeys(_nodes(nested), origin))


def _nodes(value: Any, path: text.Path = ()) -> Iterator[text.Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _nodes(item, (*path, key))
