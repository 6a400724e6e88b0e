"""Random files, command lines and kernel command lines give a configuration or one ZosstorageError."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from zosstorage import cli
from zosstorage.config import cmdline, load, show, sources, yamlfile
from zosstorage.config.schema import Config
from zosstorage.errors import ZosstorageError
from zosstorage.flags import FLAGS, Setting
from zosstorage.output.jsonschema import json_schema

pytestmark = pytest.mark.slow

VALID = show.as_file(Config())
SCHEMA = jsonschema.Draft202012Validator(json_schema(Config))


def keys(section: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in section.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


KEYS = list(keys(VALID))
WORDS = sorted({key for path in KEYS for key in path})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["4GiB", "10min", "/a", "/dev/sd*", "single", "raid1", "noatime", "-n", "zstd:3", "/var/cache", "yes"]
    )
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


def refusal(attempt: Callable[[], object]) -> list[str]:
    """The problems of the error that `attempt` raises, which must be printable; an empty list if it raises none."""
    try:
        attempt()
    except ZosstorageError as error:
        problems = [*getattr(error, "problems", ())] or [error.message]
    else:
        return []
    assert all(problem and problem.isprintable() for problem in problems)
    return problems


def outcome(raw: bytes) -> Config | None:
    """The configuration of a file, or None if the file was refused."""
    found: list[Config] = []
    problems = refusal(lambda: found.append(load.checked(sources.combine((sources.file_layer("f.yaml", raw),))).config))
    assert all("f.yaml" in problem for problem in problems)
    return found[0] if found else None


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Some sections of a valid document with some keys replaced, removed or added."""
    sections = draw(st.lists(st.sampled_from(sorted(VALID)), max_size=4, unique=True))
    document = {name: copy.deepcopy(VALID[name]) for name in sections}
    for _ in range(draw(st.integers(1, 4))):
        *above, last = draw(st.sampled_from(KEYS))
        section: Any = document
        for key in above:
            section = section.get(key) if isinstance(section, dict) else None
        if isinstance(section, dict):
            change = draw(st.sampled_from(["replace", "drop", "add"]))
            if change == "drop":
                section.pop(last, None)
            else:
                section[last if change == "replace" else draw(st.text(max_size=6))] = draw(PLAIN)
    return document


@given(st.binary(max_size=200))
def test_random_bytes(raw: bytes) -> None:
    outcome(raw)


@given(st.text(alphabet="abz:-[]{},'\"\\#&*!|>%@?~= \n\t0123456789UxuN\r", max_size=120))
def test_random_text_of_yaml_indicators(text: str) -> None:
    outcome(text.encode())


@given(st.dictionaries(st.sampled_from([path[0] for path in KEYS]), PLAIN, max_size=5))
def test_random_structures(document: Any) -> None:
    outcome(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(max_examples=150)
@given(mutated())
def test_mutated_configurations(document: Any) -> None:
    config = outcome(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if config is not None:
        # The JSON Schema accepts what the program accepts, and the shown configuration loads as the same one.
        SCHEMA.validate(document)
        loaded = load.Loaded(config, sources.combine(()))
        assert outcome(show.show(loaded, with_origins=True).encode()) == config


EXACT = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(EXACT)
def test_json_reads_the_same_as_yaml(document: Any) -> None:
    written = json.dumps(document, ensure_ascii=False)
    raw = written.encode("utf-8", "surrogatepass")
    problems = refusal(lambda: yamlfile.read(raw, "f"))
    # YAML may refuse or fold unprintable text: U+0085 is the end of a line.
    if written.isprintable():
        assert not problems
        assert yamlfile.read(raw, "f").data == document


LINES = st.lists(
    st.text(alphabet=" =\"'-_.,ab\n\xa0\udcff", max_size=10)
    | st.builds(
        lambda name, sign, value: f"zosstorage.{name}{sign}{value}",
        st.sampled_from([*FLAGS, "no-fstab", "set", "on_failure", "wait", "nonsense", ""]),
        st.sampled_from(["=", "", '="', "=="]),
        st.sampled_from(
            ["single", "topology.mode=auto", "devices.include=[/dev/a]", "/a b", "", '"', "0", "\udcff", "{", "a.b=&x"]
        ),
    ),
    max_size=6,
).map(" ".join)


@given(LINES)
def test_kernel_command_lines(line: str) -> None:
    words = cmdline.read(line)
    assert all(problem.isprintable() for problem in words.problems)
    layer = sources.flag_layer(words.settings, "kernel command line", cmdline.PREFIX.__add__)
    refusal(lambda: load.checked(sources.combine((layer,))))


@given(st.text(max_size=60), st.text(max_size=10))
def test_a_quoted_value_stays_unchanged(value: str, after: str) -> None:
    value = value.replace('"', "")
    assert next(cmdline.split(f'"a={value}" b')) == ("a", value)
    assert next(cmdline.split(f'a="{value}" b')) == ("a", value)


ARGUMENTS = st.lists(
    st.sampled_from(
        [
            "--set",
            "--topology",
            "single",
            "--root",
            "/",
            "--fstab",
            "--no-fstab",
            "plan",
            "--json",
            "config",
            "show",
            "--",
            "-",
            "check",
            "--include=/dev/a",
            "step",
            "--until",
            "mount",
            "schema",
            "topology.mode=single",
            "--config",
            "-x",
            "",
        ]
    )
    | st.text(max_size=8),
    max_size=7,
)


@settings(max_examples=300)
@given(ARGUMENTS)
def test_command_lines(argv: list[str]) -> None:
    if not refusal(lambda: cli.parse(argv)):
        assert cli.parse(argv).command in {*cli.COMMANDS, "help", "version"}


ASSIGNMENTS = st.builds(
    lambda path, value: f"{'.'.join(path)}={value}",
    st.sampled_from(KEYS) | st.lists(st.text(max_size=4), min_size=1, max_size=4),
    st.text(max_size=12) | PLAIN.map(lambda value: json.dumps(value, ensure_ascii=False)),
)


@given(st.lists(ASSIGNMENTS, max_size=4))
def test_assignments(assignments: list[str]) -> None:
    layer = sources.flag_layer([Setting("set", each) for each in assignments], "command line", "--".__add__)
    refusal(lambda: load.checked(sources.combine((layer,))))


@pytest.mark.parametrize("depth", [31, 33, 5000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{a: ", "}")], ids=["lists", "mappings"])
def test_refuses_deep_nesting(depth: int, opened: str, closed: str) -> None:
    assert outcome(f"x: {opened * depth}{closed * depth}".encode()) is None
