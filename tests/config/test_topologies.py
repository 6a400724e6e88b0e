"""A row that is added to the table of topologies is known to all parts of the configuration."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from zosstorage import cli, topologies
from zosstorage.config import document
from zosstorage.config.load import Loaded
from zosstorage.config.schema import Config
from zosstorage.errors import ConfigError, UsageError
from zosstorage.flags import FLAGS
from zosstorage.output.jsonschema import json_schema
from zosstorage.topologies import Topology


def added(monkeypatch: pytest.MonkeyPatch, name: str, *, filesystem: str = "btrfs", **needs: Any) -> None:
    monkeypatch.setitem(topologies.TOPOLOGIES, name, Topology(name, filesystem, "", shared=True, **needs))


@pytest.fixture
def btrfs_row(monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, "btrfs_raid1c3", data=3, most=8, profile="raid1c3")


@pytest.fixture
def tiered_row(monkeypatch: pytest.MonkeyPatch) -> None:
    added(monkeypatch, "bcachefs_3copy", filesystem="bcachefs", cache=2, backing=3, replicas=3)


def mode_schema() -> dict[str, Any]:
    mode: dict[str, Any] = json_schema(Config)["$defs"]["Topology"]["properties"]["mode"]
    return mode


def test_the_modes_are_the_rows_of_the_table() -> None:
    assert FLAGS["topology"].choices == topologies.modes()
    assert mode_schema()["enum"] == list(topologies.modes())


@pytest.mark.parametrize("arguments", ["--topology btrfs_raid1c3", "--set topology.mode=btrfs_raid1c3"])
def test_accepts_a_new_mode_on_the_command_line(btrfs_row: None, load: Callable[..., Loaded], arguments: str) -> None:
    assert load(arguments).config.topology.mode == "btrfs_raid1c3"


def test_accepts_a_new_mode_from_the_kernel_and_from_a_file(
    btrfs_row: None, load: Callable[..., Loaded], check_file: Callable[[str | bytes], list[str]]
) -> None:
    assert load(kernel="zosstorage.topology=btrfs_raid1c3").config.topology.mode == "btrfs_raid1c3"
    assert check_file("topology: {mode: btrfs_raid1c3}\n") == []


def test_refuses_a_mode_without_a_row(load: Callable[..., Loaded]) -> None:
    with pytest.raises(UsageError):
        load("--topology btrfs_raid1c3")
    with pytest.raises(ConfigError, match="did you mean btrfs_raid1"):
        load("--set topology.mode=btrfs_raid1c3")


def test_a_new_mode_is_in_the_help_and_in_messages(
    btrfs_row: None, tiered_row: None, check_file: Callable[[str | bytes], list[str]]
) -> None:
    known = "bcachefs_2copy, btrfs_raid1c3, bcachefs_3copy"
    assert FLAGS["topology"].help.endswith(known)
    assert known in " ".join(cli.help_text().split())
    assert mode_schema()["enum"][-2:] == ["btrfs_raid1c3", "bcachefs_3copy"]
    (problem,) = check_file("topology: {mode: nonsense}\n")
    assert problem.endswith(known)


def test_a_new_mode_is_on_the_page(btrfs_row: None, tiered_row: None) -> None:
    page = " ".join(document.markdown().split())
    for expected in (
        "`bcachefs_2copy`, `btrfs_raid1c3`, `bcachefs_3copy`. |",
        "`raid1` for `btrfs_raid1`, `raid1c3` for `btrfs_raid1c3`; null selects",
        "all modes except `auto` and the three tiered ones",
        "`btrfs_raid1c3` three",
        "`bcachefs_3copy` two SSDs and three HDDs",
        "other than `raid1` with `btrfs_raid1`, other than `raid1c3` with `btrfs_raid1c3`, or `raid1` or `raid1c3`",
        "`raid1c4` (no topology requires them)",
        "other than 2 with `bcachefs_2copy`, other than 3 with `bcachefs_3copy`",
    ):
        assert expected in page


def test_a_new_profile_is_in_the_schema_and_in_messages(
    btrfs_row: None, check_file: Callable[[str | bytes], list[str]]
) -> None:
    profile = json_schema(Config)["$defs"]["Btrfs"]["properties"]["data_profile"]
    assert profile["enum"] == ["single", "dup", "raid1", "raid1c3", None]
    assert "`raid1c3` for `btrfs_raid1c3`" in profile["description"]
    (problem,) = check_file("filesystems: {btrfs: {data_profile: raid6}}\n")
    assert problem.endswith("allowed: single, dup, raid1, raid1c3")


@pytest.mark.parametrize(
    ("mode", "profile", "allowed"),
    [
        ("btrfs_raid1c3", "raid1c3", ""),
        ("btrfs_raid1c3", "raid1", "raid1c3"),
        ("btrfs_raid1", "raid1c3", "raid1"),
        ("auto", "raid1c3", "single, dup"),
    ],
)
def test_the_rules_check_a_new_profile(
    btrfs_row: None, check_file: Callable[[str | bytes], list[str]], mode: str, profile: str, allowed: str
) -> None:
    problems = check_file(f"topology: {{mode: {mode}}}\nfilesystems: {{btrfs: {{data_profile: {profile}}}}}\n")
    expected = f"mode {mode} cannot use profile {profile}; allowed: {allowed} or null"
    assert [problem.partition("data_profile: ")[2] for problem in problems] == ([expected] if allowed else [])


@pytest.mark.parametrize("profile", ["single", "dup", "raid1"])
def test_a_shared_mode_without_a_required_profile_accepts_all(
    monkeypatch: pytest.MonkeyPatch, check_file: Callable[[str | bytes], list[str]], profile: str
) -> None:
    added(monkeypatch, "btrfs_any", data=2)
    assert check_file(f"topology: {{mode: btrfs_any}}\nfilesystems: {{btrfs: {{data_profile: {profile}}}}}\n") == []


@pytest.mark.parametrize(("count", "fits"), [(2, False), (3, True), (8, True), (9, False)])
def test_the_rules_check_a_new_number_of_disks(
    btrfs_row: None, check_file: Callable[[str | bytes], list[str]], count: int, fits: bool
) -> None:
    problems = check_file(f"topology: {{mode: btrfs_raid1c3}}\ndevices: {{expect: {{count: {count}}}}}\n")
    assert (problems == []) is fits


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("devices: {expect: {ssd: 2, hdd: 3}}\nfilesystems: {bcachefs: {replicas: 3}}\n", ""),
        ("devices: {expect: {ssd: 1}}\n", "cannot use 1 SSD; allowed: at least 2"),
        ("devices: {expect: {hdd: 2}}\n", "cannot use 2 HDDs; allowed: at least 3"),
        ("devices: {expect: {count: 4}}\n", "cannot use 4 disks; allowed: at least 5 disks"),
        ("filesystems: {bcachefs: {replicas: 2}}\n", "cannot use 2 replicas; allowed: 3 or null"),
    ],
)
def test_the_rules_check_a_new_tiered_mode(
    tiered_row: None, check_file: Callable[[str | bytes], list[str]], more: str, expected: str
) -> None:
    problems = check_file("topology: {mode: bcachefs_3copy, cache: []}\n" + more)
    assert [expected in problem for problem in problems] == ([True] if expected else [])


def test_accepts_roles_in_a_new_tiered_mode(tiered_row: None, check_file: Callable[[str | bytes], list[str]]) -> None:
    assert check_file("topology: {mode: bcachefs_3copy, cache: [/dev/sda]}\n") == []
    (problem,) = check_file("topology: {mode: single, cache: [/dev/sda]}\n")
    assert problem.endswith("cache only with auto, bcachefs_2copy, bcachefs_3copy, ssd_hdd_bcachefs")


@pytest.mark.parametrize("mode", topologies.TOPOLOGIES)
@pytest.mark.parametrize(("ssd", "hdd"), [*itertools.product(range(4), repeat=2)])
def test_the_rules_agree_with_the_table(
    check_file: Callable[[str | bytes], list[str]], mode: str, ssd: int, hdd: int
) -> None:
    row = topologies.TOPOLOGIES[mode]
    count = ssd + hdd
    fits = count >= row.least and (row.most is None or count <= row.most) and ssd >= row.cache and hdd >= row.backing
    expect = f"count: {count}, ssd: {ssd}, hdd: {hdd}" if count else "ssd: 0, hdd: 0"
    problems = check_file(f"topology: {{mode: {mode}}}\ndevices: {{expect: {{{expect}}}}}\n")
    assert (problems == []) is fits
