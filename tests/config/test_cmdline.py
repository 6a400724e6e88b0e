import pytest

from zosstorage.config import cmdline


def settings(line):
    words = cmdline.read(line)
    assert not words.problems
    return [tuple(setting) for setting in words.settings]


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
def test_words_are_split_as_the_kernel_splits_them(line, words):
    assert list(cmdline.split(line)) == words


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_quote_that_is_left_open_ends_with_the_line(end):
    assert settings(f'zosstorage.log_level="debug{end}') == [("log_level", "debug")]
    assert settings(f'zosstorage.report="/a b {end}') == [("report", "/a b ")]


def test_only_our_words_are_taken():
    line = "zosstorage zosstoragex.topology=single topology=single zosstorage.topology=auto"
    assert settings(line) == [("topology", "auto")]


def test_what_follows_two_dashes_is_for_init():
    assert settings("zosstorage.topology=single -- zosstorage.topology=auto zosstorage.nonsense") == [
        ("topology", "single")
    ]


def test_two_dashes_within_a_word_end_nothing():
    assert settings("a--b --c zosstorage.topology=single") == [("topology", "single")]


@pytest.mark.parametrize("name", ["log_level", "log-level"])
def test_dashes_and_underscores_are_the_same(name):
    assert settings(f"zosstorage.{name}=debug") == [("log_level", "debug")]


@pytest.mark.parametrize("value", ["", "=1", "=y", "=yes", "=t", "=true", "=on", "=ON", "=True"])
def test_a_switch_is_on(value):
    assert settings(f"zosstorage.fstab{value}") == [("fstab", True)]


@pytest.mark.parametrize("value", ["=0", "=n", "=no", "=f", "=false", "=off", "=OFF"])
def test_a_switch_is_off(value):
    assert settings(f"zosstorage.fstab{value}") == [("fstab", False)]


@pytest.mark.parametrize("name", ["no_fstab", "no-fstab"])
def test_the_opposite_switch(name):
    assert settings(f"zosstorage.{name} zosstorage.{name}=0") == [("fstab", False), ("fstab", True)]


@pytest.mark.parametrize("value", ["2", "maybe", '""'])
def test_a_switch_that_is_neither(value):
    (problem,) = cmdline.read(f"zosstorage.fstab={value}").problems
    assert problem.startswith("kernel command line: zosstorage.fstab found the text")
    assert "allowed: nothing, 1, yes" in problem


def test_lists_are_several_words_or_commas():
    line = "zosstorage.include=/dev/sda,/dev/sdb zosstorage.include=/dev/sdc"
    assert settings(line) == [("include", "/dev/sda"), ("include", "/dev/sdb"), ("include", "/dev/sdc")]


def test_set_keeps_what_follows_the_first_equals_sign():
    assert settings('zosstorage.set="devices.include=[/dev/a, /dev/b=c]"') == [
        ("set", "devices.include=[/dev/a, /dev/b=c]")
    ]


@pytest.mark.parametrize(
    "word", ["set", "set=", "set=x", "set=.a=1", "set==1", "topology", "topology=", "config", "config="]
)
def test_a_word_without_its_value(word):
    (problem,) = cmdline.read(f"zosstorage.{word}").problems
    assert problem.startswith(
        f"kernel command line: zosstorage.{word.partition('=')[0]} has no value; write zosstorage."
    )


def test_the_last_file_named_wins():
    assert cmdline.read("zosstorage.config=/a zosstorage.config=/b").config == "/b"


def test_an_unknown_word_is_told_with_the_nearest():
    (problem,) = cmdline.read("zosstorage.topolgy=single").problems
    assert problem.startswith("kernel command line: zosstorage.topolgy is not known (did you mean topology?); known: ")


def test_every_unknown_word_is_told():
    assert len(cmdline.read("zosstorage.a zosstorage.b=1 zosstorage.").problems) == 3


@pytest.mark.parametrize("name", ["cmdline", "version", "help", "json"])
def test_what_makes_no_sense_to_the_kernel_is_unknown(name):
    assert len(cmdline.read(f"zosstorage.{name}=1").problems) == 1


@pytest.mark.parametrize("value", ["continue", "shell", "reboot", "poweroff"])
def test_the_hooks_word_sets_nothing(value):
    words = cmdline.read(f"zosstorage.on_failure={value}")
    assert (words.settings, words.config, words.problems) == ([], None, [])


@pytest.mark.parametrize("word", ["on_failure", "on_failure=", "on_failure=halt", "on-failure=no"])
def test_the_hooks_word_is_checked(word):
    (problem,) = cmdline.read(f"zosstorage.{word}").problems
    assert "allowed: continue, shell, reboot, poweroff" in problem


@pytest.mark.parametrize("value", ["0", "10", "3600"])
def test_the_hooks_waiting_sets_nothing(value):
    words = cmdline.read(f"zosstorage.wait={value}")
    assert (words.settings, words.config, words.problems) == ([], None, [])


@pytest.mark.parametrize("word", ["wait", "wait=", "wait=-1", "wait=3601", "wait=010", "wait=5s", "wait=1_0", "wait=²"])
def test_the_hooks_waiting_is_checked(word):
    (problem,) = cmdline.read(f"zosstorage.{word}").problems
    assert "allowed: whole seconds, 0 to 3600" in problem


@pytest.mark.parametrize(
    ("word", "forced"), [("force", True), ("force=1", True), ("force=0", False), ("force=no", False)]
)
def test_force(word, forced):
    assert cmdline.read(f"zosstorage.{word}").force is forced
