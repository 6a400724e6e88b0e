"""Reading the tables of a plan back from the disks."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from support import GIB, kernel_partitions, planned_images, poke, write_planned

from zosstorage.block import claim, medium, sysfs, tables
from zosstorage.errors import NotEmptyError, ToolError
from zosstorage.facts import Partition
from zosstorage.planned import PlannedDisk
from zosstorage.system import reading

SIZE = 1 * GIB
Planned = tuple[PlannedDisk, ...]
Kernel = dict[str, dict[int, Partition]]


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    return planned_images(tmp_path)


@pytest.fixture
def written(planned: Planned) -> Planned:
    """The planned images with their tables; all partitions have the flag."""
    write_planned(*planned)
    return planned


def unmarked(planned: PlannedDisk, *numbers: int) -> PlannedDisk:
    """A planned disk that keeps the partitions with these numbers; without numbers, all partitions."""
    parts = [
        evolve(part, make=part.make and bool(numbers) and part.number not in numbers) for part in planned.partitions
    ]
    return evolve(planned, partitions=tuple(parts))


# Reading tables.


def test_read_returns_the_table_of_each_disk(written: Planned) -> None:
    found = tables.read(written)
    assert [one.planned for one in found] == list(written)
    for one in found:
        assert (one.table.guid, one.table.torn, one.table.finished) == (one.planned.guid, False, False)
        assert [part.uuid for part in one.table.partitions] == [part.uuid for part in one.planned.partitions]
        assert all(part.marked for part in one.table.partitions)
        assert (one.copies.primary.valid, one.copies.backup.valid, one.copies.protective) == (True, True, True)
        assert one.copies.primary.guid == one.planned.guid


def test_read_keeps_the_order_of_the_disks(written: Planned) -> None:
    assert [one.planned for one in tables.read(written[::-1])] == list(written[::-1])
    assert tables.read([]) == []


def test_a_table_with_cleared_flags_is_that_of_its_plan(planned: Planned) -> None:
    write_planned(unmarked(planned[0], 3))
    (found,) = tables.read(planned[:1])
    assert [part.marked for part in found.table.partitions] == [True, True, False]


def test_a_torn_table_is_read_as_torn(written: Planned) -> None:
    poke(written[0].disk.path, 0, bytes(512))
    assert [one.table.torn for one in tables.read(written)] == [True, False]


def test_a_blank_disk_is_refused(planned: Planned) -> None:
    with pytest.raises(NotEmptyError, match="does not carry the table of the plan"):
        tables.read(planned[:1])


def test_the_error_names_the_disk_without_its_table(planned: Planned) -> None:
    write_planned(planned[0])
    with pytest.raises(NotEmptyError, match=f"^{planned[1].disk.path} does not carry") as caught:
        tables.read(planned)
    assert "run again" in caught.value.hint


def test_the_table_of_another_plan_is_refused(written: Planned) -> None:
    first, *rest = written[0].partitions
    other = evolve(written[0], partitions=(evolve(first, uuid="x"), *rest))
    with pytest.raises(NotEmptyError, match="partition UUIDs that are not those of the plan"):
        tables.read([other])


def test_a_disk_that_cannot_be_read_is_refused(planned: Planned) -> None:
    gone = evolve(planned[0], disk=evolve(planned[0].disk, size_bytes=2 * SIZE))
    with pytest.raises(NotEmptyError, match=r"a read of \d+ bytes returned only 0"):
        tables.read([gone])
    none = evolve(planned[1], disk=evolve(planned[1].disk, path="/dev/nonexistent"))
    with pytest.raises(NotEmptyError, match="/dev/nonexistent: it cannot be opened: No such file"):
        tables.read([planned[0], none])


def test_whole_ends_are_read_only_if_a_copy_is_not_valid(written: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the rest of the first and the last MiB decides whether the table is torn."""
    asked = []
    real = medium.Reader.at

    def at(reader: medium.Reader, offset: int, length: int) -> bytes:
        asked.append(length)
        return real(reader, offset, length)

    monkeypatch.setattr(medium.Reader, "at", at)
    monkeypatch.setattr(reading, "apart", lambda work: work())
    tables.read(written[:1])
    assert sum(asked) <= 36 << 10
    asked.clear()
    poke(written[0].disk.path, SIZE - 512, bytes(512))
    with pytest.raises(NotEmptyError):
        tables.read(written[:1])
    assert sum(asked) >= 2 << 20


# Finished tables.


def test_finished_tables_are_whole_and_have_no_flags(written: Planned) -> None:
    assert tables.finished(written) == []
    write_planned(unmarked(written[1]))
    assert tables.finished(written) == [written[1]]
    write_planned(unmarked(written[0], 1, 2))
    assert tables.finished(written) == [written[1]]
    write_planned(unmarked(written[0]))
    assert tables.finished(written) == list(written)


def test_a_torn_table_is_not_finished(written: Planned) -> None:
    poke(written[0].disk.path, 0, bytes(512))
    assert tables.finished(written[:1]) == []


# Partitions.


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The partitions that the kernel has, by disk path."""
    found: Kernel = {}
    monkeypatch.setattr(sysfs, "partitions", lambda disk, **_: found.get(disk.path, {}))
    return found


@pytest.fixture
def node_numbers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Node → number of its device. A node that is not in the dictionary is right; its name serves as number."""
    found: dict[str, str] = {}

    def check_node(node: str, number: str) -> None:
        if found.get(node, node) != number:
            raise NotEmptyError(f"{node} is not {number}")

    monkeypatch.setattr(sysfs, "device_number", lambda node: node)
    monkeypatch.setattr(claim, "check_node", check_node)
    return found


@pytest.fixture
def known(written: Planned, kernel: Kernel, node_numbers: dict[str, str]) -> Planned:
    """Written tables whose partitions the kernel knows."""
    kernel |= {one.disk.path: kernel_partitions(one) for one in written}
    return written


def test_partitions_combine_table_and_kernel(known: Planned) -> None:
    found = tables.partitions(known, marked=True)
    wanted = [(one, part) for one in known for part in one.partitions]
    assert [(part.number, part.device) for part in found] == [
        (part.number, f"{one.disk.path}p{part.number}") for one, part in wanted
    ]
    for part, (_, planned) in zip(found, wanted, strict=True):
        assert (part.name, part.type, part.uuid) == (planned.name, planned.type, planned.uuid)
        assert (part.start_bytes, part.size_bytes) == (planned.start_bytes, planned.size_bytes)


def test_partitions_unknown_to_the_kernel_are_an_error(known: Planned, kernel: Kernel) -> None:
    del kernel[known[1].disk.path]
    with pytest.raises(ToolError, match=f"the kernel does not have the partitions of {known[1].disk.path}"):
        tables.partitions(known, marked=False)


@pytest.mark.parametrize("change", [{"start_bytes": 0}, {"size_bytes": 512}, {"number": 4}], ids=str)
def test_different_partitions_in_the_kernel_are_an_error(
    known: Planned, kernel: Kernel, change: dict[str, Any]
) -> None:
    part = evolve(kernel[known[0].disk.path][3], **change)
    kernel[known[0].disk.path] = {**kernel_partitions(known[0]), 3: part}
    with pytest.raises(ToolError, match="the kernel does not have the partitions"):
        tables.partitions(known, marked=False)


def test_a_further_partition_in_the_kernel_is_an_error(known: Planned, kernel: Kernel) -> None:
    path = known[0].disk.path
    kernel[path] = kernel[path] | {4: evolve(kernel[path][3], number=4)}
    with pytest.raises(ToolError, match="the kernel does not have the partitions"):
        tables.partitions(known, marked=False)


def test_a_node_of_another_device_is_refused(known: Planned, node_numbers: dict[str, str]) -> None:
    node_numbers[f"{known[1].disk.path}p3"] = "8:1"
    with pytest.raises(NotEmptyError, match="p3 is not"):
        tables.partitions(known, marked=False)


def test_changed_nodes_are_an_error(known: Planned) -> None:
    before = tables.partitions(known, marked=False)
    tables.require_partitions(known, before)
    with pytest.raises(ToolError, match="nodes of the partitions have changed"):
        tables.require_partitions(known, [*before[:-1], evolve(before[-1], device="/dev/sdz9")])


# Partitions may be written only if their flag is set.


def test_partitions_without_flags_may_not_be_written(known: Planned) -> None:
    write_planned(*map(unmarked, known))
    before = tables.partitions(known, marked=False)
    for ask in (lambda: tables.partitions(known, marked=True), lambda: tables.require_partitions(known, before)):
        with pytest.raises(NotEmptyError, match="no in-progress flag on partition 1, 2, 3"):
            ask()


def test_only_partitions_to_be_made_need_the_flag(known: Planned) -> None:
    kept = unmarked(known[0], 3)
    write_planned(kept)
    assert len(tables.partitions([kept], marked=True)) == 3
    with pytest.raises(NotEmptyError, match="no in-progress flag on partition 3"):
        tables.partitions(known[:1], marked=True)


def test_a_flag_on_a_kept_partition_is_allowed(known: Planned) -> None:
    assert len(tables.partitions([unmarked(known[0], 3)], marked=True)) == 3


def test_partitions_of_a_torn_table_may_not_be_written(known: Planned) -> None:
    poke(known[0].disk.path, 0, bytes(512))
    with pytest.raises(NotEmptyError, match="torn copies"):
        tables.partitions(known, marked=True)
    assert len(tables.partitions(known, marked=False)) == 6
