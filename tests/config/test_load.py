"""Loading a file: defaults, types and mistakes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from zosstorage.config import load as loading
from zosstorage.config import show
from zosstorage.config.choices import FirmwareMode
from zosstorage.config.load import Loaded
from zosstorage.config.schema import Config

# The documented configuration, with the default of each key.
EVERYTHING = """\
version: 1
logging:    {level: info, format: auto, file: null, kmsg: false}
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
  btrfs:    {compression: null, data_profile: null, metadata_profile: null, discard: false, mkfs_options: [],
             mount_options: [noatime]}
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


def leaves(section: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield (*path, key), value
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


KEYS = [path for path, _ in leaves(yaml.safe_load(EVERYTHING))]


def nested(path: tuple[str, ...], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def test_the_defaults_are_the_documented_ones(load: Callable[..., Loaded], default_file: Path) -> None:
    defaults = load().config
    default_file.write_text(EVERYTHING)
    assert load().config == defaults == Config()
    assert show.as_file(Config()) == yaml.safe_load(EVERYTHING)


def test_values_have_the_types_of_their_keys(load: Callable[..., Loaded], default_file: Path) -> None:
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


def test_overrides_one_target_and_keeps_the_others(load: Callable[..., Loaded]) -> None:
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


def test_an_empty_section_sets_nothing(check_file: Callable[[str | bytes], list[str]]) -> None:
    assert check_file("devices: {expect: {}}\n") == []


@pytest.mark.parametrize("path", KEYS, ids=".".join)
@pytest.mark.parametrize("wrong", [-1, -1.5, "\x07", ["\x07"], {"nonsense": 1}, {"x": {"y": []}}], ids=str)
def test_reports_a_wrong_type_with_file_and_key(
    check_file: Callable[[str | bytes], list[str]], path: tuple[str, ...], wrong: Any
) -> None:
    (problem,) = check_file(yaml.safe_dump(nested(path, wrong)))
    assert ".".join(path) in problem
    assert "allowed: " in problem or "known: " in problem


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_null_is_allowed_only_where_it_is_the_default(
    check_file: Callable[[str | bytes], list[str]], path: tuple[str, ...]
) -> None:
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
def test_reports_an_unknown_key_with_the_nearest_known_one(
    check_file: Callable[[str | bytes], list[str]], path: tuple[str, ...]
) -> None:
    *above, last = path
    (problem,) = check_file(yaml.safe_dump(nested((*above, last + "x"), 1)))
    assert f"{'.'.join(path)}x: unknown key (did you mean {last}?); known: " in problem


def test_reports_all_mistakes_in_the_order_of_the_file(check_file: Callable[[str | bytes], list[str]]) -> None:
    problems = check_file(
        "version: 2\n"
        "devices:\n"
        "  include: [/dev/sda, 7, sdb]\n"
        "  min_size: 4GB\n"
        "  min_size: 5GiB\n"
        "topolgy: {mode: single}\n"
        "mounts: {targets: {etc: /var/cache/system}}\n"
    )
    expected = ["5: devices.min_size: duplicate key", "1: version: found", "3: devices.include[1]: found"]
    expected += ["3: devices.include[2]: found", "4: devices.min_size: found", "6: topolgy: unknown key"]
    expected += ["7: mounts.targets.system (default), mounts.targets.etc: both are /var/cache/system"]
    assert len(problems) == len(expected)
    assert all(problem.startswith(start) for problem, start in zip(problems, expected, strict=True))


def test_one_mistake_is_the_message_and_several_are_problems() -> None:
    one, two = loading.refusal(["a", "a"]), loading.refusal(["a", "b"])
    assert (one.message, one.problems) == ("a", ())
    assert (two.message, two.problems) == ("2 mistakes in the configuration", ("a", "b"))


@pytest.mark.parametrize("content", ["[]", "text", "1", "- a\n"])
def test_refuses_a_file_that_is_not_a_mapping(check_file: Callable[[str | bytes], list[str]], content: str) -> None:
    (problem,) = check_file(content)
    assert problem.startswith("1: the document: found ")


@pytest.mark.parametrize("version", ["0", "2", "'1'", "1.0", "true"])
def test_refuses_any_version_but_1(check_file: Callable[[str | bytes], list[str]], version: str) -> None:
    (problem,) = check_file(f"version: {version}\n")
    assert problem.endswith("allowed: 1")


def test_root_is_not_a_key_of_a_file(check_file: Callable[[str | bytes], list[str]]) -> None:
    (problem,) = check_file("root: /mnt\n")
    assert problem.startswith("1: root: unknown key")


def test_escapes_unprintable_keys_in_messages(check_file: Callable[[str | bytes], list[str]]) -> None:
    (problem,) = check_file('"a\\nb\\e[1m": 1\n')
    assert problem.isprintable()


def test_the_first_mistakes_are_named_and_the_others_counted() -> None:
    error = loading.refusal([f"mistake {number}" for number in range(60)])
    assert error.message == "60 mistakes in the configuration"
    assert error.problems[:50] == tuple(f"mistake {number}" for number in range(50))
    assert error.problems[50:] == ("and 10 more",)
    assert len(loading.refusal([f"mistake {number}" for number in range(50)]).problems) == 50
