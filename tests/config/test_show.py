"""`config show`, `config check`, docs/SCHEMA.md and the JSON Schema of the configuration."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from zosstorage.config import document, show
from zosstorage.config.load import Loaded
from zosstorage.config.schema import Config
from zosstorage.errors import ConfigError
from zosstorage.output.jsonschema import json_schema

# No key has its default; some text would have another meaning in YAML without quotes.
ODD = {
    "version": 1,
    "logging": {"level": "debug", "format": "text", "file": "/run/0755: #a 'b' \"c\" \\ é 🙂", "kmsg": True},
    "devices": {
        "include": ["/dev/disk/by-id/*[0-9]*", "/dev/a: b", "/dev/{x, y}"],
        "exclude": [],
        "allow_removable": True,
        "min_size": 1000,
        "expect": {"count": 3, "ssd": 1, "hdd": 2},
    },
    "topology": {"mode": "bcachefs_2copy", "cache": ["/dev/sda"], "backing": ["/dev/sd[bc]"]},
    "partitions": {"firmware": "uefi", "esp_size": "1GiB"},
    "filesystems": {
        "btrfs": {
            "compression": "zstd:3",
            "data_profile": "single",
            "metadata_profile": "dup",
            "discard": True,
            "mkfs_options": ["-n", "16384", "--csum=xxhash"],
            "mount_options": [],
        },
        "bcachefs": {"compression": "lz4", "replicas": 2, "mkfs_options": ["--discard"], "mount_options": ["nodev"]},
        "vfat": {"mkfs_options": ["-f", "1"]},
    },
    "validate": {"scan": "full", "on_partial": "abort"},
    "mounts": {"data_root": "/m", "targets": {"system": "/true", "etc": "/1", "modules": "/~", "vm-meta": "/no"}},
    "fstab": {"enabled": True, "path": "/f"},
    "report": {"path": "/r"},
    "run_dir": "/d",
    "tools": {"timeout": "90s"},
}


@pytest.fixture
def odd(load: Callable[..., Loaded], default_file: Path) -> Loaded:
    default_file.write_text(json.dumps(ODD, ensure_ascii=False))
    return load("--root /mnt")


@pytest.mark.parametrize("with_origins", [False, True])
def test_the_shown_configuration_loads_as_the_same_configuration(
    odd: Loaded, load: Callable[..., Loaded], default_file: Path, with_origins: bool
) -> None:
    shown = show.show(odd, with_origins=with_origins)
    assert yaml.safe_load(shown) == ODD
    default_file.write_text(shown)
    assert load("--root /mnt").config == odd.config


def test_the_shown_configuration_is_valid(odd: Loaded, check_file: Callable[[str | bytes], list[str]]) -> None:
    assert check_file(show.show(odd)) == []


def test_shows_each_key_with_its_origin(load: Callable[..., Loaded], default_file: Path) -> None:
    default_file.write_text("\ntopology:\n  mode: single\n")
    lines = show.show(load("--fstab", "zosstorage.root=/mnt"), with_origins=True).splitlines()
    shown = {line.partition(":")[0].strip(): line.partition("  # ")[2] for line in lines}
    assert shown["mode"] == f"{default_file}:3"
    assert shown["enabled"] == "command line --fstab"
    assert shown["run_dir"] == "default"
    assert shown["topology"] == ""
    assert lines[-1] == "# root: /mnt (kernel command line zosstorage.root)"


def test_shows_root_only_if_it_is_set(load: Callable[..., Loaded]) -> None:
    assert "root:" not in show.show(load()).replace("data_root:", "")


def test_a_newline_in_an_origin_does_not_end_the_comment(load: Callable[..., Loaded], tmp_path: Path) -> None:
    path = tmp_path / "a\nrun_dir: x"
    path.write_text("version: 1\n")
    shown = show.show(load(["--config", str(path)]), with_origins=True)
    assert yaml.safe_load(shown)["run_dir"] == "/run/zosstorage"


def test_check_prints_that_a_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("")
    assert show.check(str(path)) == f"{path}: valid\n"


def test_check_refuses_a_missing_file(check_file: Callable[[str | bytes], list[str]], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        show.check(str(tmp_path / "none"))


def test_the_page_is_up_to_date(request: pytest.FixtureRequest) -> None:
    page = request.config.rootpath / "docs" / "SCHEMA.md"
    assert page.read_text() == document.markdown()


def test_the_page_has_every_key(load: Callable[..., Loaded]) -> None:
    page = document.markdown()
    assert all(f"| `{key}` |" in page for key in show.origins(load()) if key != "root")


def test_the_schema_accepts_what_the_program_accepts() -> None:
    schema = json_schema(Config)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for one in ({}, ODD, show.as_file(Config())):
        validator.validate(one)


@pytest.mark.parametrize(
    "document",
    [
        {"x": 1},
        {"version": 2},
        {"topology": {"mode": "x"}},
        {"devices": {"include": []}},
        {"partitions": {"esp_size": "4GB"}},
        {"tools": {"timeout": 0}},
        {"run_dir": "x"},
        {"mounts": {"targets": {"vm_meta": "/x"}}},
        {"root": "/"},
        {"filesystems": {"bcachefs": {"replicas": 4}}},
        {"devices": {"expect": {"count": 0}}},
        {"fstab": {"enabled": "no"}},
    ],
)
def test_the_schema_refuses_what_the_program_refuses(
    document: dict[str, Any], check_file: Callable[[str | bytes], list[str]]
) -> None:
    assert not jsonschema.Draft202012Validator(json_schema(Config)).is_valid(document)
    assert check_file(json.dumps(document))


def test_the_schema_has_defaults_and_descriptions() -> None:
    definitions = json_schema(Config)["$defs"]
    assert definitions["Partitions"]["properties"]["esp_size"]["default"] == "512MiB"
    assert definitions["Targets"]["properties"]["vm-meta"]["default"] == "/var/cache/vm-meta"
    assert all("description" in key for kind in definitions.values() for key in kind["properties"].values())
