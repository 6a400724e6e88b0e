import pytest
import yaml

from zosstorage.config import load as loading
from zosstorage.config import show
from zosstorage.config.choices import FirmwareMode
from zosstorage.config.schema import Config

# The configuration of the contract, every key at its default.
EVERYTHING = """\
version: 1
logging:    {level: info, format: json, file: null}
devices:
  include: ["/dev/sd*", "/dev/nvme*", "/dev/vd*"]
  exclude: ["/dev/ram*", "/dev/zram*", "/dev/fd*", "/dev/loop*", "/dev/sr*", "/dev/dm-*", "/dev/md*", "/dev/nbd*"]
  allow_removable: false
  min_size: 4GiB
  expect: {count: null, ssd: null, hdd: null}
topology:
  mode: auto
  cache: []
  backing: []
partitions:
  firmware: auto
  esp_size: 512MiB
filesystems:
  btrfs:    {compression: null, data_profile: null, metadata_profile: null, discard: false, mkfs_options: [], mount_options: [noatime]}
  bcachefs: {compression: null, replicas: null, mkfs_options: [], mount_options: [noatime]}
  vfat:     {mkfs_options: []}
validate:
  scan: sampled
  on_partial: resume
mounts:
  data_root: /var/mounts
  targets: {system: /var/cache/system, etc: /var/cache/etc, modules: /var/cache/modules, vm-meta: /var/cache/vm-meta}
fstab:  {enabled: false, path: /etc/fstab}
report: {path: /run/zosstorage/state.json}
run_dir: /run/zosstorage
tools:  {timeout: 10min}
"""


def leaves(section, path=()):
    for key, value in section.items():
        if isinstance(value, dict):
            yield (*path, key), value
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


KEYS = [path for path, _ in leaves(yaml.safe_load(EVERYTHING))]


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def test_the_defaults_are_those_of_the_contract(load, default_file):
    defaults = load().config
    default_file.write_text(EVERYTHING)
    assert load().config == defaults == Config()
    assert show.as_file(Config()) == yaml.safe_load(EVERYTHING)


def test_values_have_their_types(load, default_file):
    default_file.write_text(
        "topology: {mode: single}\ntools: {timeout: 30s}\npartitions: {esp_size: 1GiB, firmware: uefi}"
    )
    config = load().config
    assert config.topology.mode == "single"
    assert config.partitions.firmware is FirmwareMode.UEFI
    assert config.tools.timeout == 30.0
    assert config.partitions.esp_size == 1 << 30
    assert config.devices.include == ("/dev/sd*", "/dev/nvme*", "/dev/vd*")
    assert hash(config)


def test_one_target_is_overridden_and_the_others_stay(load):
    config = load("--set mounts.targets.vm-meta=/srv/meta").config
    assert dict(config.mounts.targets) == {
        "system": "/var/cache/system",
        "etc": "/var/cache/etc",
        "modules": "/var/cache/modules",
        "vm-meta": "/srv/meta",
    }
    assert len(config.mounts.targets) == 4
    with pytest.raises(KeyError):
        config.mounts.targets["vm_meta"]


def test_an_empty_section_sets_nothing(check_file):
    assert check_file("devices: {expect: {}}\n") == []


@pytest.mark.parametrize("path", KEYS, ids=".".join)
@pytest.mark.parametrize("wrong", [-1, -1.5, "\x07", ["\x07"], {"nonsense": 1}, {"x": {"y": []}}], ids=str)
def test_a_wrong_type_is_told_with_file_and_key(check_file, path, wrong):
    (problem,) = check_file(yaml.safe_dump(nested(path, wrong)))
    assert ".".join(path) in problem
    assert "allowed: " in problem or "known: " in problem


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_null_is_a_value_only_where_it_is_the_default(check_file, path):
    default = yaml.safe_load(EVERYTHING)
    for key in path:
        default = default[key]
    problems = check_file(yaml.safe_dump(nested(path, None)))
    if default is None:
        assert problems == []
    else:
        (problem,) = problems
        assert f"{'.'.join(path)}: found nothing (null); allowed: " in problem


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_an_unknown_key_is_told_with_the_nearest(check_file, path):
    *above, last = path
    (problem,) = check_file(yaml.safe_dump(nested((*above, last + "x"), 1)))
    assert f"{'.'.join(path)}x: is not known (did you mean {last}?); known: " in problem


def test_all_mistakes_of_a_file_are_told_at_once_in_its_order(check_file):
    problems = check_file(
        "version: 2\n"
        "devices:\n"
        "  include: [/dev/sda, 7, sdb]\n"
        "  min_size: 4GB\n"
        "  min_size: 5GiB\n"
        "topolgy: {mode: single}\n"
        "mounts: {targets: {etc: /var/cache/system}}\n"
    )
    told = ["5: devices.min_size: stands twice", "1: version: found", "3: devices.include[1]: found"]
    told += ["3: devices.include[2]: found", "4: devices.min_size: found", "6: topolgy: is not known"]
    told += ["7: mounts.targets.system (default), mounts.targets.etc: found /var/cache/system for both"]
    assert len(problems) == len(told)
    assert all(problem.startswith(start) for problem, start in zip(problems, told, strict=True))


def test_one_mistake_is_the_message_and_several_are_problems():
    one, two = loading.refusal(["a", "a"]), loading.refusal(["a", "b"])
    assert (one.message, one.problems) == ("a", ())
    assert (two.message, two.problems) == ("2 mistakes in the configuration", ("a", "b"))


@pytest.mark.parametrize("content", ["[]", "text", "1", "- a\n"])
def test_a_file_is_a_mapping(check_file, content):
    (problem,) = check_file(content)
    assert problem.startswith("1: the document: found ")


@pytest.mark.parametrize("version", ["0", "2", "'1'", "1.0", "true"])
def test_only_version_1_is_known(check_file, version):
    (problem,) = check_file(f"version: {version}\n")
    assert problem.endswith("allowed: 1")


def test_root_is_no_key_of_a_file(check_file):
    (problem,) = check_file("root: /mnt\n")
    assert problem.startswith("1: root: is not known")


def test_odd_keys_are_printable_in_messages(check_file):
    (problem,) = check_file('"a\\nb\\e[1m": 1\n')
    assert problem.isprintable()
