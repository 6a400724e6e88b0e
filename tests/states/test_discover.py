import logging
from typing import Any

import pytest
from attrs import evolve
from support import config, discovery, disk

from states.discover import Discover
from zosstorage.block import eligibility
from zosstorage.errors import ExitCode, NoDiskError
from zosstorage.facts import Facts
from zosstorage.model import Discovery, Firmware, Rejected
from zosstorage.planning.discovery import selection

A, B = disk("sda"), disk("sdb", rotational=True)
CDROM = Rejected(disk("sr0"), "a CD-ROM drive")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The disks that sysfs shows (`now`), and how they were selected (`selected`)."""
    found: dict[str, Any] = {"now": discovery(A, B)}

    def discover(selected: eligibility.Selection) -> Discovery:
        found["selected"] = selected
        now: Discovery = found["now"]
        return now

    monkeypatch.setattr(eligibility, "discover", discover)
    return found


def work(**expect: int) -> Facts:
    return Discover(config(devices={"expect": expect})).work(Facts())


def refused(**expect: int) -> NoDiskError:
    with pytest.raises(NoDiskError) as caught:
        work(**expect)
    assert caught.value.exit_code is ExitCode.NO_DISK
    assert caught.value.hint
    return caught.value


def test_adds_the_disks_to_the_facts(machine: dict[str, Any]) -> None:
    assert work() == Facts(discover=discovery(A, B))


def test_selects_disks_by_the_configuration(machine: dict[str, Any]) -> None:
    settings = config(devices={"include": ["/dev/sd*"]}, partitions={"firmware": "bios"})
    known = Discover(settings).work(Facts())
    assert machine.pop("selected") == selection(settings)
    assert Discover(settings).holds(known)
    assert machine.pop("selected") == selection(settings)


def test_disks_are_logged(machine: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    machine["now"] = evolve(discovery(A), rejected=(CDROM,))
    with caplog.at_level(logging.DEBUG, "states"):
        work()
    assert [(record.message, vars(record)["disk"]) for record in caplog.records] == [
        ("disk", "/dev/sda"),
        ("disk rejected", "/dev/sr0"),
    ]


def test_refuses_a_machine_without_disks(machine: dict[str, Any]) -> None:
    machine["now"] = discovery()
    assert "is the driver's module loaded?" in refused().message


def test_says_why_each_disk_was_rejected(machine: dict[str, Any]) -> None:
    machine["now"] = evolve(discovery(), rejected=(CDROM,))
    assert "rejected: /dev/sr0 (a CD-ROM drive)" in refused().message


@pytest.mark.parametrize("expect", [{"count": 2}, {"ssd": 1}, {"hdd": 1}, {"count": 2, "ssd": 1, "hdd": 1}], ids=str)
def test_accepts_the_expected_disks(machine: dict[str, Any], expect: dict[str, int]) -> None:
    assert work(**expect).discover == discovery(A, B)


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        ({"count": 1}, "devices.expect.count is 1, found 2"),
        ({"count": 3}, "devices.expect.count is 3, found 2"),
        ({"ssd": 2}, "devices.expect.ssd is 2, found 1"),
        ({"hdd": 0}, "devices.expect.hdd is 0, found 1"),
        ({"ssd": 0, "hdd": 2}, "devices.expect.ssd is 0, found 1; devices.expect.hdd is 2, found 1"),
    ],
    ids=str,
)
def test_refuses_unexpected_disks(machine: dict[str, Any], expect: dict[str, int], expected: str) -> None:
    message = refused(**expect).message
    assert expected in message
    assert "/dev/sda, /dev/sdb" in message


def test_zero_disks_of_a_class_can_be_expected(machine: dict[str, Any]) -> None:
    """Zero is an expectation; null is none."""
    machine["now"] = discovery(A)
    assert work(hdd=0).discover == discovery(A)


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (discovery(A, B), True),
        (evolve(discovery(A, B), rejected=(CDROM,)), True),
        (discovery(evolve(A, links=("/dev/disk/by-id/a",)), B), True),
        (discovery(A), False),
        (discovery(B, A), False),
        (discovery(A, evolve(B, serial="other")), False),
        (discovery(A, B, disk("sdc")), False),
        (discovery(A, B, firmware=Firmware.BIOS), False),
    ],
    ids=[
        "same",
        "other rejected",
        "a link that came late",
        "one less",
        "other order",
        "other disk",
        "one more",
        "other firmware",
    ],
)
def test_holds_while_the_same_disks_are_eligible(machine: dict[str, Any], now: Discovery, holds: bool) -> None:
    known = work()
    machine["now"] = now
    assert Discover(config()).holds(known) is holds
