"""The report, compared with golden files and its schema."""

import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from attrs import evolve
from support import disk, facts

from zosstorage.facts import Facts
from zosstorage.model import Firmware
from zosstorage.output.jsonschema import json_schema
from zosstorage.output.report import Report, build, text


def report(known: Facts) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text(build(known)))
    return document


MODES = {
    "single": (disk("sda"),),
    "dual_independent": (disk("sda"), disk("nvme0n1")),
    "btrfs_raid1": (disk("sda"), disk("sdb")),
    "bcachefs_2copy": (disk("sda", rotational=True), disk("sdb"), disk("sdc", rotational=True)),
}


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("mode", list(MODES))
def test_the_report_of_each_mode(golden: Callable[[str, str], None], mode: str, firmware: Firmware) -> None:
    found = report(facts(mode=mode, disks=MODES[mode], firmware=firmware, fstab="/etc/fstab"))
    jsonschema.validate(found, json_schema(Report), cls=jsonschema.Draft202012Validator)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found.pop("timestamp"))
    golden(f"report-{mode}-{firmware}.json", json.dumps(found, indent=1) + "\n")


def test_the_status_is_that_of_the_action() -> None:
    assert report(facts())["status"] == "provisioned"
    assert report(facts(mode="single", disks=MODES["single"], make=False))["status"] == "already_provisioned"


def test_lists_unused_disks_in_natural_order() -> None:
    known = facts(mode="single", disks=(disk("sdb"),))
    plan = evolve(known.plan, unused=(disk("sdaa"), disk("sda")))
    known = evolve(known, validate=evolve(known.validated, plan=plan))
    found = report(known)
    assert [(one["path"], one["role"], len(one["partitions"])) for one in found["disks"]] == [
        ("/dev/sda", "unused", 0),
        ("/dev/sdb", "data", 2),
        ("/dev/sdaa", "unused", 0),
    ]


def test_lists_esps_without_a_mountpoint() -> None:
    found = report(facts())
    esps = [one for one in found["filesystems"] if one["type"] == "vfat"]
    assert len(esps) == 2
    assert all((one["mountpoint"], one["primary"], one["label"]) == (None, False, "ZOSBOOT") for one in esps)


def test_the_primary_is_the_one_whose_subvolumes_are_mounted() -> None:
    found = report(facts())
    data = [one for one in found["filesystems"] if one["type"] == "btrfs"]
    assert [one["primary"] for one in data] == [True, False]
    assert [one["mountpoint"] for one in data] == [f"/var/mounts/{one['uuid']}" for one in data]


def test_mount_targets_have_the_root_prefix() -> None:
    found = report(facts(root="/sysroot"))
    assert all(one["target"].startswith("/sysroot/var/") for one in found["mounts"])
    assert all(one["source"].startswith("UUID=") for one in found["mounts"])


def test_fstab_is_null_if_none_was_written() -> None:
    assert report(facts())["fstab"] is None
