"""How long provisioning takes, beside a shell script of the same tools and systemd-repart, on the same loop devices.

Run it by `nox -s bench`, as root. In every round each contender gets blank disks, one contender after the other, so
that whatever else the machine does falls on all of them. No disk of the machine is touched.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import contenders
from contenders import Contender
from figures import Figures, Rounds
from loopdevices import sweep
from processes import output

TOP = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="zosstorage as it was installed from the wheel")
    parser.add_argument("--rounds", type=int, default=7, help="default %(default)s")
    parser.add_argument("--disks", type=int, nargs="+", default=[1, 2, 8, 32], help="default %(default)s")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("/dev/shm/zosstorage-bench"),  # noqa: S108 - of root alone, and images are named after us
        help="of the sparse images; default %(default)s",
    )
    parser.add_argument("--output", type=Path, help="the JSON, default FOLDER/result.json")
    return parser.parse_args()


def who(program: str) -> list[Contender]:
    """The wheel, the static binaries that were built, and the ways of by-hand.sh."""
    binaries = sorted((TOP / "dist").glob("zosstorage-*-x86_64-linux-musl"))
    # Not resolved: an environment's program may be a link.
    ours = [Contender("zosstorage", str(Path(program).absolute()))]
    ours += [Contender("zosstorage, ELF", str(path)) for path in binaries[-1:]]
    return [*ours, *(Contender(way, way=way) for way in ("sfdisk", "no-sleep", "repart"))]


def rounds(options: argparse.Namespace) -> Rounds:
    """Every contender in every round, each round beginning with another one."""
    found: Rounds = {}
    everyone = who(options.program)
    for number in range(options.rounds):
        first = number % len(everyone)
        for count in options.disks:
            for one in everyone[first:] + everyone[:first]:
                found.setdefault((count, one.name), []).append(contenders.measured(one, options.folder, count))
        print(f"round {number + 1} of {options.rounds}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return {(count, one.name): found[count, one.name] for count in options.disks for one in everyone}


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    models = [
        line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    tools = {name: output(*argv).splitlines()[0] for name, argv in _VERSIONS.items()}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processors": f"{len(models)} x {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": os.getloadavg(),
        **tools,
    }


_VERSIONS = {
    "util-linux": ("sfdisk", "--version"),
    "btrfs-progs": ("mkfs.btrfs", "--version"),
    "systemd-repart": (os.environ.get("REPART", "systemd-repart"), "--version"),
}


def main() -> None:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that disks are detached and images removed
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    sweep()
    figures, about = Figures(rounds(options)), machine()
    path = options.output or options.folder / "result.json"
    path.write_text(
        json.dumps({"machine": about, "rounds": options.rounds, **figures.as_json()}, indent=1) + "\n", "utf-8"
    )
    print("\n".join([*(f"{key}: {value}" for key, value in about.items()), "", *figures.lines(), "", f"JSON: {path}"]))


if __name__ == "__main__":
    main()
