"""The output of `plan`, compared with golden files."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from attrs import evolve
from support import GIB, blank, config, decide, discovery, disk, finished, foreign, unfinished

from zosstorage.converter import unstructure
from zosstorage.errors import NotEmptyError
from zosstorage.model import Disk, Firmware, Rejected, Verdict
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
    for verbose in (False, True):
        lines = plan.text(found, every=True, verbose=verbose).splitlines()
        assert all(line.isprintable() for line in lines)
        assert [line for line in lines if line.startswith("hint")] == ["hint: erase /dev/sda"]


LONG = disk("nvme10n1", serial="S" * 60 + "1234", model="M" * 40, size_bytes=1001 * GIB, transport="nvme", wwn="w" * 60)


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("size_bytes", [5 * GIB, 1001 * GIB, 20 << 40])
def test_the_table_fits_80_columns(firmware: Firmware, size_bytes: int) -> None:
    wide = evolve(LONG, size_bytes=size_bytes)
    found = discovery(wide, firmware=firmware)
    many = evolve(foreign(wide), evidence=foreign(wide).evidence * 30)
    verdicts: list[Verdict] = [blank(wide), many]
    for verdict in verdicts:
        try:
            planned, error = decide(found, [verdict], config()), None
        except NotEmptyError as refused:
            planned, error = None, refused
        for verbose in (False, True):
            shown = plan.text(plan.document(found, [verdict], planned, error), verbose=verbose)
            assert max(map(len, shown.splitlines())) <= 80
            assert "SSSS1234" in shown


def test_draws_the_layout_with_bios_boot() -> None:
    found = discovery(A, firmware=Firmware.BIOS)
    planned = decide(found, [blank(A)], config())
    (drawn,) = [line for line in plan.text(plan.document(found, [blank(A)], planned, None)).splitlines() if "|" in line]
    names = [part.strip() for part in drawn.strip().strip("|").split("|")]
    assert names == ["bios_boot", "ESP 512 MiB", "zosdata btrfs 9.497 GiB"]
    assert len(drawn) == 80
    assert len(drawn.rsplit("|", 2)[1]) > 40  # most of the disk is data


def test_one_line_of_evidence_a_disk_and_all_with_verbose() -> None:
    several = evolve(foreign(A), evidence=foreign(A).evidence * 3)
    found = plan.document(discovery(A), [several], None, None)
    assert plan.text(found).count("a signature of ext4") == 1
    assert plan.text(found, verbose=True).count("a signature of ext4") == 3
    assert plan.text(found, verbose=True).count(A.wwn) == 1


def test_says_how_much_of_a_blank_disk_was_read() -> None:
    read = evolve(blank(A), read="8.4 MiB of 40 GiB, sampled")
    assert "read 8.4 MiB of 40 GiB, sampled" in plan.text(plan.document(discovery(A), [read], None, None))


def test_shows_devices_of_size_0_only_if_asked() -> None:
    found = outlook([A], [blank(A)])
    assert "sr0" not in plan.text(found)
    assert "1 of size 0 not shown" in plan.text(found)
    assert "a CD-ROM drive" in plan.text(found, every=True)


def test_the_refusal_is_the_last_thing() -> None:
    found = outlook([A, B], [blank(A), foreign(B)])
    *_, title, message, more, hint = plan.text(found).splitlines()
    assert title == "refused with exit code 5"
    assert f"{message} {more.strip()}" == found.error.message if found.error else None
    assert hint == "hint: erase /dev/sdb"


def test_colours_only_if_asked() -> None:
    found = outlook([A, B], [blank(A), foreign(B)])
    coloured = plan.text(found, colour=True)
    assert "\x1b[31mforeign\x1b[0m" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == plan.text(found)
