import pytest

from zosstorage import topologies

ONE_DISK = ["single", "bcachefs_single"]
BTRFS = ["auto", "single", "dual_independent", "btrfs_raid1"]
TIERED = ["auto", "ssd_hdd_bcachefs", "bcachefs_2copy"]
UNTIERED = [mode for mode in topologies.modes() if mode not in TIERED]


def told(check_file, text):
    problems = check_file(text)
    assert len(problems) == 1, problems
    return problems[0]


def mode(name, expect="", more=""):
    return f"topology: {{mode: {name}{more}}}\ndevices: {{expect: {{{expect}}}}}\n"


@pytest.mark.parametrize("name", topologies.modes())
def test_every_mode_stands_by_itself(check_file, name):
    assert check_file(mode(name)) == []


def test_no_disk_is_ever_eligible(check_file):
    assert "devices.include: found an empty list" in told(check_file, "devices: {include: []}")


def test_a_glob_is_included_or_excluded(check_file):
    problem = told(check_file, 'devices: {include: ["/dev/loop*", /dev/sda]}')
    assert problem.startswith("1: devices.include, devices.exclude (default): '/dev/loop*' stands in both")


@pytest.mark.parametrize("name", UNTIERED)
@pytest.mark.parametrize("role", ["cache", "backing"])
def test_roles_need_a_mode_that_has_them(check_file, name, role):
    problem = told(check_file, mode(name, more=f", {role}: [/dev/sda]"))
    assert f"topology.mode, topology.{role}: mode {name} has no {role} disks" in problem


@pytest.mark.parametrize("name", TIERED)
def test_roles_in_a_mode_that_has_them(check_file, name):
    assert check_file(mode(name, more=", cache: [/dev/sda], backing: [/dev/sdb]")) == []


def test_a_disk_has_one_role(check_file):
    assert "'/dev/sda' stands in both" in told(
        check_file, mode("auto", more=", cache: [/dev/sda], backing: [/dev/sda]")
    )


@pytest.mark.parametrize(
    "expect", ["count: 2, ssd: 3", "count: 2, ssd: 1, hdd: 0", "count: 1, hdd: 2", "count: 3, ssd: 2, hdd: 2"]
)
def test_numbers_that_do_not_add_up(check_file, expect):
    problem = told(check_file, mode("auto", expect))
    assert "disks cannot be" in problem
    assert "devices.expect.count" in problem


@pytest.mark.parametrize(
    "expect", ["count: 2, ssd: 2", "count: 2, ssd: 1", "count: 2, ssd: 1, hdd: 1", "ssd: 0, hdd: 4", "count: 4096"]
)
def test_numbers_that_add_up(check_file, expect):
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
def test_a_number_of_which_the_mode_cannot_be_made(check_file, name, count):
    problem = told(check_file, mode(name, f"count: {count}"))
    assert f"topology.mode, devices.expect.count: mode {name} cannot be made of {count}; allowed: " in problem


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
def test_a_number_of_which_the_mode_can_be_made(check_file, name, count):
    assert check_file(mode(name, f"count: {count}")) == []


@pytest.mark.parametrize(
    ("name", "expect"),
    [("single", "ssd: 2"), ("single", "ssd: 1, hdd: 1"), ("btrfs_raid1", "ssd: 1, hdd: 0"), ("auto", "ssd: 0, hdd: 0")],
)
def test_classes_of_which_the_mode_cannot_be_made(check_file, name, expect):
    assert f"mode {name} cannot be made of" in told(check_file, mode(name, expect))


@pytest.mark.parametrize(
    ("name", "expect"), [("ssd_hdd_bcachefs", "ssd: 0"), ("ssd_hdd_bcachefs", "hdd: 0"), ("bcachefs_2copy", "hdd: 1")]
)
def test_classes_that_the_mode_needs(check_file, name, expect):
    assert f"mode {name} cannot be made with" in told(check_file, mode(name, expect))
    assert check_file(mode(name, expect, ", cache: [/dev/vda], backing: [/dev/vdb, /dev/vdc]")) == []


def test_numbers_are_told_in_words(check_file):
    assert "2 disks cannot be 3 SSDs and any number of HDDs" in told(check_file, mode("auto", "count: 2, ssd: 3"))
    assert "3 disks cannot be 1 SSD and 1 HDD" in told(check_file, mode("auto", "count: 3, ssd: 1, hdd: 1"))
    assert told(check_file, mode("single", "count: 2")).endswith("allowed: 1 disk")
    assert told(check_file, mode("btrfs_raid1", "count: 1")).endswith("allowed: at least 2 disks")


@pytest.mark.parametrize("role", ["cache", "backing"])
def test_classes_are_not_compared_when_one_role_is_given_by_name(check_file, role):
    assert check_file(mode("ssd_hdd_bcachefs", "ssd: 0", f", {role}: [/dev/vda]")) == []


@pytest.mark.parametrize("key", ["data_profile", "metadata_profile"])
@pytest.mark.parametrize("profile", ["single", "dup", "raid1"])
@pytest.mark.parametrize("name", BTRFS)
def test_profiles_fit_the_mode(check_file, key, profile, name):
    problems = check_file(mode(name) + f"filesystems: {{btrfs: {{{key}: {profile}}}}}\n")
    fits = (profile == "raid1") == (name == "btrfs_raid1")
    allowed = "raid1" if name == "btrfs_raid1" else "single, dup"
    told = f"mode {name} cannot be made with {profile}; allowed: {allowed} or null"
    assert [problem.partition(f"{key}: ")[2] for problem in problems] == ([] if fits else [told])


@pytest.mark.parametrize("profile", ["raid0", "raid10", "raid1c3", "raid5", "raid6", "RAID1"])
def test_profiles_that_no_mode_keeps(check_file, profile):
    problem = told(check_file, f"filesystems: {{btrfs: {{data_profile: {profile}}}}}\n")
    assert "allowed: single, dup, raid1" in problem


@pytest.mark.parametrize("option", ["compress-force=lzo", "nodatacow", "nodatasum"])
def test_compression_is_asked_for_once(check_file, option):
    problem = told(check_file, f"filesystems: {{btrfs: {{compression: zstd, mount_options: [{option}]}}}}\n")
    assert f"compression zstd and {option} exclude each other" in problem
    assert check_file(f"filesystems: {{btrfs: {{mount_options: [{option}]}}}}\n") == []


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "allowed"),
    [("bcachefs_single", {1}), ("bcachefs_2copy", {2}), ("ssd_hdd_bcachefs", {1, 2, 3}), ("auto", {1, 2, 3})],
)
def test_replicas_fit_the_mode(check_file, replicas, name, allowed):
    problems = check_file(mode(name) + f"filesystems: {{bcachefs: {{replicas: {replicas}}}}}\n")
    assert (problems == []) is (replicas in allowed)


def test_replicas_need_disks(check_file):
    assert check_file(mode("auto", "hdd: 2") + "filesystems: {bcachefs: {replicas: 2}}\n") == []
    problem = told(check_file, mode("auto", "hdd: 1") + "filesystems: {bcachefs: {replicas: 2}}\n")
    assert "devices.expect.hdd, filesystems.bcachefs.replicas: 2 replicas need as many backing disks" in problem


@pytest.mark.parametrize(
    ("mounts", "word"),
    [
        ("targets: {etc: /var/cache/system}", "for both"),
        ("targets: {etc: /var/cache/system/}", "for both"),
        ("targets: {etc: /var/cache/system/etc}", "inside the other"),
        ("targets: {etc: /var/mounts/etc}", "inside the other"),
        ("data_root: /var/cache/etc/data", "inside the other"),
        ("data_root: /var/cache/etc", "for both"),
    ],
)
def test_targets_are_side_by_side(check_file, mounts, word):
    assert word in told(check_file, f"mounts: {{{mounts}}}\n")


def test_a_name_that_begins_like_another_is_not_inside_it(check_file):
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
def test_two_things_are_not_written_to_one_file(check_file, text):
    assert "both would write" in told(check_file, text)


def test_a_mistake_is_not_told_again_as_a_contradiction(check_file):
    problems = check_file("topology: {mode: singel, cache: [/dev/sda]}\nmounts: {data_root: x}\n")
    assert len(problems) == 2
