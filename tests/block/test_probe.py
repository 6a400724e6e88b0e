import json
import os
import time
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from fakes import FakeTools
from support import disk

from zosstorage.block import probe
from zosstorage.errors import ToolError
from zosstorage.model import Disk, Evidence

# Rows of wipefs, as util-linux 2.38 prints them.
ROWS = [
    {"device": "sda", "offset": "0x438", "type": "ext4", "uuid": "a-b", "label": "root", "parttype": None},
    {"device": "sdb", "offset": "0x0", "type": "crypto_LUKS", "uuid": None, "label": None},
    {"device": "sda", "offset": "0x1fe", "type": "dos", "uuid": None, "label": None},
]


@pytest.fixture(autouse=True)
def one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)


def wipefs(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"signatures": rows}) if rows else ""


def probe_all(*disks: str | Disk) -> dict[str, list[Evidence]]:
    with probe.Probers([disk(one) if isinstance(one, str) else one for one in disks]) as probers:
        probers.start_all()
        return probers.finish()


def nothing() -> None:
    """The work that is done meanwhile: none."""


def test_disks_without_signatures_have_no_evidence(fake_tools: FakeTools) -> None:
    fake_tools("wipefs")
    fake_tools("blkid", status=2)
    assert probe_all("sda", "sdb") == {"/dev/sda": [], "/dev/sdb": []}
    assert fake_tools.of("wipefs") == [
        ["wipefs", "--json", "--output", "DEVICE,OFFSET,TYPE,LABEL,UUID", "/dev/sda", "/dev/sdb"]
    ]
    assert sorted(fake_tools.of("blkid")) == [
        ["blkid", "-p", "-o", "export", f"/dev/{name}"] for name in ("sda", "sdb")
    ]


def test_signatures_are_evidence_with_their_offsets(fake_tools: FakeTools) -> None:
    fake_tools("wipefs", stdout=wipefs(ROWS))
    fake_tools("blkid", status=2)
    found = probe_all("sda", "sdb")
    assert [(one.check, one.offset, one.found) for one in found["/dev/sda"]] == [
        ("wipefs", 1080, "a signature of ext4 labelled root with UUID a-b"),
        ("wipefs", 510, "a signature of dos"),
    ]
    assert [(one.offset, one.found) for one in found["/dev/sdb"]] == [(0, "a signature of crypto_LUKS")]
    assert all(path in one.hint for path, all_found in found.items() for one in all_found)


def test_wipefs_names_a_node_in_a_folder_by_its_last_part(fake_tools: FakeTools) -> None:
    fake_tools("wipefs", stdout=wipefs([ROWS[0] | {"device": "c0d0"}]))
    fake_tools("blkid", status=2)
    of = disk("cciss!c0d0", path="/dev/cciss/c0d0")
    assert probe_all(of)["/dev/cciss/c0d0"][0].offset == 1080


@pytest.mark.parametrize(
    ("status", "stdout", "expected"),
    [
        (0, "DEVNAME=/dev/sda\nTYPE=xfs\nLABEL=a=b\n", "TYPE=xfs, LABEL=a=b"),
        (8, "", "several contradicting signatures"),
    ],
)
def test_the_output_of_blkid_is_evidence(fake_tools: FakeTools, status: int, stdout: str, expected: str) -> None:
    fake_tools("wipefs")
    fake_tools("blkid", stdout=stdout, status=status)
    (found,) = probe_all("sda")["/dev/sda"]
    assert (found.check, found.offset, found.found) == ("blkid", None, expected)


@pytest.mark.parametrize(("tool", "status"), [("wipefs", 1), ("blkid", 1), ("blkid", 4)])
def test_a_failed_prober_is_an_error(fake_tools: FakeTools, tool: str, status: int) -> None:
    fake_tools("wipefs")
    fake_tools("blkid", status=2)
    fake_tools(tool, stderr="input/output error", status=status)
    with pytest.raises(ToolError, match=f"{tool} .* failed with status {status}: input/output error"):
        probe_all("sda")


def test_devices_are_shared_by_one_process_for_each_processor(
    fake_tools: FakeTools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    nodes = [f"/dev/sda{number}" for number in range(1, 8)]
    fake_tools("wipefs")
    assert probe.signatures(nodes, nothing) == []
    fake_tools("blkid", body='shift 3; for node; do printf "DEVNAME=%s\\nTYPE=btrfs\\n\\n" "$node"; done')
    assert set(probe.contents(nodes, nothing)[0]) == set(nodes)
    for tool in ("wipefs", "blkid"):
        shares = [call[4:] for call in fake_tools.of(tool)]
        assert sorted(map(len, shares)) == [2, 2, 3]
        assert sorted(node for share in shares for node in share) == nodes


def test_no_disks_start_no_prober(fake_tools: FakeTools) -> None:
    assert probe_all() == {}
    assert probe.signatures([], nothing) == []
    assert fake_tools.calls == []


def test_finishing_probers_that_were_not_started_is_an_error() -> None:
    """Without this error, a disk that was not probed would count as one without signatures."""
    with probe.Probers([disk("sda")]) as probers, pytest.raises(KeyError):
        probers.finish()


def test_signatures_of_partitions(fake_tools: FakeTools) -> None:
    fake_tools("wipefs", stdout=wipefs([ROWS[0] | {"type": None}]))
    (found,) = probe.signatures(["/dev/sda"], nothing)
    assert found == probe.Signature("/dev/sda", 1080, "unknown", "root", "a-b")


def test_contents_of_partitions(fake_tools: FakeTools) -> None:
    blocks = [
        "DEVNAME=/dev/sda1\nLABEL_FATBOOT=X\nLABEL=ZOSBOOT\nUUID=1A2B-3C4D\nTYPE=vfat",
        "DEVNAME=/dev/sda2\nTYPE=btrfs",
    ]
    fake_tools("blkid", stdout="\n\n".join(blocks) + "\n")
    found, meanwhile = probe.contents(["/dev/sda1", "/dev/sda2"], lambda: "something else")
    assert found == {"/dev/sda1": ("vfat", "ZOSBOOT", "1a2b-3c4d"), "/dev/sda2": ("btrfs", "", "")}
    assert meanwhile == "something else"
    assert fake_tools.calls == [["blkid", "-p", "-o", "export", "/dev/sda1", "/dev/sda2"]]


def test_contents_of_an_empty_device_is_an_error(fake_tools: FakeTools) -> None:
    fake_tools("blkid", status=2)
    with pytest.raises(ToolError, match="status 2"):
        probe.contents(["/dev/sda1"], nothing)


@pytest.mark.parametrize("tool", ["wipefs", "blkid"])
def test_probers_are_killed_if_the_other_work_fails(fake_tools: FakeTools, tool: str) -> None:
    fake_tools(tool, body="exec sleep 60")
    ask = {"wipefs": probe.signatures, "blkid": probe.contents}[tool]

    def fails() -> NoReturn:
        raise ToolError("the marks are gone")

    began = time.monotonic()
    with pytest.raises(ToolError, match="the marks are gone"):
        ask(["/dev/sda1"], fails)
    assert time.monotonic() - began < 30  # the prober was killed and reaped
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_blkid_can_examine_a_part_of_a_disk() -> None:
    assert probe.contents_argv("/dev/sda", 1048576, 4096)[4:] == ["-O", "1048576", "-S", "4096", "/dev/sda"]


ODD = [
    f'{{"signatures": [{{"device": {device}, "offset": {offset}, "type": "x", "label": "", "uuid": ""}}]}}'
    for device, offset in (("[]", '"0"'), ('"sda"', "0"), ('"sda"', "null"), ('"sda"', "[]"), ('"sda"', "{}"))
]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"signatures": [{"device": "sdx"}]}', '{"signatures": 5}', "null", "[" * 20_000, *ODD],
    ids=lambda text: text[:60],
)
def test_unexpected_output_of_wipefs_is_an_error(fake_tools: FakeTools, text: str) -> None:
    fake_tools("wipefs", stdout=text)
    fake_tools("blkid", status=2)
    with pytest.raises(ToolError, match="printed output that cannot be parsed"):
        probe_all("sda")
