import json

import pytest
from attrs import evolve
from support import GIB, blank, config, discovery, disk, finished, foreign, unfinished, uuids

from zosstorage.checkpoint import Checkpoint, Failure
from zosstorage.errors import NotEmptyError
from zosstorage.model import Rejected
from zosstorage.output import plan
from zosstorage.planning.decide import decide

A, B, C = disk("sda"), disk("sdb", rotational=True, model="", serial=""), disk("sdc")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (10 * GIB, "10 GiB"),
        (3 << 50, "3 PiB"),
        (1 << 63, "8192 PiB"),
    ],
)
def test_sizes(count, text):
    assert plan.size(count) == text


def outlook(disks, verdicts, **sections):
    stick, drive = disk("sdz", removable=True), disk("sr0", size_bytes=0, model="", serial="")
    rejected = (Rejected(stick, "removable, and devices.allow_removable is false"), Rejected(drive, "a CD-ROM drive"))
    found = evolve(discovery(*disks), rejected=rejected)
    try:
        plan, error = decide(found, verdicts, config(**sections), new_uuid=uuids()), None
    except NotEmptyError as refused:
        plan, error = None, refused
    return plan.Outlook(found, (*verdicts, foreign(stick)), plan, error)


OUTLOOKS = {
    "blank": ([A, C], [blank(A), blank(C)], {}),
    "tiers": ([A, B], [blank(A), blank(B)], {}),
    "refused": ([A, B], [blank(A), foreign(B)], {}),
    "adopted": ([A, B, C], [finished(A), foreign(B), blank(C)], {}),
    "resumed": ([A, C], [finished(A), unfinished(C, tag=2)], {}),
}


@pytest.mark.parametrize("name", list(OUTLOOKS))
def test_plans_as_text_and_as_data(golden, name):
    disks, verdicts, sections = OUTLOOKS[name]
    found = outlook(disks, verdicts, **sections)
    golden(f"outlook-{name}.txt", found.as_text())
    golden(f"outlook-{name}.json", json.dumps(found.as_json(), indent=1) + "\n")


def test_without_verdicts_the_disks_are_told():
    found = plan.Outlook(discovery(A), (), None, NotEmptyError("no"))
    assert "/dev/sda" in found.as_text()
    assert found.as_json()["disks"][0]["verdict"] is None
    assert found.as_json()["error"] == {"message": "no", "hint": "", "exit_code": 5}


def test_status(golden):
    checkpoint = Checkpoint()
    first, second = checkpoint.states[:2]
    first.status, first.finished, first.seconds = "done", "2026-01-01T00:00:00.000Z", 0.1234
    second.status, second.finished, second.seconds = "failed", "2026-01-01T00:00:01.000Z", 12.0
    second.error = Failure("1 of 2 disks may not be written", "erase it", 5)
    golden("status.txt", plan.status_text(checkpoint))


def test_status_of_nothing():
    lines = plan.status_text(None).splitlines()
    assert len(lines) == 7
    assert all(line.endswith("pending") for line in lines[1:])
