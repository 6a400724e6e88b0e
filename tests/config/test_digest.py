"""The digest: the configuration as it is in force, without what changes nothing on a disk."""

import hashlib
import json

import pytest

from zosstorage.config import show
from zosstorage.config.schema import Config

RUN_OPTIONS = {"logging", "report", "run_dir", "tools"}


@pytest.fixture
def digest(load):
    def digest(arguments="", kernel=""):
        found = load(arguments, kernel).digest
        assert len(bytes.fromhex(found)) == 32
        return found

    return digest


def test_the_digest_is_that_of_canonical_json(digest):
    told = {key: value for key, value in show.as_file(Config()).items() if key not in RUN_OPTIONS} | {"root": "/"}
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"))
    assert digest() == hashlib.sha256(canonical.encode()).hexdigest()


def test_the_digest_tells_settings_not_their_source(digest, default_file):
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
def test_run_options_are_not_in_the_digest(digest, arguments):
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
def test_everything_else_is_in_the_digest(digest, arguments):
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
def test_a_key_set_to_its_default_is_a_key_that_is_not_set(digest, arguments):
    words = arguments.split(" ", 1) if "{" in arguments else arguments.split()
    assert digest(words) == digest()


def test_the_order_of_a_list_is_in_the_digest(digest):
    assert digest("--include /dev/a --include /dev/b") != digest("--include /dev/b --include /dev/a")
