import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from support import ESP_SIZE, GIB, GUID, MIB, disk, ends, image_disk, new_partitions, sfdisk, sparse, write_table

from zosstorage.block import gpt, layout
from zosstorage.model import Disk, Firmware, PartitionKind, Role
from zosstorage.observed import OwnTable
from zosstorage.planned import PlannedPartition

SIZE = 1 * GIB
PIECES = ("BE", "BH", "PE", "PH", "MBR")  # in the order in which libfdisk writes and flushes them
Pieces = dict[str, bytes]
States = dict[str, Pieces]


def pieces(of: Disk) -> Pieces:
    """The pieces that libfdisk writes, taken from an image with a complete table."""
    head, tail = ends(of)
    array = gpt.ENTRIES_BYTES
    found = {
        "BE": tail[-512 - array : -512],
        "BH": tail[-512:],
        "PE": head[1024 : 1024 + array],
        "PH": head[512:1024],
        "MBR": head[:512],
    }
    assert not any(head[1024 + array :])
    assert not any(tail[: -512 - array])
    return found


def written(folder: Path, name: str, **rest: Any) -> Pieces:
    of = image_disk(sparse(folder / name, SIZE))
    write_table(of, **{"firmware": Firmware.BIOS} | rest)
    return pieces(of)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> States:
    """Pieces of zeros (0), with all flags (M), without the flag of the data partition (S), and without flags (U)."""
    folder = tmp_path_factory.mktemp("layout")
    marked = written(folder, "marked")
    some = image_disk(sparse(folder / "some", SIZE))
    lines = new_partitions(some, firmware=Firmware.BIOS)
    lines[-1] = evolve(lines[-1], make=False)
    sfdisk(some, gpt.script(GUID, lines, 512))
    return {
        "0": {name: bytes(len(data)) for name, data in marked.items()},
        "M": marked,
        "S": pieces(some),
        "U": written(folder, "unmarked", marked=False),
    }


def recognise(parts: Pieces, *, of: Disk | None = None, esp_size: int = ESP_SIZE) -> OwnTable | layout.Unrecognised:
    head = (parts["MBR"] + parts["PH"] + parts["PE"]).ljust(MIB, b"\0")
    tail = (parts["BE"] + parts["BH"]).rjust(MIB, b"\0")
    of = of or disk(size_bytes=SIZE)
    return layout.recognise(of, head, gpt.read(head, tail, of.size_bytes, 512), esp_size)


def recognised_state(states: States, combination: str) -> str:
    """The result as text: "torn MMU" is a torn table whose first two partitions have the flag."""
    found = recognise({name: states[state][name] for name, state in zip(PIECES, combination, strict=True)})
    if isinstance(found, layout.Unrecognised):
        return "unrecognised"
    assert isinstance(found, OwnTable)
    assert found.finished is (combination == "UUUUM")
    assert found.guid == ("" if combination[1:] == "0000" else GUID)
    marks = "".join("M" if entry.marked else "U" for entry in found.partitions)
    return f"{'torn' if found.torn else 'whole'} {marks}"


def prefixes(old: str, new: str) -> list[str]:
    """The states while the table `new` is written over `old`, piece by piece."""
    return [new[:count] + old[count:] for count in range(len(PIECES) + 1)]


# The protective MBR is the same in every table of ours, so the last piece is either missing (0) or complete (M).
CREATING = {
    "M0000": "torn MMM",
    "MM000": "torn MMM",
    "MMM00": "torn MMM",
    "MMMM0": "torn MMM",
    "MMMMM": "whole MMM",
}
CLEARING = {
    "UMMMM": "torn MMM",
    "UUMMM": "torn UUU",
    "UUUMM": "torn UUU",
    "UUUUM": "whole UUU",
}
# After an interruption of clearing, the table is written again: as it was if nothing on the disk is finished, otherwise
# without the flags of the finished partitions.
REWRITING = {
    "SMMMM": "torn MMM",
    "SSMMM": "torn MMU",
    "SSSMM": "torn MMU",
    "SSSSM": "whole MMU",
    "USSSM": "torn MMU",
    "UUSSM": "torn UUU",
    "UUUSM": "torn UUU",
}
# No interruption leaves these states, but they are recognised: the backup header is an intact one of another table of
# ours, and the primary copy is valid and has flags.
HARMLESS = {
    "MUMMM": "torn MMM",
    "MSMMM": "torn MMM",
    "SMSSM": "torn MMU",
    "UMSSM": "torn MMU",
    "USMMM": "torn MMM",
    "SUMMM": "torn MMM",
    "SUSSM": "torn MMU",
    "SSSUM": "torn MMU",
}
RECOGNISED = CREATING | CLEARING | REWRITING | HARMLESS


def test_the_mbr_is_the_same_in_every_table(states: States) -> None:
    assert states["M"]["MBR"] == states["S"]["MBR"] == states["U"]["MBR"]


def test_a_table_interrupted_while_it_was_made_is_recognised(states: States) -> None:
    assert {state: recognised_state(states, state) for state in prefixes("00000", "MMMMM")[1:]} == CREATING


def test_a_table_interrupted_while_flags_were_cleared_is_recognised(states: States) -> None:
    expected = {"MMMMM": "whole MMM"} | CLEARING
    assert {state: recognised_state(states, state) for state in prefixes("MMMMM", "UUUUM")} == expected


# Recognised state → the tables that a later run may write over it. Partition writes a torn table again, as it was or
# without the flag of a filesystem that another member shows to be finished. Mount clears the flags of a whole table.
WRITTEN = {"torn MMM": "MS", "torn MMU": "S", "torn UUU": "U", "whole MMM": "U", "whole MMU": "U", "whole UUU": ""}


def test_a_table_interrupted_any_number_of_times_is_recognised(states: States) -> None:
    reached, pending = set(), [(state, False) for state in prefixes("00000", "MMMMM")[1:]]
    while pending:
        state, complete = pending.pop()
        found = recognised_state(states, state)
        assert found != "unrecognised", state
        complete = complete or found.startswith("whole")
        if (state, complete) in reached:
            continue
        reached.add((state, complete))
        for kind in WRITTEN[found]:
            if kind == "M" or complete:  # no filesystem is finished before all tables are whole
                pending += [(later, complete) for later in prefixes(state, f"{kind * 4}M")]
    assert {state for state, _ in reached} == set(CREATING | CLEARING | REWRITING)


@pytest.mark.parametrize(
    "combination", ["".join(parts) for parts in itertools.product("0MSU", "0MSU", "0MSU", "0MSU", "0M")]
)
def test_only_known_combinations_of_pieces_are_recognised(states: States, combination: str) -> None:
    assert recognised_state(states, combination) == RECOGNISED.get(combination, "unrecognised")


def test_tables_of_ours_differ_in_the_first_sector_of_a_piece_only(states: States) -> None:
    """A sector is written completely or not at all, so an interrupted piece is either the old one or the new one."""
    for one, other in itertools.combinations(states.values(), 2):
        for name in PIECES:
            assert one[name][512:] == other[name][512:]


@pytest.mark.parametrize("whole", ["MMMMM", "UUUUM"])
@given(data=st.data())
def test_a_table_with_a_flipped_bit_is_not_whole(states: States, whole: str, data: st.DataObject) -> None:
    parts = {name: states[state][name] for name, state in zip(PIECES, whole, strict=True)}
    name = data.draw(st.sampled_from(["BE", "BH", "PE", "PH"]))
    broken = bytearray(parts[name])
    broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    found = recognise(parts | {name: bytes(broken)})
    assert isinstance(found, layout.Unrecognised) or (found.torn and whole == "MMMMM")


def test_any_changed_byte_of_a_header_of_a_finished_disk_is_unrecognised(states: States) -> None:
    whole = {name: states["U"][name] for name in PIECES}
    for name in ("BH", "PH"):
        for at in range(512):
            broken = bytearray(whole[name])
            broken[at] ^= 1
            assert isinstance(recognise(whole | {name: bytes(broken)}), layout.Unrecognised), (name, at)


# Differences from our own layout.


def write(
    tmp_path: Path, lines: Sequence[PlannedPartition], *, of: Disk | None = None, guid: str = GUID, extra: str = ""
) -> Disk:
    of = of or image_disk(sparse(tmp_path / "image", SIZE))
    sfdisk(of, gpt.script(guid, lines, 512) + extra)
    return of


def recognise_image(of: Disk, esp_size: int = ESP_SIZE) -> OwnTable | layout.Unrecognised:
    head, tail = ends(of)
    return layout.recognise(of, head, gpt.read(head, tail, of.size_bytes, of.sector_size), esp_size)


LINES = new_partitions(disk(size_bytes=SIZE), marked=False)


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("role", [Role.DATA, Role.CACHE, Role.BACKING])
@pytest.mark.parametrize("marked", [False, True])
def test_a_table_of_ours_is_recognised(tmp_path: Path, firmware: Firmware, role: Role, marked: bool) -> None:
    found = recognise_image(
        write(tmp_path, new_partitions(disk(size_bytes=SIZE), firmware=firmware, role=role, marked=marked))
    )
    assert isinstance(found, OwnTable)
    kinds = (PartitionKind.ESP, PartitionKind.DATA)
    expected = (PartitionKind.BIOS_BOOT, *kinds) if firmware is Firmware.BIOS else kinds
    assert (found.guid, found.torn, found.finished) == (GUID, False, not marked)
    assert tuple(part.kind for part in found.partitions) == expected
    assert {part.marked for part in found.partitions} == {marked}
    assert found.partitions[-1].name == ("zoscache" if role is Role.CACHE else "zosdata")


@pytest.mark.parametrize(
    ("number", "changes", "offset", "expected"),
    [
        (1, {"name": "zosdata"}, MIB, "the name 'zosdata'"),
        (1, {"name": ""}, MIB, "the name ''"),
        (1, {"type": gpt.LINUX}, MIB, "the type"),
        (1, {"size_bytes": ESP_SIZE - MIB}, MIB, "the size"),
        (1, {"start_bytes": 2 * MIB, "size_bytes": ESP_SIZE - MIB}, 2 * MIB, "the start"),
        (2, {"name": "root"}, MIB + ESP_SIZE, "the name 'root'"),
        (2, {"name": "zosboot"}, MIB + ESP_SIZE, "the name 'zosboot'"),
        (2, {"type": "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"}, MIB + ESP_SIZE, "the type"),
        (2, {"size_bytes": LINES[1].size_bytes - MIB}, MIB + ESP_SIZE, "the size"),
        (2, {"start_bytes": LINES[1].start_bytes + MIB, "size_bytes": MIB}, 2 * MIB + ESP_SIZE, "the start"),
        (2, {"number": 3}, MIB + ESP_SIZE, "the number 3"),
    ],
    ids=str,
)
def test_one_difference_makes_a_table_unrecognised(
    tmp_path: Path, number: int, changes: dict[str, Any], offset: int, expected: str
) -> None:
    lines = list(LINES)
    lines[number - 1] = evolve(lines[number - 1], **changes)
    found = recognise_image(write(tmp_path, lines))
    assert isinstance(found, layout.Unrecognised)
    assert expected in found.reason
    assert found.offset == offset


@pytest.mark.parametrize("attribute", ["RequiredPartition", "LegacyBIOSBootable", "GUID:59", "GUID:63"])
def test_another_attribute_makes_a_table_unrecognised(tmp_path: Path, attribute: str) -> None:
    of = image_disk(sparse(tmp_path / "image", SIZE))
    script = gpt.script(GUID, LINES, 512).replace('name="zosdata"', f'name="zosdata", attrs="{attribute}"')
    sfdisk(of, script)
    found = recognise_image(of)
    assert isinstance(found, layout.Unrecognised)
    assert "the attributes" in found.reason
    assert found.offset == LINES[1].start_bytes


def test_a_table_with_a_further_partition_is_unrecognised(tmp_path: Path) -> None:
    lines = [LINES[0], evolve(LINES[1], size_bytes=MIB)]
    other = evolve(
        lines[1], number=3, uuid="33333333-2222-4333-8444-555555555555", start_bytes=lines[1].start_bytes + MIB
    )
    found = recognise_image(write(tmp_path, [*lines, other]))
    assert isinstance(found, layout.Unrecognised)
    assert "3 partitions where our own layout has 2" in found.reason


@pytest.mark.parametrize("lines", [LINES[:1], []], ids=["one", "none"])
def test_a_table_with_fewer_partitions_is_unrecognised(tmp_path: Path, lines: Sequence[PlannedPartition]) -> None:
    found = recognise_image(write(tmp_path, lines))
    assert isinstance(found, layout.Unrecognised)
    assert f"{len(lines)} partitions" in found.reason


def test_an_esp_of_another_size_makes_a_table_unrecognised(tmp_path: Path) -> None:
    found = recognise_image(write(tmp_path, LINES), esp_size=ESP_SIZE + MIB)
    assert isinstance(found, layout.Unrecognised)
    assert "the size" in found.reason


def test_a_finished_table_whose_mbr_is_not_protective_is_unrecognised(states: States) -> None:
    parts = {name: states["U"][name] for name in PIECES}
    for at, value in ((450, 0x83), (462, 0x80), (510, 0)):
        broken = bytearray(parts["MBR"])
        broken[at] = value
        found = recognise(parts | {"MBR": bytes(broken)})
        assert isinstance(found, layout.Unrecognised)
        assert "not a protective one" in found.reason


def test_different_tables_at_both_ends_are_unrecognised(states: States, tmp_path: Path) -> None:
    other = written(tmp_path, "other", guid="66666666-2222-4333-8444-555555555555", tag=9)
    mixed = {name: (other if name in ("BE", "BH") else states["U"])[name] for name in PIECES}
    found = recognise(mixed)
    assert isinstance(found, layout.Unrecognised)
    assert "contradict" in found.reason


def test_a_flag_in_the_backup_alone_is_unrecognised(states: States) -> None:
    """Clearing writes the backup first, which therefore never has more flags than the primary."""
    parts = {"BE": "M", "BH": "M", "PE": "U", "PH": "U", "MBR": "U"}
    found = recognise({name: states[state][name] for name, state in parts.items()})
    assert isinstance(found, layout.Unrecognised)


@pytest.mark.parametrize(
    ("missing", "offset"), [(("BE", "BH"), SIZE - 512), (("PE", "PH"), SIZE - 512), (("BE", "BH", "PE"), 512)]
)
def test_a_damaged_copy_is_reported_with_its_offset(states: States, missing: tuple[str, ...], offset: int) -> None:
    parts = {name: states["0" if name in missing else "U"][name] for name in PIECES}
    found = recognise(parts)
    assert isinstance(found, layout.Unrecognised)
    assert found.offset == offset


def test_other_bytes_beside_a_torn_table_are_unrecognised(states: States) -> None:
    parts = {name: states["M" if name in ("BE", "BH") else "0"][name] for name in PIECES}
    head = bytearray(MIB)
    tail = (parts["BE"] + parts["BH"]).rjust(MIB, b"\0")
    of = disk(size_bytes=SIZE)
    for at in (0, 512, 1024 + gpt.ENTRIES_BYTES, MIB - 1):
        head[at] = 1
        found = layout.recognise(of, bytes(head), gpt.read(bytes(head), tail, SIZE, 512), ESP_SIZE)
        assert isinstance(found, layout.Unrecognised)
        head[at] = 0


# The layout itself.


@given(
    size=st.integers(700 * MIB, 20 * 1024 * GIB),
    sector=st.sampled_from([512, 4096]),
    firmware=st.sampled_from(Firmware),
    role=st.sampled_from(Role),
    esp=st.integers(33, 600),
)
def test_partitions_fill_the_disk_on_mib_boundaries(
    size: int, sector: int, firmware: Firmware, role: Role, esp: int
) -> None:
    of = disk(size_bytes=size // sector * sector, sector_size=sector)
    parts = layout.partitions(of, firmware, role, esp * MIB)
    assert parts[0].start_bytes == MIB
    for part, following in itertools.pairwise(parts):
        assert part.start_bytes + part.size_bytes == following.start_bytes
    assert all(part.start_bytes % MIB == part.size_bytes % MIB == 0 < part.size_bytes for part in parts)
    usable_end = of.size_bytes - sector - gpt.ENTRIES_BYTES
    assert usable_end - MIB < parts[-1].start_bytes + parts[-1].size_bytes <= usable_end
    assert [part.kind for part in parts][-2:] == [PartitionKind.ESP, PartitionKind.DATA]
    assert (parts[0].kind is PartitionKind.BIOS_BOOT) == (firmware is Firmware.BIOS)
    assert parts[-2].size_bytes == esp * MIB
    assert [part.number for part in parts] == list(range(1, len(parts) + 1))


@pytest.mark.parametrize("firmware", list(Firmware))
def test_partitions_of_the_layout_have_no_uuids_and_are_to_be_made(firmware: Firmware) -> None:
    parts = layout.partitions(disk(), firmware, Role.DATA, ESP_SIZE)
    assert all(part.uuid == "" and part.make for part in parts)
    assert all(part.type == gpt.TYPES[part.kind] for part in parts)


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("esp", [33, 512, 2048])
def test_the_smallest_disk_has_room_for_data(sector: int, esp: int) -> None:
    of = disk(size_bytes=layout.smallest(esp * MIB), sector_size=sector)
    assert layout.partitions(of, Firmware.BIOS, Role.DATA, esp * MIB)[-1].size_bytes >= 256 * MIB
