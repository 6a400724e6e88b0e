"""Provision two sparse files as loop devices, look at what was made, and run again: nothing is written any more.

Everything happens below a temporary folder and, mounts included, in a mount namespace of its own. The loop devices are
detached and the files removed however it ends.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import loopdevices

SIZE = 8 << 30
INSIDE = "--inside"
CONFIG = """\
version: 1
logging: {{level: warn, format: text}}
devices:
  include: [{disks}]
  exclude: []
run_dir: {folder}/run
report: {{path: {folder}/run/state.json}}
"""


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    if sys.argv[1:2] == [INSIDE]:
        return _inside(Path(sys.argv[2]), sys.argv[3:])
    if os.geteuid() != 0:
        sys.stderr.write(
            f"the demo makes loop devices and mounts them; run it as root: sudo {sys.executable} {__file__}\n"
        )
        return 1
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zosstorage-demo-")))
        disks = [_disk(folder / name, stack) for name in ("one.img", "two.img")]
        namespace = ["unshare", "--mount", "--propagation", "private"]
        return _wait([*namespace, sys.executable, __file__, INSIDE, str(folder), *disks])


def _wait(argv: list[str]) -> int:
    """Run a command to its end; whoever stops us stops it too, and lets it clean up."""
    child = subprocess.Popen(argv)
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise


def _stop(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def _disk(image: Path, stack: ExitStack) -> str:
    """A sparse file as a loop device, until the stack unwinds."""
    with image.open("wb") as file:
        file.truncate(SIZE)
    device = loopdevices.attach(image)
    stack.callback(device.release)
    return device.path


def _inside(folder: Path, disks: list[str]) -> int:
    """The demonstration, in the mount namespace."""
    (folder / "demo.yaml").write_text(CONFIG.format(disks=", ".join(disks), folder=folder), "utf-8")
    root = folder / "root"
    zosstorage = [sys.executable, "-m", "zosstorage", "--config", str(folder / "demo.yaml"), "--root", str(root)]
    try:
        _make(zosstorage, folder, disks)
        _again(zosstorage, disks)
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"the demo failed: {error}\n")
        return 1
    finally:
        for target in reversed(_mounted_below(root)):
            subprocess.run(["umount", target], check=False)
    return 0


def _make(zosstorage: list[str], folder: Path, disks: list[str]) -> None:
    _show("What would be done", [*zosstorage, "plan"])
    _show("Do it", [*zosstorage, "--log-level", "info", "run"])
    _show("The states", [*zosstorage, "status"])
    _show("The report", ["cat", str(folder / "run/state.json")])
    for disk in disks:
        _show(f"{disk} as sfdisk sees it", ["sfdisk", "--list", disk])
    _show("The partitions as blkid sees them", ["blkid", "-p", *_partitions(disks)])
    _show("The mounts", ["findmnt", "--types", "btrfs", "--output", "TARGET,SOURCE,OPTIONS"])


def _again(zosstorage: list[str], disks: list[str]) -> None:
    """Run with the checkpoint, and without, as after a reboot: the write counters must stay where they are."""
    os.sync()
    before = _written(disks)
    _show("Run again", [*zosstorage, "--log-level", "info", "run"])
    _show("Forget the checkpoint, and run again: the disks themselves decide", [*zosstorage, "reset"])
    _show("", [*zosstorage, "run"])
    os.sync()
    after = _written(disks)
    for disk in disks:
        _say(f"sectors written to {disk}: {before[disk]} before the reruns, {after[disk]} after them")
    if before != after:
        sys.exit("the demo failed: the reruns wrote to a disk")


def _written(disks: list[str]) -> dict[str, int]:
    """Sectors written to each disk since it is there (Documentation/block/stat.rst, field 7)."""
    return {
        disk: int(Path("/sys/class/block", Path(disk).name, "stat").read_text("ascii").split()[6]) for disk in disks
    }


def _partitions(disks: list[str]) -> list[str]:
    return [
        f"/dev/{path.name}" for disk in disks for path in sorted(Path("/sys/class/block").glob(f"{Path(disk).name}p*"))
    ]


def _mounted_below(root: Path) -> list[str]:
    """Mount targets below a folder, in the order they were mounted."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    return [target for line in lines if (target := line.split()[4]).startswith(f"{root}/")]


def _show(title: str, argv: list[str]) -> None:
    """Print a command, then run it with its output beneath."""
    _say(f"\n== {title}\n" if title else "", end="")
    _say("$ " + re.sub(r"\S*/python\S* -m ", "", " ".join(argv)))
    if status := _wait(argv):
        raise subprocess.CalledProcessError(status, argv)


def _say(text: str, end: str = "\n") -> None:
    print(text, end=end, flush=True)


if __name__ == "__main__":
    sys.exit(main())
