"""The output of `verify` as text, as a document and as metrics."""

import json
from typing import Any

import jsonschema
import pytest
from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families

from zosstorage import __version__
from zosstorage.converter import structure, unstructure
from zosstorage.errors import ExitCode
from zosstorage.output import verification
from zosstorage.output.jsonschema import json_schema
from zosstorage.output.verification import Check, DeviceErrors, VerifiedDisk, VerifiedMount, VerifyDocument

HOSTILE = 'a"b\\c\nd\x1b[2Jé'
GOOD = Check("disk", "/dev/sda", "table", "gpt, 2 partitions", "gpt, 2 partitions", ok=True)
WARNED = Check("filesystem", "U", "errors on /dev/sda3", "none", "read_io 7", ok=True, warning="see the kernel log")
BAD = Check("mount", "/var/cache/etc", "mounted", "UUID=U (btrfs)", "nothing", ok=False)


def document(*checks: Check, **changes: Any) -> VerifyDocument:
    base = VerifyDocument(
        1,
        all(check.ok for check in checks),
        "2026-01-01T00:00:00Z",
        __version__,
        "report",
        "/run/zosstorage/state.json",
        "single",
        "2026-01-01T00:00:00Z",
        (VerifiedDisk("/dev/sda", "S1", ok=True),),
        (VerifiedMount("/var/cache/etc", ok=False),),
        (DeviceErrors("U", "/dev/sda3", "read_io", 7),),
        checks,
    )
    return evolve(base, **changes)


def test_text_has_a_row_for_each_check_and_a_summary() -> None:
    assert verification.text(document(GOOD, WARNED, BAD)).splitlines() == [
        "ok       disk        /dev/sda        table                gpt, 2 partitions",
        "warning  filesystem  U               errors on /dev/sda3  read_io 7",
        "         see the kernel log",
        "FAILED   mount       /var/cache/etc  mounted              nothing",
        "         promised: UUID=U (btrfs)",
        "3 checks: 1 failed, 1 with a warning; topology single, by the report /run/zosstorage/state.json",
    ]
    assert verification.text(document(GOOD)).splitlines()[-1].startswith("1 checks: all ok; ")


def test_text_from_the_machine_is_escaped() -> None:
    hostile = Check("mount", HOSTILE, "mounted", HOSTILE, HOSTILE, ok=False, warning=HOSTILE)
    shown = verification.text(document(hostile, path=HOSTILE))
    assert len(shown.splitlines()) == 4
    assert all(char.isprintable() for line in shown.splitlines() for char in line)
    assert "\\x1b[2J" in shown


def test_the_error_names_the_first_check_that_failed() -> None:
    error = verification.failure(document(GOOD, BAD, evolve(BAD, name="/other")))
    assert error.exit_code is ExitCode.NOT_EMPTY
    assert error.message == "2 of 3 checks failed, the first is /var/cache/etc, mounted: nothing"
    assert error.hint


def test_the_document_keeps_its_schema() -> None:
    told = json.loads(json.dumps(unstructure(document(GOOD, WARNED, BAD))))
    schema = json_schema(VerifyDocument, complete=True)
    jsonschema.validate(told, schema, cls=jsonschema.Draft202012Validator)
    assert structure(told, VerifyDocument) == document(GOOD, WARNED, BAD)
    assert told["version"] == 1


def parsed(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    families = list(text_string_to_metric_families(text))
    assert all((family.documentation, family.type) != ("", "unknown") for family in families)
    return {family.name: [(one.labels, one.value) for one in family.samples] for family in families}


def test_metrics() -> None:
    assert parsed(verification.prometheus(document(GOOD, BAD))) == {
        "zosstorage_verify_ok": [({}, 0)],
        "zosstorage_info": [({"version": __version__, "topology": "single"}, 1)],
        "zosstorage_disk_ok": [({"disk": "/dev/sda", "serial": "S1"}, 1)],
        "zosstorage_mount_ok": [({"target": "/var/cache/etc"}, 0)],
        "zosstorage_btrfs_device_errors": [({"uuid": "U", "device": "/dev/sda3", "type": "read_io"}, 7)],
        "zosstorage_last_run_timestamp": [({}, 1767225600)],
    }


def test_every_metric_has_help_and_type_and_samples() -> None:
    lines = verification.prometheus(document(GOOD, device_errors=(), provisioned="")).splitlines()
    names = [line.split()[2] for line in lines if line.startswith("# HELP ")]
    assert names == [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    assert [name for name in names if not any(line.startswith(name) for line in lines)] == []
    assert "zosstorage_last_run_timestamp" not in names


@pytest.mark.parametrize("value", [HOSTILE, "\udcff", "\\x41", '"} 1\nother 2', ""])
def test_a_hostile_label_stays_one_label(value: str) -> None:
    text = verification.prometheus(document(GOOD, disks=(VerifiedDisk("/dev/sda", value, ok=True),)))
    assert text.isascii()
    ((labels, number),) = parsed(text)["zosstorage_disk_ok"]
    assert (set(labels), number) == ({"disk", "serial"}, 1)
    shown = value.encode("ascii", "backslashreplace").decode().replace("\x1b", "\\x1b")
    assert labels["serial"] == shown


def test_metrics_of_a_machine_that_was_not_provisioned() -> None:
    assert parsed(verification.prometheus(None)) == {
        "zosstorage_verify_ok": [({}, 0)],
        "zosstorage_info": [({"version": __version__, "topology": ""}, 1)],
    }
