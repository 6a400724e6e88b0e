"""Reads configuration files: a strict subset of YAML, with the line of each key.

PyYAML parses the text into nodes, and this module converts them. PyYAML's own constructors keep the last of two equal
keys, read 0755 and 12:30:00 as numbers, turn dates into objects and expand aliases without a limit.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import yaml
from attrs import Factory, define

from zosstorage import text
from zosstorage.config.scalars import LIMIT_BYTES, Path, scalar
from zosstorage.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# The schema is four levels deep. PyYAML recurses at each level, so without a limit a file could exhaust the stack.
LIMIT_DEPTH = 32
# Keys and values of a file: a hundred disks by name need some hundred. PyYAML needs up to 3 KiB of memory for each.
LIMIT_NODES = 4000


@define
class Document:
    """The content of a YAML text.

    Attributes:
        data: mappings with text keys, lists and scalars; None if the text has only comments.
        lines: the line, from 1, of each key and list item.
        problems: path, line and text of each mistake: a duplicate key, or a key that is not text.
    """

    data: Any = None
    lines: dict[Path, int] = Factory(dict)
    problems: list[tuple[Path, int, str]] = Factory(list)


class _Loader(yaml.SafeLoader):
    """Makes nodes only. Without implicit resolvers, a plain scalar keeps its text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own class attribute
    depth = nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Make the next node; refuse anchors, aliases, tags, and too many nodes or levels."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._refuse(event)
        self.depth += 1
        self.nodes += 1
        if self.nodes > LIMIT_NODES:
            problem = f"more than {LIMIT_NODES} keys and values"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
        if self.depth > LIMIT_DEPTH:
            raise yaml.MarkedYAMLError(problem="more than 32 levels", problem_mark=event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.MarkedYAMLError(problem=f"the tag {event.tag} is not allowed", problem_mark=event.start_mark)


def read(raw: bytes, name: str, *, numbered: bool = True) -> Document:
    """Read the content of a configuration file.

    Args:
        raw: the content.
        name: the name of the file or source, which begins each message.
        numbered: whether messages contain the line number.

    Raises:
        ConfigError: not UTF-8, larger than 1 MiB, not YAML, several documents, too many nodes, an anchor, an alias or a
            tag.
    """
    if len(raw) > LIMIT_BYTES:
        raise ConfigError(f"{name}: larger than 1 MiB", hint="name a configuration file; it has a few dozen lines")
    try:
        return parse(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None
    except yaml.YAMLError as error:
        message = f"{name}{_where(error) if numbered else ''}: invalid YAML: {_reason(error)}"
        raise ConfigError(message, hint="zosstorage config show prints a valid file") from None


def parse(source: str) -> Document:
    """Read YAML text.

    Raises:
        yaml.YAMLError: the text is not one plain document.
    """
    document = Document()
    loader = _Loader(source)
    try:
        node = loader.get_single_node()
    except (ValueError, OverflowError) as error:  # PyYAML passes "\\U00110000" to chr() unchecked
        raise yaml.YAMLError("a character beyond Unicode") from error
    finally:
        loader.dispose()
    if node is not None:
        document.data = _value(document, (), node)
        document.problems.sort(key=itemgetter(1))
    return document


def _value(document: Document, path: Path, node: yaml.Node) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return {key: _value(document, (*path, key), value) for key, value in _entries(document, path, node)}
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, (*path, index), item) for index, item in enumerate(node.value)]
    plain = getattr(node, "style", None) is None  # neither quoted nor a block
    return scalar(node.value) if plain else node.value


def _entries(document: Document, path: Path, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            document.problems.append((path, line, "found a mapping or a list as a key; allowed: a name"))
        elif key.value in seen:
            problem = f"duplicate key, first set in line {seen[key.value]}; keep one"
            document.problems.append(((*path, key.value), line, problem))
        else:
            seen[key.value] = line
            document.lines[(*path, key.value)] = line
            yield key.value, value


def _where(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f":{mark.line + 1}" if mark else ""


def _reason(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.reader.ReaderError):
        return f"the character {text.clean(chr(error.character))!r} is not allowed"
    parts = [getattr(error, "context", None), getattr(error, "problem", None)]
    reason = ", ".join(part for part in parts if part) or str(error)
    return "more than one document" if "single document" in reason else text.clean(reason, longest=160)
