"""Used disks are refused, alone and beside a blank one, with the byte and the finding named; no image changes."""

import json
import re

import pytest
from disks import Machine
from foreign_disks import KINDS, SIZE
from processes import output


def refuse(one: Machine, device: str, word: str, offset: int | None) -> None:
    """Exit 5, nothing printed, nothing written, and a refusal that names the disk, the byte and what it found."""
    before = one.digests()
    planned = one("plan", "--json")
    assert planned.status == 5, planned.stdout
    verdicts = {disk["path"]: disk["verdict"] for disk in json.loads(planned.stdout)["disks"]}
    assert verdicts[device]["kind"] == "foreign"
    offsets = [evidence["offset"] for evidence in verdicts[device]["evidence"]]
    done = one("run")
    assert (done.status, done.stdout) == (5, ""), done.stderr
    refusal = done.stderr.splitlines()[-1]
    assert f"{device}: " in refusal
    assert "nothing was written" in refusal
    assert "hint=" in refusal
    assert word.lower() in refusal.lower()
    named = [int(byte) for byte in re.findall(r"at byte (\d+)", refusal)]
    if offset is not None:  # else the sample finds another place each time
        assert named == [byte for byte in offsets if byte is not None]
        assert any(offset <= byte < offset + 512 for byte in named), refusal
    assert one.digests() == before
    assert not (one.run_dir / "state.json").exists()


def refuse_alone_and_as_the_second(one: Machine, word: str, offset: int | None = None) -> None:
    """The second disk of two is the used one."""
    blank, used = one.disks
    for disks in ([used], [blank, used]):
        one.disks = disks
        refuse(one, used.device, word, offset)
    assert blank.image.stat().st_blocks == 0


def test_there_are_enough_kinds():
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 60


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_used_disk_is_refused_alone_and_as_the_second(machine, kind):
    one = machine(2, size=SIZE)
    kind.make(one.disks[1])
    refuse_alone_and_as_the_second(one, kind.word, kind.offset)


def test_the_plan_tells_what_rejected_disks_carry(machine):
    """A disk that is not included has its verdict beside the reason; the plan for the other is made all the same."""
    one = machine(2, size=SIZE)
    blank, used = one.disks
    output("mkfs.ext4", "-q", used.device)
    one.settings["devices"] = {"include": [blank.device]}
    done = one("plan", "--json")
    assert done.status == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["action"] == "create"
    (rejected,) = (disk for disk in plan["rejected"] if disk["path"] == used.device)
    assert rejected["reason"] == "devices.include does not name it"
    assert rejected["verdict"]["kind"] == "foreign"
    assert 1080 in [evidence["offset"] for evidence in rejected["verdict"]["evidence"]]
    shown = one("plan").stdout
    (row,) = [line for line in shown.splitlines() if line.startswith(used.device + " ")]
    assert row.endswith("rejected")
    assert "devices.include does not name it" in shown.split(row)[1]
    assert blank.image.stat().st_blocks == 0
