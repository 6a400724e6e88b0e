"""Rows, bars and folded text."""

import shlex

import pytest

from zosstorage.output import terminal


@pytest.mark.parametrize("width", [40, 76, 78])
@pytest.mark.parametrize("sizes", [(1,), (1, 1), (1, 512, 40000), (1, 512, 1 << 40), (0, 0)])
def test_a_bar_has_its_width_and_every_label(width: int, sizes: tuple[int, ...]) -> None:
    parts = [(f"part{number}", size) for number, size in enumerate(sizes)]
    drawn = terminal.bar(parts, width)
    assert len(drawn) == width
    assert [part.strip() for part in drawn[1:-1].split("|")] == [label for label, _ in parts]


def test_a_bar_is_to_scale_where_it_can_be() -> None:
    first, second = terminal.bar([("a", 1), ("b", 3)], 43)[1:-1].split("|")
    assert (len(first), len(second)) == (10, 30)


def test_a_cell_that_is_cut_keeps_its_end() -> None:
    (line,) = terminal.table([("/dev/sda", "x" * 100 + "9", "blank")], shrinks=1)
    assert len(line) == 80
    assert line.endswith("xxx9  blank")


def test_a_table_escapes_its_cells() -> None:
    assert terminal.table([("a\x1b[2J\n", "b")]) == ["a\\x1b[2J\\x0a  b"]


def test_text_is_folded_and_escaped() -> None:
    lines = terminal.fold("word\x1b " * 40, "hint: ")
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("hint: word\\x1b word")
    assert all(line.startswith("      word") for line in lines[1:])
    assert max(map(len, terminal.fold("x" * 500))) == 80


def test_one_line_says_that_it_was_cut() -> None:
    assert terminal.one_line("short", "  ", "(more)") == "  short"
    cut = terminal.one_line("x" * 100, "  ", "(more)")
    assert len(cut) == 80
    assert cut.endswith("x... (more)")


def test_a_folded_command_is_the_same_to_a_shell() -> None:
    words = ["mkfs.btrfs", "-L", "two words", "-U", "0" * 36, "/dev/sda2", "/dev/sdb2", "/dev/sdc2", "-m", "raid1"]
    lines = terminal.command([shlex.quote(word) for word in words], "  format  ")
    assert max(map(len, lines)) <= 80
    assert len(lines) > 1
    assert shlex.split("\n".join(lines).removeprefix("  format  ").replace("\\\n", " ")) == words
