"""The digest of the configuration, without the settings that do not affect disks or mounts."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from zosstorage.config import show
from zosstorage.config.load import Loaded
from zosstorage.config.schema import Config

RUN_OPTIONS = {"logging", "report", "run_dir", "tools"}


@pytest.fixture
def digest(load: Callable[..., Loaded]) -> Callable[..., str]:
    def digest(arguments: str | list[str] = "", kernel: str = "") -> str:
        found = load(arguments, kernel).digest
        assert len(bytes.fromhex(found)) == 32
        return found

    return digest


def test_the_digest_is_that_of_canonical_json(digest: Callable[..., str]) -> None:
    kept = {key: value for key, value in show.as_file(Config()).items() if key not in RUN_OPTIONS} | {"root": "/"}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"))
    assert digest() == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_digest_does_not_depend_on_the_source_of_a_setting(digest: Callable[..., str], default_file: Path) -> None:
    flag = digest("--topology single --set partitions.esp_size=1GiB")
    assert digest(kernel="zosstorage.set=partitions.esp_size=1GiB zosstorage.topology=single") == flag
    assert digest("--topology single", "zosstorage.set=partitions.esp_size=1GiB") == flag
    default_file.write_text("# a comment\npartitions:\n  esp_size: '1GiB'\ntopology: {mode: single}\nlogging: {}\n")
    assert digest() == flag != digest("--topology auto")


@pytest.mark.parametrize(
    "arguments",
    [
        "--log-level debug --log-file /l",
        "--set logging.format=text",
        "--report /r",
        "--run-dir /x",
        "--set tools.timeout=5s",
    ],
)
def test_run_options_do_not_change_the_digest(digest: Callable[..., str], arguments: str) -> None:
    assert digest(arguments) == digest()


@pytest.mark.parametrize(
    "arguments",
    [
        "--fstab",
        "--root /m",
        "--include /dev/a",
        "--set devices.exclude=[]",
        "--set devices.expect.count=1",
        "--topology single",
        "--set partitions.firmware=bios",
        "--set filesystems.btrfs.compression=lzo",
        "--set validate.scan=full",
        "--set mounts.targets.etc=/e",
        "--set fstab.path=/f",
    ],
)
def test_all_other_settings_change_the_digest(digest: Callable[..., str], arguments: str) -> None:
    assert digest(arguments) != digest()


@pytest.mark.parametrize(
    "arguments",
    [
        "--topology auto",
        "--no-fstab",
        "--root /",
        "--set version=1",
        "--set devices.min_size=4GiB",
        "--set devices.min_size=4294967296",
        "--set devices.expect.count=null",
        "--set mounts.targets.etc=/var/cache/etc/",
        "--set devices={expect: {}}",
        "--include /dev/sd* --include /dev/nvme* --include /dev/vd*",
    ],
)
def test_a_key_set_to_its_default_does_not_change_the_digest(digest: Callable[..., str], arguments: str) -> None:
    words = arguments.split(" ", 1) if "{" in arguments else arguments.split()
    assert digest(words) == digest()


def test_the_order_of_a_list_changes_the_digest(digest: Callable[..., str]) -> None:
    assert digest("--include /dev/a --include /dev/b") != digest("--include /dev/b --include /dev/a")
