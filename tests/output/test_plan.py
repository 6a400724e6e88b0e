"""The output of `plan`, compared with golden files."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve
from support import GIB, blank, config, decide, discovery, disk, finished, foreign, unfinished

from zosstorage.converter import unstructure
from zosstorage.errors import NotEmptyError
from zosstorage.model import Disk, Rejected, Verdict
from zosstorage.output import plan
from zosstorage.output.plan import PlanDocument
from zosstorage.text import size

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
def test_formats_sizes(count: int, text: str) -> None:
    assert size(count) == text


def outlook(disks: Sequence[Disk], verdicts: Sequence[Verdict], **sections: Any) -> PlanDocument:
    stick, drive = disk("sdz", removable=True), disk("sr0", size_bytes=0, model="", serial="")
    rejected = (Rejected(stick, "removable, and devices.allow_removable is false"), Rejected(drive, "a CD-ROM drive"))
    found = evolve(discovery(*disks), rejected=rejected)
    try:
        planned, error = decide(found, verdicts, config(**sections)), None
    except NotEmptyError as refused:
        planned, error = None, refused
    return plan.document(found, (*verdicts, foreign(stick)), planned, error)


OUTLOOKS: dict[str, tuple[list[Disk], list[Verdict], dict[str, Any]]] = {
    "blank": ([A, C], [blank(A), blank(C)], {}),
    "tiers": ([A, B], [blank(A), blank(B)], {}),
    "refused": ([A, B], [blank(A), foreign(B)], {}),
    "adopted": ([A, B, C], [finished(A), foreign(B), blank(C)], {}),
    "resumed": ([A, C], [finished(A), unfinished(C, tag=2)], {}),
}


@pytest.mark.parametrize("name", list(OUTLOOKS))
def test_prints_a_plan_as_text_and_as_json(golden: Callable[[str, str], None], name: str) -> None:
    disks, verdicts, sections = OUTLOOKS[name]
    found = outlook(disks, verdicts, **sections)
    golden(f"outlook-{name}.txt", plan.text(found))
    golden(f"outlook-{name}.json", json.dumps(unstructure(found), indent=1) + "\n")


def test_prints_the_disks_without_verdicts() -> None:
    found = plan.document(discovery(A), (), None, NotEmptyError("no"))
    assert "/dev/sda" in plan.text(found)
    assert unstructure(found)["disks"][0]["verdict"] is None
    assert unstructure(found)["error"] == {"message": "no", "hint": "", "exit_code": 5}


def test_text_escapes_what_is_foreign() -> None:
    evil = "m\x1b[2J\nhint: \x9bwipe it"
    drive = evolve(A, model=evil, serial=evil)
    found = outlook(
        [drive], [evolve(foreign(drive), evidence=tuple(evolve(one, found=evil) for one in foreign(drive).evidence))]
    )
    lines = plan.text(found).splitlines()
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("hint") for line in lines)
