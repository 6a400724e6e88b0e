"""The YAML reader: plain data, lines of keys, and what it refuses."""

import pytest

from zosstorage.config import yamlfile
from zosstorage.errors import ConfigError


def refusal(raw: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        yamlfile.read(raw, "f.yaml")
    return caught.value.message


def test_reads_plain_data_with_the_line_of_each_key() -> None:
    document = yamlfile.read(b"a: 1\nb:\n  c: [x,\n    y]\n  'd': \"1\"\n", "f")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"], "d": "1"}}
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 3,
        ("b", "c", 1): 4,
        ("b", "d"): 5,
    }
    assert document.problems == []


@pytest.mark.parametrize("raw", [b"", b"# nothing\n", b"---\n", b"\xef\xbb\xbf# a byte order mark\n"])
def test_reads_an_empty_document(raw: bytes) -> None:
    assert yamlfile.read(raw, "f").data is None


def test_keeps_text_that_resembles_other_types() -> None:
    raw = b"a: 0755\nb: 12:30:00\nc: 2026-11-24\nd: yes\ne: 'true'\nf: |\n  12\ng: 1_000\nh: '1'\ni: =\n"
    data = yamlfile.read(raw, "f").data
    assert data == dict(
        zip("abcdefghi", ["0755", "12:30:00", "2026-11-24", "yes", "true", "12\n", "1_000", "1", "="], strict=True)
    )


def test_empty_values_are_null_and_quoted_ones_are_not() -> None:
    assert yamlfile.read(b"a:\nb: ~\nc: ''\n", "f").data == {"a": None, "b": None, "c": ""}


def test_keys_are_text() -> None:
    assert yamlfile.read(b"1: a\ntrue: b\n<<: c\n", "f").data == {"1": "a", "true": "b", "<<": "c"}


def test_reports_a_duplicate_key_and_keeps_its_first_value() -> None:
    document = yamlfile.read(b"a: 1\nb: {c: 1,\n  c: 2}\na: 3\n", "f")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert document.problems == [
        (("b", "c"), 3, "duplicate key, first set in line 2; keep one"),
        (("a",), 4, "duplicate key, first set in line 1; keep one"),
    ]


def test_reports_a_key_that_is_not_text() -> None:
    document = yamlfile.read(b"a:\n  [x]: 1\n", "f")
    assert document.problems == [(("a",), 2, "found a mapping or a list as a key; allowed: a name")]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a: &x 1\n", "f.yaml:1: invalid YAML: anchors and aliases are not allowed"),
        (b"a: 1\nb: *x\n", "f.yaml:2: invalid YAML: anchors and aliases are not allowed"),
        (b"a: !!int 1\n", "f.yaml:1: invalid YAML: the tag tag:yaml.org,2002:int is not allowed"),
        (b"a: !x 1\n", "f.yaml:1: invalid YAML: the tag !x is not allowed"),
        (b"! a\n", "f.yaml:1: invalid YAML: the tag ! is not allowed"),
        (b"a: 1\n---\nb: 1\n", "f.yaml:2: invalid YAML: more than one document"),
        (b"a: 1\n  b: 2\n", "f.yaml:2: invalid YAML: mapping values are not allowed here"),
        (b"a: [1\n", "f.yaml:2: invalid YAML: while parsing a flow sequence, expected ',' or ']'"),
        (b"\ta: 1\n", "f.yaml:1: invalid YAML: "),
        (b"a: \xff\n", "f.yaml:1: not UTF-8 text"),
        (b"a: 1\nb: \xc3\n", "f.yaml:2: not UTF-8 text"),
        ("a: 1\n".encode("utf-16"), "f.yaml:1: not UTF-8 text"),
        (b"a: \x00\n", "f.yaml: invalid YAML: the character '\\\\x00' is not allowed"),
        (b'a: "\\U00110000"\n', "f.yaml: invalid YAML: a character beyond Unicode"),
        (b"[" * 40, "f.yaml:1: invalid YAML: more than 32 levels"),
        (b"[" * 100_000, "f.yaml:1: invalid YAML: more than 32 levels"),
        (b"{a: " * 40, "f.yaml:1: invalid YAML: more than 32 levels"),
        (b"#" * ((1 << 20) + 1), "f.yaml: larger than 1 MiB"),
        (b"[" + b"a," * 4000 + b"]", "f.yaml:1: invalid YAML: more than 4000 keys and values"),
        (b"\n".join(b"k%d: 1" % number for number in range(2001)), "f.yaml:2000: invalid YAML: more than 4000 keys"),
    ],
)
def test_refuses_what_is_not_a_plain_document(raw: bytes, expected: str) -> None:
    assert refusal(raw).startswith(expected)


def test_reads_the_largest_file() -> None:
    assert yamlfile.read(b"#" * (1 << 20), "f").data is None


def test_reads_the_largest_number_of_values() -> None:
    assert len(yamlfile.read(b"[" + b"a," * 3999 + b"]", "f").data) == 3999


def test_refuses_nested_aliases_before_it_expands_them() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert "anchors and aliases are not allowed" in refusal("\n".join(lines).encode())
