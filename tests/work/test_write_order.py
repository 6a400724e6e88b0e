"""The order of writes to a table, as strace shows it; the recognition of torn tables depends on it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import GIB, GUID, image_disk, new_partitions, sparse, write_table

from zosstorage.block import gpt
from zosstorage.model import Firmware

SIZE = 1 * GIB
ARRAY = gpt.ENTRIES_BYTES
Step = tuple[int, int] | str  # a write of an image, as offset and length in bytes, or "fsync"
PLACES = [(SIZE - 512 - ARRAY, ARRAY), (SIZE - 512, 512), (1024, ARRAY), (512, 512)]
MBR = (0, 512)

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def traced(path: Path, argv: Sequence[str], stdin: str = "") -> list[Step]:
    """Run a command and return its writes and flushes of an image, in order."""
    log = path.with_suffix(".trace")
    calls = ["-e", "trace=openat,lseek,write,pwrite64,fsync,fdatasync", "-P", str(path)]
    subprocess.run(
        ["strace", "-f", "-o", str(log), *calls, *argv], input=stdin, text=True, check=True, capture_output=True
    )
    found: list[Step] = []
    at, synced = 0, False
    for line in log.read_text("utf-8").splitlines():
        if "openat(" in line and "O_RDONLY" not in line:
            synced = "O_DSYNC" in line
        elif seek := re.search(r"lseek\(\d+, (\d+), SEEK_SET\)", line):
            at = int(seek[1])
        elif write := re.search(r"pwrite64\(\d+, .*, (\d+)\) += (\d+)$", line):
            found += [(int(write[1]), int(write[2])), *(["fsync"] if synced else [])]
        elif write := re.search(r"write\(\d+, .*\) += (\d+)$", line):
            found += [(at, int(write[1])), *(["fsync"] if synced else [])]
            at += int(write[1])
        elif "fsync(" in line or "fdatasync(" in line:
            found.append("fsync")
    return found


def flushed(*places: tuple[int, int]) -> list[Step]:
    steps: list[Step] = []
    for place in places:
        steps += [place, "fsync"]
    return steps


def test_a_table_is_written_backup_first_then_primary_then_mbr_each_flushed(tmp_path: Path) -> None:
    image = sparse(tmp_path / "image", SIZE)
    lines = new_partitions(image_disk(image), firmware=Firmware.BIOS)
    writes = traced(image, gpt.write_argv(str(image)), gpt.script(GUID, lines, 512))
    assert writes[:10] == flushed(*PLACES, MBR)
    assert set(writes[10:]) <= {"fsync"}


CLEAR = """
import sys
from attrs import evolve
from support import GUID, image_disk, new_partitions
from zosstorage.block import claim
from zosstorage.model import Firmware, Role
from zosstorage.planned import PlannedDisk
from zosstorage.work import partitioning

claim.check = lambda disk: None  # an image is not in sysfs
of = image_disk(sys.argv[1])
parts = tuple(new_partitions(of, firmware=Firmware.BIOS))
planned = PlannedDisk(of, Role.DATA, GUID, blank=True, write_table=True, clear_marks=True, partitions=parts)
partitioning.clear_marks([planned])
"""


def test_flags_are_cleared_in_the_order_in_which_a_table_is_written(tmp_path: Path) -> None:
    of = image_disk(sparse(tmp_path / "image", SIZE))
    write_table(of, firmware=Firmware.BIOS)
    argv = ["env", f"PYTHONPATH={':'.join(sys.path)}", sys.executable, "-c", CLEAR, of.path]
    assert traced(tmp_path / "image", argv) == flushed(*PLACES)
