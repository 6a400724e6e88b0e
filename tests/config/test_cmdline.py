"""The kernel command line: splitting, switches, lists and mistakes."""

import pytest

from zosstorage.config import cmdline


def settings(line: str) -> list[tuple[str, str | bool]]:
    words = cmdline.read(line)
    assert not words.problems
    return [(name, value) for name, value in words.settings]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        (" \t\n", []),
        ("quiet ro", [("quiet", None), ("ro", None)]),
        ("root=/dev/sda1\n", [("root", "/dev/sda1")]),
        ("a=b=c", [("a", "b=c")]),
        ('a="b c" d', [("a", "b c"), ("d", None)]),
        ('"a=b c" d', [("a", "b c"), ("d", None)]),
        ('a=b" "c', [("a", 'b" "c')]),
        ('"a b"', [("a b", None)]),
        ('a="b c', [("a", "b c")]),
        ("a=", [("a", "")]),
        ("=a", [("=a", None)]),
        ('a=""', [("a", "")]),
        ("a\tb\vc\fd\re", [("a", None), ("b", None), ("c", None), ("d", None), ("e", None)]),
    ],
)
def test_splits_parameters_like_the_kernel(line: str, words: list[tuple[str, str | None]]) -> None:
    assert list(cmdline.split(line)) == words


@pytest.mark.parametrize("end", ["", "\n"])
def test_an_open_quote_ends_at_the_end_of_the_line(end: str) -> None:
    assert settings(f'zosstorage.log_level="debug{end}') == [("log_level", "debug")]
    assert settings(f'zosstorage.report="/a b {end}') == [("report", "/a b ")]


def test_ignores_parameters_without_the_prefix() -> None:
    line = "zosstorage zosstoragex.topology=single topology=single zosstorage.topology=auto"
    assert settings(line) == [("topology", "auto")]


def test_ignores_parameters_after_two_dashes() -> None:
    assert settings("zosstorage.topology=single -- zosstorage.topology=auto zosstorage.nonsense") == [
        ("topology", "single")
    ]


def test_two_dashes_inside_a_parameter_are_not_the_end() -> None:
    assert settings("a--b --c zosstorage.topology=single") == [("topology", "single")]


@pytest.mark.parametrize("name", ["log_level", "log-level"])
def test_dashes_and_underscores_are_equivalent(name: str) -> None:
    assert settings(f"zosstorage.{name}=debug") == [("log_level", "debug")]


@pytest.mark.parametrize("value", ["", "=1", "=y", "=yes", "=t", "=true", "=on", "=ON", "=True"])
def test_values_that_turn_a_switch_on(value: str) -> None:
    assert settings(f"zosstorage.fstab{value}") == [("fstab", True)]


@pytest.mark.parametrize("value", ["=0", "=n", "=no", "=f", "=false", "=off", "=OFF"])
def test_values_that_turn_a_switch_off(value: str) -> None:
    assert settings(f"zosstorage.fstab{value}") == [("fstab", False)]


@pytest.mark.parametrize("name", ["no_fstab", "no-fstab"])
def test_no_fstab_is_the_opposite_of_fstab(name: str) -> None:
    assert settings(f"zosstorage.{name} zosstorage.{name}=0") == [("fstab", False), ("fstab", True)]


@pytest.mark.parametrize("value", ["2", "maybe", '""'])
def test_reports_a_switch_that_is_neither_on_nor_off(value: str) -> None:
    (problem,) = cmdline.read(f"zosstorage.fstab={value}").problems
    assert problem.startswith("kernel command line: zosstorage.fstab found the text")
    assert "allowed: no value, 1, yes" in problem


def test_a_list_is_separated_by_commas_or_repeated() -> None:
    line = "zosstorage.include=/dev/sda,/dev/sdb zosstorage.include=/dev/sdc"
    assert settings(line) == [("include", "/dev/sda"), ("include", "/dev/sdb"), ("include", "/dev/sdc")]


def test_the_value_of_set_may_contain_equals_signs() -> None:
    assert settings('zosstorage.set="devices.include=[/dev/a, /dev/b=c]"') == [
        ("set", "devices.include=[/dev/a, /dev/b=c]")
    ]


@pytest.mark.parametrize(
    "word", ["set", "set=", "set=x", "set=.a=1", "set==1", "topology", "topology=", "config", "config="]
)
def test_reports_a_parameter_without_a_value(word: str) -> None:
    (problem,) = cmdline.read(f"zosstorage.{word}").problems
    assert problem.startswith(
        f"kernel command line: zosstorage.{word.partition('=')[0]} has no value; write zosstorage."
    )


def test_the_last_config_parameter_wins() -> None:
    assert cmdline.read("zosstorage.config=/a zosstorage.config=/b").config == "/b"


def test_reports_an_unknown_parameter_with_the_nearest_known_one() -> None:
    (problem,) = cmdline.read("zosstorage.topolgy=single").problems
    assert problem.startswith(
        "kernel command line: zosstorage.topolgy is not a known parameter (did you mean topology?); known: "
    )


def test_reports_all_unknown_parameters() -> None:
    assert len(cmdline.read("zosstorage.a zosstorage.b=1 zosstorage.").problems) == 3


@pytest.mark.parametrize("name", ["cmdline", "version", "help", "json"])
def test_flags_of_the_command_line_alone_are_unknown_parameters(name: str) -> None:
    assert len(cmdline.read(f"zosstorage.{name}=1").problems) == 1


@pytest.mark.parametrize("value", ["continue", "shell", "reboot", "poweroff"])
def test_on_failure_sets_no_key(value: str) -> None:
    words = cmdline.read(f"zosstorage.on_failure={value}")
    assert (words.settings, words.config, words.problems) == ([], None, [])


@pytest.mark.parametrize("word", ["on_failure", "on_failure=", "on_failure=halt", "on-failure=no"])
def test_reports_a_wrong_value_of_on_failure(word: str) -> None:
    (problem,) = cmdline.read(f"zosstorage.{word}").problems
    assert "allowed: continue, shell, reboot, poweroff" in problem


@pytest.mark.parametrize("value", ["0", "10", "3600"])
def test_wait_sets_no_key(value: str) -> None:
    words = cmdline.read(f"zosstorage.wait={value}")
    assert (words.settings, words.config, words.problems) == ([], None, [])


@pytest.mark.parametrize("word", ["wait", "wait=", "wait=-1", "wait=3601", "wait=010", "wait=5s", "wait=1_0", "wait=²"])
def test_reports_a_wrong_value_of_wait(word: str) -> None:
    (problem,) = cmdline.read(f"zosstorage.{word}").problems
    assert "allowed: whole seconds from 0 to 3600" in problem


@pytest.mark.parametrize(
    ("word", "forced"), [("force", True), ("force=1", True), ("force=0", False), ("force=no", False)]
)
def test_force(word: str, forced: bool) -> None:
    assert cmdline.read(f"zosstorage.{word}").force is forced
