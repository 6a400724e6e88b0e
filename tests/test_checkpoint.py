import hashlib
import json
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given, settings
from hypothesis import strategies as st
from support import data_content, disk, esp_content, facts, finished, foreign, ours

from zosstorage import __version__, checkpoint
from zosstorage.checkpoint import Checkpoint, Failure, StateRecord
from zosstorage.converter import unstructure
from zosstorage.errors import ZosstorageError
from zosstorage.facts import STATES, Facts
from zosstorage.model import Disk, Firmware, PartitionKind
from zosstorage.system import mountinfo

BOOT = "aaaaaaaa-1111-4222-8333-444444444444"
DIGEST = "d" * 64


@pytest.fixture(autouse=True)
def boot(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the boot ID, in a fake /proc."""
    proc = tmp_path_factory.mktemp("proc")
    file = proc / "sys/kernel/random/boot_id"
    file.parent.mkdir(parents=True)
    file.write_text(f"{BOOT}\n", "ascii")
    monkeypatch.setattr(mountinfo, "PROC", proc)
    monkeypatch.setattr(checkpoint, "PROC", proc)
    return file


def done(known: Facts, count: int = 6) -> Checkpoint:
    """Return a checkpoint in which the first `count` states are done."""
    found = Checkpoint(boot_id=BOOT, config_digest=DIGEST, program=__version__)
    for name in STATES[:count]:
        record = found.record(name)
        record.status, record.facts = "done", unstructure(getattr(known, name))
        record.started, record.finished, record.seconds = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", 1.0
    return found


def saved(path: Path, found: Checkpoint) -> Checkpoint:
    checkpoint.save(path, found)
    loaded = checkpoint.load(path)
    assert loaded
    return loaded


def test_states_in_machine_order() -> None:
    assert STATES == ("discover", "validate", "partition", "format", "mount", "report")
    assert [record.name for record in Checkpoint().states] == list(STATES)
    assert {record.status for record in Checkpoint().states} == {"pending"}


@pytest.mark.parametrize("count", range(7))
def test_loads_the_facts_that_were_saved(tmp_path: Path, count: int) -> None:
    known = facts()
    found = saved(tmp_path / "checkpoint.json", done(known, count))
    assert found.completed == count
    expected = evolve(known, **dict.fromkeys(STATES[count:]))
    assert found.facts() == expected


@pytest.mark.parametrize(
    ("mode", "disks", "make"),
    [
        ("single", (disk("nvme0n1", wwn="", diskseq=None, links=("/dev/disk/by-id/a", "/dev/disk/by-id/b")),), True),
        ("single", (disk("vda", model="ä ", serial='"\\', sector_size=4096),), False),
        ("btrfs_raid1", (disk("sda"), disk("sdb")), True),
        ("bcachefs_2copy", (disk("sda"), disk("sdb", rotational=True), disk("sdc", rotational=True)), True),
    ],
    ids=str,
)
@pytest.mark.parametrize("firmware", list(Firmware))
def test_loads_the_facts_of_each_topology(
    tmp_path: Path, mode: str, disks: tuple[Disk, ...], make: bool, firmware: Firmware
) -> None:
    known = facts(mode=mode, disks=disks, make=make) if not make else facts(mode=mode, disks=disks, firmware=firmware)
    assert saved(tmp_path / "c", done(known)).facts() == known


def test_loads_verdicts(tmp_path: Path) -> None:
    one = disk("sda")
    content = {
        PartitionKind.ESP: esp_content(),
        PartitionKind.DATA: data_content(fstype="bcachefs", replicas=2, devices=3),
    }
    verdicts = (foreign(one), finished(one), ours(one, torn=True, guid="", content=content, marked={PartitionKind.ESP}))
    known = facts()
    known = evolve(known, validate=evolve(known.validated, verdicts=verdicts, writes={"/dev/sda": None}))
    assert saved(tmp_path / "c", done(known)).facts() == known


def test_every_fact_has_a_state() -> None:
    assert [field.name for field in fields(Facts)] == list(STATES)


def test_only_root_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run/checkpoint.json"
    checkpoint.save(path, Checkpoint())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["checkpoint.json"]


def test_the_format_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c"
    found = done(facts(), 1)
    found.record("validate").status = "failed"
    found.record("validate").error = Failure("no", "do", 5)
    checkpoint.save(path, found)
    data = json.loads(path.read_text("utf-8"))
    assert set(data) == {"version", "boot_id", "config_digest", "program", "digest", "states"}
    assert data["version"] == 1
    keys = {"name", "status", "started", "finished", "seconds", "error", "facts"}
    assert all(set(record) == keys for record in data["states"])
    assert data["states"][1]["error"] == {"message": "no", "hint": "do", "exit_code": 5}
    assert checkpoint.load(path) == found


def test_completed_counts_from_the_start() -> None:
    found = done(facts(), 3)
    found.record("discover").status = "failed"
    assert found.completed == 0
    assert found.facts() == Facts()


def test_forgets_a_state_and_later_ones() -> None:
    found = done(facts())
    found.forget("format")
    assert [record.status for record in found.states] == ["done"] * 3 + ["pending"] * 3
    assert found.record("format") == StateRecord("format")
    found.forget("discover")
    assert found.completed == 0


def test_reports_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ZosstorageError) as caught:
        checkpoint.save(tmp_path / "file/c", Checkpoint())
    assert "--run-dir" in caught.value.hint


# Whether it is trusted.


def reason(path: Path, caplog: pytest.LogCaptureFixture, digest: str = DIGEST) -> list[str]:
    """Return the logged reasons why a checkpoint is not trusted."""
    with caplog.at_level(logging.WARNING, "zosstorage"):
        found = checkpoint.trusted(path, digest)
    assert found == Checkpoint(boot_id=checkpoint.boot_id(), config_digest=digest, program=__version__)
    return [vars(record)["reason"] for record in caplog.records]


def test_trusts_a_checkpoint_of_this_boot_and_configuration(tmp_path: Path) -> None:
    found = done(facts(), 4)
    checkpoint.save(tmp_path / "c", found)
    assert checkpoint.trusted(tmp_path / "c", DIGEST) == found


def test_a_missing_file_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert reason(tmp_path / "c", caplog) == []


def test_does_not_trust_another_boot(tmp_path: Path, caplog: pytest.LogCaptureFixture, boot: Path) -> None:
    checkpoint.save(tmp_path / "c", done(facts()))
    boot.write_text("bbbbbbbb-1111-4222-8333-444444444444\n", "ascii")
    assert reason(tmp_path / "c", caplog) == ["it is from another boot"]


def test_does_not_trust_another_configuration(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint.save(tmp_path / "c", done(facts()))
    assert reason(tmp_path / "c", caplog, "e" * 64) == ["it is from another configuration"]


@pytest.mark.parametrize("program", ["0.0.9", "", "99.0"])
def test_does_not_trust_another_version_of_the_program(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, program: str
) -> None:
    found = done(facts())
    found.program = program
    checkpoint.save(tmp_path / "c", found)
    assert reason(tmp_path / "c", caplog) == ["it is from another version of the program"]


def test_does_not_trust_a_checkpoint_without_a_boot_id(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, boot: Path
) -> None:
    boot.unlink()
    found = done(facts())
    found.boot_id = ""
    checkpoint.save(tmp_path / "c", found)
    assert reason(tmp_path / "c", caplog) == ["it is from another boot"]


def changed(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(unstructure(done(facts()))))
    return data | changes


def record(number: int, **changes: Any) -> dict[str, Any]:
    data = changed()
    data["states"][number] |= changes
    return data


SWAPPED = changed()
SWAPPED["states"][:2] = SWAPPED["states"][1::-1]

DAMAGED = {
    "nothing": "",
    "no json": "{",
    "truncated": json.dumps(changed())[:-100],
    "noise": "\x00\x01",
    "null": "null",
    "a number": "1",
    "a text": '"checkpoint"',
    "a list": "[]",
    "deep": "[" * 20000,
    "huge number": "9" * 5000,
    "another version": changed(version=2),
    "a version as text": changed(version="1"),
    "a version as truth": changed(version=True),
    "a boot as a number": changed(boot_id=5),
    "no boot": changed(boot_id=None),
    "states as a map": changed(states={}),
    "no states": changed(states=[]),
    "a state too few": changed(states=changed()["states"][:-1]),
    "a state twice": changed(states=[*changed()["states"], changed()["states"][0]]),
    "states in another order": SWAPPED,
    "a key too many": changed(more=1),
    "a name": record(0, name="discovery"),
    "a name as a list": record(0, name=["discover"]),
    "a status": record(0, status="completed"),
    "a status as a number": record(0, status=1),
    "a time as a number": record(0, finished=5),
    "seconds as text": record(0, seconds="1"),
    "an error as text": record(0, error="no"),
    "an error without a hint": record(0, error={"message": "x", "exit_code": 5}),
    "an exit code as text": record(0, error={"message": "x", "hint": "", "exit_code": "5"}),
}


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in DAMAGED.items()])
def test_does_not_trust_a_damaged_file(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: Any) -> None:
    path = tmp_path / "c"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=r"\w"):
        checkpoint.load(path)
    assert len(reason(path, caplog)) == 1


@pytest.mark.parametrize("missing", ["boot_id", "config_digest", "program"])
def test_does_not_trust_a_file_without_its_origin(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, missing: str
) -> None:
    data = changed()
    del data[missing]
    (tmp_path / "c").write_text(json.dumps(data), "utf-8")
    assert len(reason(tmp_path / "c", caplog)) == 1


def test_does_not_trust_bytes_that_are_not_utf_8(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c").write_bytes(b"\xff\xfe")
    assert len(reason(tmp_path / "c", caplog)) == 1


def test_does_not_trust_a_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c").mkdir()
    assert len(reason(tmp_path / "c", caplog)) == 1


PLAIN = json.loads(json.dumps(unstructure(done(facts()))))


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of every value in JSON data."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_wrong_value_is_refused_or_read_as_facts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A wrong value anywhere in the file raises ValueError, if anything."""
    path = tmp_path_factory.mktemp("fuzz") / "c"
    where = data.draw(st.sampled_from([place for place in places(PLAIN) if place]))
    other = data.draw(st.sampled_from([None, True, 0, -1, 1.5, "", "x", [], [1], {}, {"x": 1}]))
    found = json.loads(json.dumps(PLAIN))
    spot = found
    for key in where[:-1]:
        spot = spot[key]
    spot[where[-1]] = other
    text = json.dumps(found | {"digest": ""}, sort_keys=True)
    found["digest"] = hashlib.sha256(text.encode("ascii")).hexdigest()
    path.write_text(json.dumps(found), "utf-8")
    try:
        loaded = checkpoint.load(path)
        assert loaded
        assert isinstance(loaded.facts(), Facts)
    except ValueError:
        pass


def _options(document: dict[str, Any]) -> None:
    document["states"][1]["facts"]["plan"]["filesystems"][-1]["options"] = ["-f", "/dev/sdz"]


def _fewer_targets(document: dict[str, Any]) -> None:
    document["states"][1]["facts"]["plan"]["targets"].pop()


def _fstab(document: dict[str, Any]) -> None:
    document["states"][1]["facts"]["plan"]["fstab"] = "/etc/passwd"


def _pending(document: dict[str, Any]) -> None:
    document["states"][5]["status"] = "pending"


@pytest.mark.parametrize("edit", [_options, _fewer_targets, _fstab, _pending], ids=lambda edit: edit.__name__)
def test_does_not_trust_an_edited_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, edit: Callable[[dict[str, Any]], None]
) -> None:
    """An edit could change the options of mkfs, or what is mounted where."""
    path = tmp_path / "c"
    checkpoint.save(path, done(facts()))
    document = json.loads(path.read_text("utf-8"))
    edit(document)
    path.write_text(json.dumps(document), "utf-8")
    assert reason(path, caplog) == ["it was changed after it was saved"]


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_does_not_trust_a_truncated_file(tmp_path: Path, caplog: pytest.LogCaptureFixture, keep: float) -> None:
    checkpoint.save(tmp_path / "c", done(facts()))
    text = (tmp_path / "c").read_text("utf-8")
    (tmp_path / "c").write_text(text[: int(len(text) * keep)], "utf-8")
    assert len(reason(tmp_path / "c", caplog)) == 1


def test_refuses_facts_that_cannot_be_read(tmp_path: Path) -> None:
    found = done(facts())
    found.record("discover").facts["disks"][0]["size_bytes"] = "many"
    with pytest.raises(ValueError, match="its facts cannot be read"):
        saved(tmp_path / "c", found).facts()


def test_refuses_a_done_state_without_facts(tmp_path: Path) -> None:
    found = done(facts(), 2)
    found.record("validate").facts = None
    with pytest.raises(ValueError, match="a state that is done has no facts"):
        saved(tmp_path / "c", found).facts()
