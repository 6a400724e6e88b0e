import os
from pathlib import Path

import pytest
from attrs import evolve
from support import GIB, blank, config, discovery, image_disk, poke, sparse, uuids

from zosstorage.block import claim, scan, sysfs, tables
from zosstorage.block.sysfs import KernelPartition
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.model import Firmware
from zosstorage.planning import decide

SIZE = 1 * GIB


@pytest.fixture
def sfdisk(fake_tools):
    fake_tools.real("sfdisk")
    fake_tools("partx")
    return fake_tools


@pytest.fixture
def planned(tmp_path):
    """Two blank images and what a run would make of them."""
    disks = [
        image_disk(sparse(tmp_path / name, SIZE), name=name, number=f"7:{number}", serial=name, wwn=name)
        for number, name in enumerate(("one", "two"))
    ]
    found = discovery(*disks, firmware=Firmware.BIOS)
    return decide.decide(found, [blank(one) for one in disks], config(), new_uuid=uuids()).disks


@pytest.fixture
def kernel(monkeypatch):
    """The partitions that the kernel has, by disk path."""
    found = {}
    monkeypatch.setattr(sysfs, "partitions", lambda disk, **_: found.get(disk.path, ()))

    def know(planned):
        found[planned.disk.path] = tuple(
            KernelPartition(f"{planned.disk.path}p{part.number}", part.number, part.start_bytes, part.size_bytes)
            for part in planned.partitions
        )

    return know


def test_tables_are_written_with_marks_and_read_back(sfdisk, planned):
    tables.write(planned)
    for one in planned:
        (found,) = tables.recognised([one], config())
        tables._require_marks(one, found)
        assert (found.guid, found.torn) == (one.guid, False)
        assert [entry.uuid for entry in found.entries] == [part.uuid for part in one.partitions]
    assert tables.finished(planned, config()) == []


def test_finished_tables_have_no_marks(sfdisk, planned):
    tables.write(planned)
    tables.clear_marks(planned[1:], config())
    assert tables.finished(planned, config()) == [planned[1]]
    tables.clear_marks(planned, config())
    assert tables.finished(planned, config()) == list(planned)
    with pytest.raises(NotEmptyError, match="no mark on partition 1, 2, 3"):
        tables.nodes(planned, config(), marked=True)


def test_only_what_is_to_be_made_is_marked(sfdisk, planned):
    one = planned[0]
    parts = (*one.partitions[:2], evolve(one.partitions[2], make=False))
    tables.write([evolve(one, partitions=parts)])
    assert [entry.marked for entry in tables.recognised([one], config())[0].entries] == [True, True, False]
    (found,) = tables.recognised([one], config())
    tables._require_marks(evolve(one, partitions=parts), found)
    with pytest.raises(NotEmptyError, match="no mark on partition 3"):
        tables._require_marks(one, found)


def test_a_torn_table_is_no_right_to_write(sfdisk, planned):
    tables.write(planned)
    poke(planned[0].disk.path, 0, bytes(512))
    assert [found.torn for found in tables.recognised(planned, config())] == [True, False]
    with pytest.raises(NotEmptyError, match="torn copies"):
        tables.nodes(planned, config(), marked=True)
    assert tables.finished(planned[:1], config()) == []
    before = [Path(one.disk.path).read_bytes() for one in planned]
    with pytest.raises(NotEmptyError, match="torn copies"):
        tables.clear_marks(planned[::-1], config())
    assert [Path(one.disk.path).read_bytes() for one in planned] == before  # not one of them was written


def test_a_blank_disk_has_no_table(planned):
    with pytest.raises(NotEmptyError, match="does not carry the table of the plan"):
        tables.recognised(planned[:1], config())


def test_the_table_of_another_plan(sfdisk, planned):
    tables.write(planned)
    other = evolve(planned[0], partitions=(evolve(planned[0].partitions[0], uuid="x"), *planned[0].partitions[1:]))
    with pytest.raises(NotEmptyError, match="partition UUIDs that are not those of the plan"):
        tables.recognised([other], config())


def test_a_disk_that_cannot_be_read(planned):
    gone = evolve(planned[0], disk=evolve(planned[0].disk, size_bytes=2 * SIZE))
    with pytest.raises(NotEmptyError, match=r"a read of \d+ bytes gave only 0"):
        tables.recognised([gone], config())
    none = evolve(planned[1], disk=evolve(planned[1].disk, path="/dev/nonexistent"))
    with pytest.raises(NotEmptyError, match="/dev/nonexistent: it cannot be opened: No such file"):
        tables.recognised([planned[0], none], config())


def test_a_disk_that_cannot_be_written(sfdisk, planned, monkeypatch):
    """The other one is cleared all the same, and each keeps to the order of its writes."""
    tables.write(planned)
    real = os.pwrite

    def pwrite(handle, data, offset):
        if Path(f"/proc/self/fd/{handle}").samefile(planned[0].disk.path) and offset < SIZE // 2:
            raise OSError(5, "Input/output error")
        return real(handle, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(ToolError, match=f"marks of {planned[0].disk.path} cannot be cleared: Input/output error"):
        tables.clear_marks(planned, config())
    assert [found.torn for found in tables.recognised(planned, config())] == [True, False]
    monkeypatch.undo()
    tables.clear_marks(planned, config())
    assert tables.finished(planned, config()) == list(planned)


def test_a_write_that_comes_up_short(sfdisk, planned, monkeypatch):
    tables.write(planned)
    monkeypatch.setattr(os, "pwrite", lambda _handle, data, _offset: len(data) - 1)
    with pytest.raises(ToolError, match="cannot be cleared: Input/output error"):
        tables.clear_marks(planned, config())


def test_sfdisk_fails(fake_tools, planned):
    fake_tools("sfdisk", status=1, stderr="cannot write")
    with pytest.raises(ToolError, match="cannot write"):
        tables.write(planned)
    assert len(fake_tools.of("sfdisk")) == 2


def test_each_disk_is_given_its_own_table(fake_tools, planned):
    fake_tools("sfdisk")
    tables.write(planned)
    assert {call[-1] for call in fake_tools.of("sfdisk")} == {one.disk.path for one in planned}
    scripts = "".join(fake_tools.stdin("sfdisk"))
    assert all(f"label-id: {one.guid}" in scripts for one in planned)


def test_nothing_to_write(fake_tools):
    tables.write([])
    tables.clear_marks([], config())
    tables.tell_kernel([])
    assert fake_tools.calls == []


def test_the_kernel_is_told_what_it_does_not_know(sfdisk, planned, kernel):
    kernel(planned[0])
    tables.tell_kernel(planned)
    assert sfdisk.of("partx") == [["partx", "--update", planned[1].disk.path]]


@pytest.fixture
def leads(monkeypatch):
    """Where each node leads; by its name, if nothing else is said."""
    found = {}

    def check_node(node, number):
        if found.get(node, node) != number:
            raise NotEmptyError(f"{node} is not {number}")

    monkeypatch.setattr(sysfs, "device_number", lambda node: node)
    monkeypatch.setattr(claim, "check_node", check_node)
    return found


def test_a_node_that_leads_elsewhere(sfdisk, planned, kernel, leads):
    tables.write(planned)
    for one in planned:
        kernel(one)
    leads[f"{planned[1].disk.path}p3"] = "8:1"
    with pytest.raises(NotEmptyError, match="p3 is not"):
        tables.nodes(planned, config(), marked=False)


def test_nodes_that_change(sfdisk, planned, kernel, leads):
    tables.write(planned)
    for one in planned:
        kernel(one)
    known = tables.nodes(planned, config(), marked=False)
    tables.require_nodes(planned, known, config())
    with pytest.raises(ToolError, match="other nodes"):
        tables.require_nodes(planned, [*known[:-1], evolve(known[-1], device="/dev/sdz9")], config())


def test_nodes(sfdisk, planned, kernel, leads):
    tables.write(planned)
    for one in planned:
        kernel(one)
    found = tables.nodes(planned, config(), marked=False)
    assert [part.device for part in found] == [f"{one.disk.path}p{number}" for one in planned for number in (1, 2, 3)]
    assert [part.uuid for part in found] == [part.uuid for one in planned for part in one.partitions]
    assert {part.disk for part in found} == {one.disk.path for one in planned}


def test_nodes_that_the_kernel_does_not_have(sfdisk, planned, kernel, leads):
    tables.write(planned)
    kernel(planned[0])
    with pytest.raises(ToolError, match=f"the kernel does not have the partitions of {planned[1].disk.path}"):
        tables.nodes(planned, config(), marked=False)


def test_little_is_read_of_a_whole_table_and_both_ends_of_another(sfdisk, planned, monkeypatch):
    """Where a copy is not valid, what else stands in the first and the last MiB decides."""
    asked = []
    real = scan.Reader.at

    def at(reader, offset, length):
        asked.append(length)
        return real(reader, offset, length)

    tables.write(planned)
    monkeypatch.setattr(scan.Reader, "at", at)
    tables.recognised(planned[:1], config())
    assert sum(asked) <= 36 << 10
    asked.clear()
    poke(planned[0].disk.path, SIZE - 512, bytes(512))
    with pytest.raises(NotEmptyError):
        tables.recognised(planned[:1], config())
    assert sum(asked) >= 2 << 20
