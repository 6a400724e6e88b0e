"""Devices that do not answer: throttled by the kernel to 10 bytes a second, so that a read of them takes for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import LoopDisk, Machine
from processes import wait_until

CONTROL = Path("/sys/fs/cgroup")
# How long a run may take that meets such a device: 2 s for one that is no target, and what a loaded machine adds.
SECONDS = 30


class Throttle:
    """A control group in which the reads of some devices are throttled; version 1 or 2, whichever the machine has."""

    def __init__(self) -> None:
        self.first = (CONTROL / "blkio").is_dir()
        parent = CONTROL / "blkio" if self.first else CONTROL
        if not self.first:
            (parent / "cgroup.subtree_control").write_text("+io")
        self.folder = parent / f"zosstorage-test-{os.getpid()}"
        self.folder.mkdir()
        self.devices: list[str] = []

    def __call__(self, device: str) -> None:
        """Throttle the reads of a device."""
        number = Path(f"/sys/class/block/{Path(device).name}/dev").read_text().strip()
        self.devices.append(number)
        self._limit(number, "10")

    def release(self) -> None:
        """Let the reads go on."""
        for number in self.devices:
            self._limit(number, "0" if self.first else "max")
        self.devices.clear()

    def close(self) -> None:
        """Remove the group when its processes have ended."""
        self.release()
        wait_until(lambda: not (self.folder / "cgroup.procs").read_text().split(), "a process stays in the group")
        self.folder.rmdir()

    def _limit(self, number: str, rate: str) -> None:
        if self.first:
            (self.folder / "blkio.throttle.read_bps_device").write_text(f"{number} {rate}")
        else:
            (self.folder / "io.max").write_text(f"{number} rbps={rate}")

    @property
    def before(self) -> list[str]:
        """The words before a command that runs in the group."""
        return ["sh", "-c", f'echo $$ >{self.folder}/cgroup.procs; exec "$@"', "sh"]


@pytest.fixture
def throttle() -> Iterator[Throttle]:
    one = Throttle()
    try:
        yield one
    finally:
        one.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[LoopDisk]:
    """A disk that the configuration does not name."""
    image = tmp_path / "other.img"
    with image.open("wb") as file:
        file.truncate(2 << 30)
    disk = LoopDisk(image)
    disk.attach()
    with contextlib.ExitStack() as stack:
        stack.callback(disk.detach)
        yield disk


def finish(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for a run: its exit code and how long it took."""
    began = time.monotonic()
    return process.wait(SECONDS), time.monotonic() - began


def test_a_device_that_is_no_target_does_not_hold_up_a_boot(machine: Any, other: LoopDisk, throttle: Throttle) -> None:
    one: Machine = machine()
    assert one("run").status == 0
    one.reboot()
    throttle(other.device)
    status, _ = finish(one.start("run", before=throttle.before))
    assert status == 0, one.log.read_text()
    assert f"{other.device} does not answer" in one.log.read_text()
    throttle.release()
    assert one("run").status == 0


def test_plan_says_that_a_rejected_disk_does_not_answer(machine: Any, other: LoopDisk, throttle: Throttle) -> None:
    one: Machine = machine()
    throttle(other.device)
    process = subprocess.run(
        one.argv("plan", "--verbose", before=throttle.before),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    shown = process.stdout.split(other.device)[-1].splitlines()
    assert any("did not answer within 2 s" in line for line in shown), process.stdout


def test_a_target_that_does_not_answer_is_named(machine: Any, throttle: Throttle) -> None:
    one: Machine = machine(2, tools={"timeout": "1s"})
    throttle(one.disks[1].device)
    before = one.digests()
    status, _ = finish(one.start("run", before=throttle.before))
    assert status == 6, one.log.read_text()
    assert f"{one.disks[1].device} did not answer a read within 1 s" in one.log.read_text()
    throttle.release()
    assert one.digests() == before
    one.settings.pop("tools")
    assert one("run").status == 0


@pytest.mark.parametrize("state", ["blank", "finished"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_a_run_while_the_kernel_holds_a_read(
    machine: Any, throttle: Throttle, state: str, number: signal.Signals
) -> None:
    one: Machine = machine()
    if state == "finished":
        assert one("run").status == 0
        one.reboot()
    throttle(one.disks[0].device)
    process = one.start("run", before=throttle.before)
    wait_until(lambda: "validate: started" in one.log.read_text(), "the run did not come to validate")
    time.sleep(0.3)
    process.send_signal(number)
    status, seconds = finish(process)
    assert status == 128 + number, one.log.read_text()
    assert seconds < 5
    throttle.release()
    wait_until(lambda: one("run").status == 0, "the next run does not finish")
