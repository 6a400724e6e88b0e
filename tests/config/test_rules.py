"""Contradictions between keys that are each valid."""

from collections.abc import Callable

import pytest

from zosstorage import topologies

ONE_DISK = ["single", "bcachefs_single"]
BTRFS = ["auto", "single", "dual_independent", "btrfs_raid1"]
TIERED = ["auto", "ssd_hdd_bcachefs", "bcachefs_2copy"]
UNTIERED = [mode for mode in topologies.modes() if mode not in TIERED]


def only_problem(check_file: Callable[[str | bytes], list[str]], text: str) -> str:
    problems = check_file(text)
    assert len(problems) == 1, problems
    return problems[0]


def mode(name: str, expect: str = "", more: str = "") -> str:
    return f"topology: {{mode: {name}{more}}}\ndevices: {{expect: {{{expect}}}}}\n"


@pytest.mark.parametrize("name", topologies.modes())
def test_accepts_every_mode_with_defaults(check_file: Callable[[str | bytes], list[str]], name: str) -> None:
    assert check_file(mode(name)) == []


def test_refuses_an_empty_include(check_file: Callable[[str | bytes], list[str]]) -> None:
    assert "devices.include: found an empty list" in only_problem(check_file, "devices: {include: []}")


def test_refuses_a_glob_in_both_include_and_exclude(check_file: Callable[[str | bytes], list[str]]) -> None:
    problem = only_problem(check_file, 'devices: {include: ["/dev/loop*", /dev/sda]}')
    assert problem.startswith("1: devices.include, devices.exclude (default): '/dev/loop*' is listed in both; keep one")


@pytest.mark.parametrize("name", UNTIERED)
@pytest.mark.parametrize("role", ["cache", "backing"])
def test_refuses_roles_in_a_mode_without_them(
    check_file: Callable[[str | bytes], list[str]], name: str, role: str
) -> None:
    problem = only_problem(check_file, mode(name, more=f", {role}: [/dev/sda]"))
    assert f"topology.mode, topology.{role}: mode {name} has no {role} disks" in problem


@pytest.mark.parametrize("name", TIERED)
def test_accepts_roles_in_a_tiered_mode(check_file: Callable[[str | bytes], list[str]], name: str) -> None:
    assert check_file(mode(name, more=", cache: [/dev/sda], backing: [/dev/sdb]")) == []


def test_refuses_a_glob_in_both_roles(check_file: Callable[[str | bytes], list[str]]) -> None:
    assert "'/dev/sda' is listed in both; keep one" in only_problem(
        check_file, mode("auto", more=", cache: [/dev/sda], backing: [/dev/sda]")
    )


@pytest.mark.parametrize(
    "expect", ["count: 2, ssd: 3", "count: 2, ssd: 1, hdd: 0", "count: 1, hdd: 2", "count: 3, ssd: 2, hdd: 2"]
)
def test_refuses_numbers_that_do_not_add_up(check_file: Callable[[str | bytes], list[str]], expect: str) -> None:
    problem = only_problem(check_file, mode("auto", expect))
    assert " cannot be " in problem
    assert "devices.expect.count" in problem


@pytest.mark.parametrize(
    "expect", ["count: 2, ssd: 2", "count: 2, ssd: 1", "count: 2, ssd: 1, hdd: 1", "ssd: 0, hdd: 4", "count: 4096"]
)
def test_accepts_numbers_that_add_up(check_file: Callable[[str | bytes], list[str]], expect: str) -> None:
    assert check_file(mode("auto", expect)) == []


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("single", 2),
        ("bcachefs_single", 2),
        ("dual_independent", 1),
        ("btrfs_raid1", 1),
        ("ssd_hdd_bcachefs", 1),
        ("bcachefs_2copy", 2),
    ],
)
def test_refuses_a_count_that_the_mode_cannot_use(
    check_file: Callable[[str | bytes], list[str]], name: str, count: int
) -> None:
    problem = only_problem(check_file, mode(name, f"count: {count}"))
    assert f"topology.mode, devices.expect.count: mode {name} cannot use {count} disk" in problem


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("single", 1),
        ("bcachefs_single", 1),
        ("dual_independent", 2),
        ("btrfs_raid1", 5),
        ("ssd_hdd_bcachefs", 2),
        ("bcachefs_2copy", 3),
        ("auto", 1),
    ],
)
def test_accepts_a_count_that_the_mode_can_use(
    check_file: Callable[[str | bytes], list[str]], name: str, count: int
) -> None:
    assert check_file(mode(name, f"count: {count}")) == []


@pytest.mark.parametrize(
    ("name", "expect"),
    [("single", "ssd: 2"), ("single", "ssd: 1, hdd: 1"), ("btrfs_raid1", "ssd: 1, hdd: 0"), ("auto", "ssd: 0, hdd: 0")],
)
def test_refuses_a_sum_that_the_mode_cannot_use(
    check_file: Callable[[str | bytes], list[str]], name: str, expect: str
) -> None:
    assert f"mode {name} cannot use" in only_problem(check_file, mode(name, expect))


@pytest.mark.parametrize(
    ("name", "expect"), [("ssd_hdd_bcachefs", "ssd: 0"), ("ssd_hdd_bcachefs", "hdd: 0"), ("bcachefs_2copy", "hdd: 1")]
)
def test_refuses_fewer_ssds_or_hdds_than_the_mode_needs(
    check_file: Callable[[str | bytes], list[str]], name: str, expect: str
) -> None:
    assert f"mode {name} cannot use" in only_problem(check_file, mode(name, expect))
    assert check_file(mode(name, expect, ", cache: [/dev/vda], backing: [/dev/vdb, /dev/vdc]")) == []


def test_messages_use_singular_and_plural(check_file: Callable[[str | bytes], list[str]]) -> None:
    assert "2 disks cannot be 3 SSDs and any number of HDDs" in only_problem(
        check_file, mode("auto", "count: 2, ssd: 3")
    )
    assert "3 disks cannot be 1 SSD and 1 HDD" in only_problem(check_file, mode("auto", "count: 3, ssd: 1, hdd: 1"))
    assert only_problem(check_file, mode("single", "count: 2")).endswith("allowed: 1 disk")
    assert only_problem(check_file, mode("btrfs_raid1", "count: 1")).endswith("allowed: at least 2 disks")


@pytest.mark.parametrize("role", ["cache", "backing"])
def test_does_not_check_ssds_and_hdds_if_one_role_is_set(
    check_file: Callable[[str | bytes], list[str]], role: str
) -> None:
    assert check_file(mode("ssd_hdd_bcachefs", "ssd: 0", f", {role}: [/dev/vda]")) == []


@pytest.mark.parametrize("key", ["data_profile", "metadata_profile"])
@pytest.mark.parametrize("profile", ["single", "dup", "raid1"])
@pytest.mark.parametrize("name", BTRFS)
def test_refuses_profiles_that_do_not_fit_the_mode(
    check_file: Callable[[str | bytes], list[str]], key: str, profile: str, name: str
) -> None:
    problems = check_file(mode(name) + f"filesystems: {{btrfs: {{{key}: {profile}}}}}\n")
    fits = (profile == "raid1") == (name == "btrfs_raid1")
    allowed = "raid1" if name == "btrfs_raid1" else "single, dup"
    expected = f"mode {name} cannot use profile {profile}; allowed: {allowed} or null"
    assert [problem.partition(f"{key}: ")[2] for problem in problems] == ([] if fits else [expected])


@pytest.mark.parametrize("profile", ["raid0", "raid10", "raid1c3", "raid5", "raid6", "RAID1"])
def test_refuses_profiles_that_no_mode_can_have(check_file: Callable[[str | bytes], list[str]], profile: str) -> None:
    problem = only_problem(check_file, f"filesystems: {{btrfs: {{data_profile: {profile}}}}}\n")
    assert "allowed: single, dup, raid1" in problem


@pytest.mark.parametrize("option", ["compress-force=lzo", "nodatacow", "nodatasum"])
def test_refuses_compression_with_a_contradicting_mount_option(
    check_file: Callable[[str | bytes], list[str]], option: str
) -> None:
    problem = only_problem(check_file, f"filesystems: {{btrfs: {{compression: zstd, mount_options: [{option}]}}}}\n")
    assert f"compression zstd and {option} exclude each other; keep one" in problem
    assert check_file(f"filesystems: {{btrfs: {{mount_options: [{option}]}}}}\n") == []


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "allowed"),
    [("bcachefs_single", {1}), ("bcachefs_2copy", {2}), ("ssd_hdd_bcachefs", {1, 2, 3}), ("auto", {1, 2, 3})],
)
def test_refuses_replicas_that_do_not_fit_the_mode(
    check_file: Callable[[str | bytes], list[str]], replicas: int, name: str, allowed: set[int]
) -> None:
    problems = check_file(mode(name) + f"filesystems: {{bcachefs: {{replicas: {replicas}}}}}\n")
    assert (problems == []) is (replicas in allowed)


def test_refuses_more_replicas_than_backing_disks(check_file: Callable[[str | bytes], list[str]]) -> None:
    assert check_file(mode("auto", "hdd: 2") + "filesystems: {bcachefs: {replicas: 2}}\n") == []
    problem = only_problem(check_file, mode("auto", "hdd: 1") + "filesystems: {bcachefs: {replicas: 2}}\n")
    assert (
        "devices.expect.hdd, filesystems.bcachefs.replicas: 2 replicas need 2 backing disks; allowed: at most 1 replica"
        in problem
    )


@pytest.mark.parametrize(
    ("mounts", "word"),
    [
        ("targets: {etc: /var/cache/system}", "both are"),
        ("targets: {etc: /var/cache/system/}", "both are"),
        ("targets: {etc: /var/cache/system/etc}", "inside the other"),
        ("targets: {etc: /var/mounts/etc}", "inside the other"),
        ("data_root: /var/cache/etc/data", "inside the other"),
        ("data_root: /var/cache/etc", "both are"),
    ],
)
def test_refuses_targets_that_are_equal_or_nested(
    check_file: Callable[[str | bytes], list[str]], mounts: str, word: str
) -> None:
    assert word in only_problem(check_file, f"mounts: {{{mounts}}}\n")


def test_accepts_a_target_whose_name_begins_like_another(check_file: Callable[[str | bytes], list[str]]) -> None:
    assert check_file("mounts: {targets: {etc: /var/cache/system-etc}}\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "report: {path: /run/zosstorage/checkpoint.json}",
        "report: {path: /run/zosstorage/lock}",
        "logging: {file: /run/zosstorage/state.json}",
        "fstab: {path: /run/zosstorage/state.json}",
        "run_dir: /x\nlogging: {file: /x/lock}",
    ],
)
def test_refuses_two_outputs_with_the_same_path(check_file: Callable[[str | bytes], list[str]], text: str) -> None:
    assert "both write to" in only_problem(check_file, text)


def test_a_wrong_value_is_not_reported_as_a_contradiction_too(check_file: Callable[[str | bytes], list[str]]) -> None:
    problems = check_file("topology: {mode: singel, cache: [/dev/sda]}\nmounts: {data_root: x}\n")
    assert len(problems) == 2
