"""Parsers of single values, and the formats of sizes and durations."""

from typing import Any

import pytest

from zosstorage import topologies
from zosstorage.config import values
from zosstorage.config.choices import FirmwareMode
from zosstorage.config.scalars import scalar
from zosstorage.config.values import WrongItemsError, WrongValueError

NOT_TEXT: list[Any] = [None, True, 1, 1.5, [], {}]


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("1B", 1),
        ("1KiB", 1024),
        ("512MiB", 512 << 20),
        ("4GiB", 4 << 30),
        ("2TiB", 2 << 40),
        ("1PiB", 1 << 50),
    ],
)
def test_parses_sizes(written: Any, number: int) -> None:
    assert values.size(written) == number


@pytest.mark.parametrize(
    "written",
    [
        "4GB",
        "4G",
        "4gib",
        "4 GiB",
        "-1",
        -1,
        "",
        "GiB",
        "1.5GiB",
        1.0,
        True,
        None,
        "9223372036854775808",
        "8192PiB",
        "1" * 40,
        1 << 63,
        [],
        {},
        chr(0xFF14) + "GiB",
    ],
)
def test_refuses_wrong_sizes(written: Any) -> None:
    with pytest.raises(WrongValueError, match="bytes, or a whole number with"):
        values.size(written)


@pytest.mark.parametrize("written", [33 << 20, "33MiB", "512MiB", "2TiB"])
def test_parses_esp_sizes(written: Any) -> None:
    assert values.esp_size(written) % values.MIB == 0


@pytest.mark.parametrize("written", [0, "32MiB", (33 << 20) + 1, "100000KiB", "3TiB", "512MB"])
def test_refuses_wrong_esp_sizes(written: Any) -> None:
    with pytest.raises(WrongValueError):
        values.esp_size(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("10min", 600.0), ("30s", 30.0), ("2h", 7200.0), ("200ms", 0.2), (5, 5.0), (0.5, 0.5), ("168h", 604800.0)],
)
def test_parses_durations(written: Any, seconds: float) -> None:
    assert values.duration(written) == seconds


@pytest.mark.parametrize(
    "written", [0, -1, 0.0, "0s", "10m", "10", "1.5h", "169h", "1h 30min", True, None, "", [], 1e300]
)
def test_refuses_wrong_durations(written: Any) -> None:
    with pytest.raises(WrongValueError, match="seconds, or a whole number with ms, s, min or h"):
        values.duration(written)


@pytest.mark.parametrize(
    ("written", "kept"), [("/", "/"), ("/a/", "/a"), ("//a", "/a"), ("/a//b/./c", "/a/b/c"), ("/a b", "/a b")]
)
def test_normalizes_paths(written: Any, kept: str) -> None:
    assert values.path(written) == kept


@pytest.mark.parametrize(
    "written", ["", "a", "./a", "/a/../b", "/..", "/a\nb", "/a\x00", "/\udcff", "/" + "a" * 3000, *NOT_TEXT]
)
def test_refuses_wrong_paths(written: Any) -> None:
    with pytest.raises(WrongValueError):
        values.path(written)


@pytest.mark.parametrize("written", ["/", "//", "/.", "", None])
def test_refuses_the_root_as_a_file(written: Any) -> None:
    with pytest.raises(WrongValueError):
        values.place(written)


@pytest.mark.parametrize("written", ["/", "/proc", "/sys/x", "/dev/x", "//proc/"])
def test_refuses_to_mount_on_the_root_or_on_kernel_filesystems(written: Any) -> None:
    with pytest.raises(WrongValueError, match="a directory to mount on"):
        values.mount_target(written)


@pytest.mark.parametrize("written", ["sda", "/sda", "/dev", "/dev/../x", "", "/dev/a\nb", *NOT_TEXT])
def test_refuses_wrong_globs(written: Any) -> None:
    with pytest.raises(WrongValueError):
        values.glob(written)


@pytest.mark.parametrize("written", ["zlib", "zlib:1", "zlib:9", "lzo", "zstd", "zstd:15"])
def test_parses_btrfs_compression(written: Any) -> None:
    assert values.btrfs_compression(written) == written


@pytest.mark.parametrize(
    "written", ["lzo:1", "zlib:0", "zlib:10", "zstd:16", "zstd:", "zstd:x", "lz4", "none", "", "zstd:-1", 3]
)
def test_refuses_wrong_btrfs_compression(written: Any) -> None:
    with pytest.raises(WrongValueError):
        values.btrfs_compression(written)


@pytest.mark.parametrize("written", ["lz4", "lz4:15", "gzip:9", "zstd", "zstd:1"])
def test_parses_bcachefs_compression(written: Any) -> None:
    assert values.bcachefs_compression(written) == written


@pytest.mark.parametrize("written", ["gzip:10", "zlib", "lzo", "zstd:99", True])
def test_refuses_wrong_bcachefs_compression(written: Any) -> None:
    with pytest.raises(WrongValueError, match=r"gzip\[:1-9\]|text"):
        values.bcachefs_compression(written)


def test_a_wrong_choice_is_reported_with_the_nearest() -> None:
    with pytest.raises(WrongValueError) as caught:
        values.among(topologies.modes)("btrfs-raid1")
    assert caught.value.found == "the text 'btrfs-raid1' (did you mean btrfs_raid1?)"
    with pytest.raises(WrongValueError) as caught:
        values.choice(FirmwareMode)("uefy")
    assert caught.value.found == "the text 'uefy' (did you mean uefi?)"
    assert caught.value.allowed == "auto, bios, uefi"


@pytest.mark.parametrize("written", NOT_TEXT)
def test_refuses_a_choice_that_is_not_text(written: Any) -> None:
    for parse in (values.choice(FirmwareMode), values.among(topologies.modes)):
        with pytest.raises(WrongValueError):
            parse(written)


@pytest.mark.parametrize("written", [0, 1, "true", "yes", None])
def test_refuses_a_switch_other_than_true_and_false(written: Any) -> None:
    with pytest.raises(WrongValueError, match="true or false"):
        values.switch(written)


@pytest.mark.parametrize("written", [0, 4, True, "1", 1.0, None])
def test_refuses_whole_numbers_outside_the_range_and_other_types(written: Any) -> None:
    with pytest.raises(WrongValueError, match="a whole number from 1 to 3"):
        values.whole(1, 3)(written)


def test_reports_all_wrong_items_of_a_list() -> None:
    with pytest.raises(WrongItemsError) as caught:
        values.many(values.glob)(["/dev/a", 1, "b"])
    assert [(index, item) for index, item, _ in caught.value.items] == [(1, 1), (2, "b")]


@pytest.mark.parametrize("number", [0, 1, 1023, 1024, 1 << 20, 3 << 29, 4 << 30, (4 << 30) + 1, 1 << 60])
def test_a_formatted_size_parses_as_the_same_size(number: int) -> None:
    assert values.size(values.show_size(number)) == number


def test_formats_a_size_in_the_largest_exact_unit() -> None:
    assert [values.show_size(number) for number in (4 << 30, 3 << 29, 1000)] == ["4GiB", "1536MiB", 1000]


@pytest.mark.parametrize("seconds", [600.0, 7200.0, 0.2, 0.0015, 90.5, 1.0, 604800.0])
def test_a_formatted_duration_parses_as_the_same_duration(seconds: float) -> None:
    assert values.duration(values.show_duration(seconds)) == seconds


def test_formats_a_duration_in_the_largest_exact_unit() -> None:
    assert [values.show_duration(seconds) for seconds in (600.0, 7200.0, 90.0, 0.2)] == ["10min", "2h", "90s", "200ms"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("+4", 4),
        ("1.5", 1.5),
        ("0", 0),
    ],
)
def test_converts_plain_scalars(written: str, value: Any) -> None:
    assert scalar(written) == value
    assert type(scalar(written)) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "yes",
        "no",
        "on",
        "off",
        "tRUE",
        "0755",
        "0x10",
        "0o7",
        "1_000",
        "12:30:00",
        "2026-01-01",
        "1e3",
        ".5",
        "1.",
        "nan",
        ".inf",
        "<<",
        "=",
        "9" * 19,
        chr(0x663),
    ],
)
def test_scalars_that_stay_text(written: str) -> None:
    assert scalar(written) == written
