"""Words of messages: escapes of foreign text."""

import pytest

from zosstorage import text


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("\x1b[2Jhint: wipe it", "\\x1b[2Jhint: wipe it"),
        ("a\nhint: b\r", "a\\x0ahint: b\\x0d"),
        ("\x00\t\x7f\x9b31m", "\\x00\\x09\\x7f\\x9b31m"),
        ("\u2028\u202e\ufeff", "\\u2028\\u202e\\ufeff"),
        ("\udc9b", "\\x9b"),
        ("plain text, ä… →", "plain text, ä… →"),
    ],
)
def test_escapes_what_a_terminal_obeys(foreign: str, shown: str) -> None:
    assert text.escaped(foreign) == shown
    assert text.clean(foreign) == shown


def test_newlines_of_our_own_stay() -> None:
    assert text.escaped_lines("a\n\x1bb\n") == "a\n\\x1bb\n"
