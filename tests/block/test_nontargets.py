"""Devices that are no targets: examined without a claim, each for a bounded time."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import FakeTools
from superblocks import FS_UUID, btrfs_block
from support import ESP_SIZE, GIB, image_disk, poke, sparse

from zosstorage.block import contents, emptiness, nontargets
from zosstorage.model import Content, Depth, Disk, Kind
from zosstorage.system import reading


def test_no_disk_is_claimed(probers: FakeTools, image: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    real = os.open

    def record(path: str, how: int, *mode: int) -> int:
        found.append(how & os.O_EXCL)
        return real(path, how, *mode)

    def each(work: Callable[[Disk], object], items: list[Disk], _: float) -> list[object]:
        return [work(item) for item in items]

    monkeypatch.setattr(os, "open", record)
    monkeypatch.setattr(reading, "apart", lambda work: work())
    monkeypatch.setattr(reading, "each", each)
    (seen,) = nontargets.observe([image], Depth.SAMPLED, ESP_SIZE)
    assert emptiness.verdict(seen).kind is Kind.BLANK
    assert found
    assert not any(found)
    emptiness.observe([image], Depth.SAMPLED, ESP_SIZE)
    assert any(found)


def test_a_failed_prober_is_evidence_on_its_disk(probers: FakeTools, image: Disk, tmp_path: Path) -> None:
    other = image_disk(sparse(tmp_path / "other", 1 * GIB), name="other", number="7:78")
    probers("blkid", body=f'case "$*" in *{other.path}) exit 1;; esac', status=2)
    one, failed = nontargets.observe([image, other], Depth.SAMPLED, ESP_SIZE)
    assert emptiness.verdict(one).kind is Kind.BLANK
    assert "it cannot be examined" in emptiness.verdict(failed).evidence[0].found


def test_a_silent_disk_is_evidence(
    probers: FakeTools, image: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = image_disk(sparse(tmp_path / "other", 1 * GIB), name="other", number="7:78")
    probers("blkid", body=f'case "$*" in *{other.path}) while :; do :; done;; esac', status=2)
    monkeypatch.setattr(nontargets, "_SECONDS", 0.5)
    silent, one = nontargets.observe([other, image], Depth.SAMPLED, ESP_SIZE)
    assert emptiness.verdict(one).kind is Kind.BLANK
    (found,) = emptiness.verdict(silent).evidence
    assert found.found == "it cannot be examined: it did not answer within 0.5 s"
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if other.path in _text(path)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:  # the process has ended
        return ""


def test_the_log_names_a_device_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ours, blank = (str(sparse(tmp_path / name, 1 * GIB)) for name in ("ours", "blank"))
    poke(ours, 64 * 1024, btrfs_block())
    real = contents.read_here

    def read(device: str) -> Content | None:
        if device == "/dev/silent":
            time.sleep(100)
        return real(device)

    monkeypatch.setattr(nontargets, "_SECONDS", 1.0)
    monkeypatch.setattr(contents, "read_here", read)
    with caplog.at_level(logging.WARNING, "zosstorage"):
        found = nontargets.read_contents([blank, "/dev/silent", "/dev/missing", ours])
    assert {device: content.uuid for device, content in found.items()} == {ours: FS_UUID}
    assert [record.disk for record in caplog.records] == ["/dev/silent"]  # type: ignore[attr-defined]
