"""Who is measured: zosstorage in its forms, and what it is held against; each on blank loop disks of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests/loop")]

import measure  # noqa: E402
from disks import GIB, PREFIX, LoopDisk, Machine  # noqa: E402

if TYPE_CHECKING:
    from measure import Sample

SIZE = 10 * GIB


class Contender(NamedTuple):
    """A way to provision disks: a program of ours, or a way of by-hand.sh."""

    name: str
    program: str = ""
    way: str = ""

    def argv(self, machine: Machine) -> list[str]:
        disks = [disk.device for disk in machine.disks]
        if self.way:
            return machine.inside(HERE / "by-hand.sh", self.way, machine.root, *disks)
        includes = [word for disk in disks for word in ("--include", disk)]
        places = ["--root", machine.root, "--run-dir", machine.run_dir, "--report", machine.run_dir / "state.json"]
        # Flags instead of a file: a machine whose disks are real needs neither. All else is at its default.
        return machine.inside(self.program, *includes, "--exclude", "/dev/none", *places, "--cmdline", os.devnull)


class Measured(NamedTuple):
    """The samples of one contender in one round, and the seconds of its commands; empty for what is not ours."""

    samples: dict[str, Sample]
    commands: dict[str, list[float]]


def blank_machine(folder: Path, count: int) -> Machine:
    """Some blank sparse disks, attached, and a mount namespace of their own; to be closed."""
    folder.mkdir(parents=True, exist_ok=True)
    images = [folder / f"{PREFIX}{os.getpid()}-{number}.img" for number in range(count)]
    for image in images:
        with image.open("wb") as file:
            file.truncate(SIZE)
    return Machine(folder, [LoopDisk(image) for image in images])


def measured(contender: Contender, folder: Path, count: int) -> Measured:
    """One round: blank disks; for ours also the rerun, beside a bare Python, and the second boot."""
    machine = blank_machine(folder, count)
    log = folder / "log"
    try:
        samples = {"cold": measure.run(contender.argv(machine), log)}
        if contender.way:
            return Measured(samples, {})
        seconds = measure.commands(log)
        samples["rerun"] = measure.run(contender.argv(machine), log)
        samples["bare"] = measure.run(machine.inside(sys.executable, "-I", "-S", "-c", "pass"), log)
        machine.reboot()
        samples["second"] = measure.run(contender.argv(machine), log)
        return Measured(samples, seconds)
    finally:
        machine.close()
