"""Whatever stands in a file, on a command line or for the kernel: a configuration, or one ConfigError."""

import copy
import json

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

VALID = show.as_file(Config())
SCHEMA = jsonschema.Draft202012Validator(json_schema(Config))


def keys(section, path=()):
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


def refused(attempt):
    """What was refused, told in printable sentences, or nothing where `attempt` came through."""
    try:
        attempt()
    except ZosstorageError as error:
        told = [*getattr(error, "problems", ())] or [error.message]
    else:
        return []
    assert all(problem and problem.isprintable() for problem in told)
    return told


def layer_of(raw):
    return sources.file_layer("f.yaml", raw)


def outcome(raw):
    """The configuration that a file makes, or None where it was refused as it should be."""
    told = refused(lambda: load.checked(sources.combine((layer_of(raw),))))
    assert all("f.yaml" in problem for problem in told)
    if not told:
        return load.checked(sources.combine((layer_of(raw),))).config
    return None


@st.composite
def mutated(draw):
    """A valid document with a few keys replaced, taken away or added."""
    document = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 4))):
        *above, last = draw(st.sampled_from(KEYS))
        section = document
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
def test_random_bytes(raw):
    outcome(raw)


@given(st.text(alphabet="abz:-[]{},'\"\\#&*!|>%@?~= \n\t0123456789UxuN\r", max_size=120))
def test_random_text_in_the_signs_of_yaml(text):
    outcome(text.encode())


@given(st.dictionaries(st.sampled_from([path[0] for path in KEYS]), PLAIN, max_size=5))
def test_random_structures(document):
    outcome(yaml.safe_dump(document, allow_unicode=True).encode("utf-8", "surrogatepass"))


@settings(max_examples=300)
@given(mutated())
def test_mutated_configurations(document):
    config = outcome(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if config is not None:
        # What the program takes, its own JSON Schema takes, and what is shown of it reads the same again.
        SCHEMA.validate(document)
        loaded = load.Loaded(config, sources.combine(()))
        assert outcome(show.show(loaded, with_origins=True).encode()) == config


EXACT = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(EXACT)
def test_what_json_says_is_what_yaml_says(document):
    written = json.dumps(document, ensure_ascii=False)
    raw = written.encode("utf-8", "surrogatepass")
    told = refused(lambda: yamlfile.read(raw, "f"))
    # What is not printable YAML may refuse, or fold: it takes U+0085 for the end of a line.
    if written.isprintable():
        assert not told
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
def test_kernel_command_lines(line):
    words = cmdline.read(line)
    assert all(problem.isprintable() for problem in words.problems)
    layer = sources.flag_layer(words.settings, "kernel command line", cmdline.PREFIX.__add__)
    refused(lambda: load.checked(sources.combine((layer,))))


@given(st.text(max_size=60), st.text(max_size=10))
def test_a_quoted_value_comes_through_whole(value, after):
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
def test_command_lines(argv):
    if not refused(lambda: cli.parse(argv)):
        assert cli.parse(argv).command in {*cli.COMMANDS, "help", "version"}


ASSIGNMENTS = st.builds(
    lambda path, value: f"{'.'.join(path)}={value}",
    st.sampled_from(KEYS) | st.lists(st.text(max_size=4), min_size=1, max_size=4),
    st.text(max_size=12) | PLAIN.map(lambda value: json.dumps(value, ensure_ascii=False)),
)


@given(st.lists(ASSIGNMENTS, max_size=4))
def test_assignments(assignments):
    layer = sources.flag_layer([Setting("set", each) for each in assignments], "command line", "--".__add__)
    refused(lambda: load.checked(sources.combine((layer,))))


@pytest.mark.parametrize("depth", [31, 33, 5000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth(depth, brackets):
    opened, closed = brackets
    key = "a: " if brackets == "{}" else ""
    outcome((f"x: {(opened + key) * depth}{closed * depth}").encode())
