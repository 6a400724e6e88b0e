"""What the recognition of cuts rests on: the order in which libfdisk writes a table, seen from outside."""

import re
import shutil
import subprocess

import pytest
from support import GIB, GUID, image_disk, new_partitions, sparse

from zosstorage.disks import gpt
from zosstorage.facts import Firmware

SIZE = 1 * GIB
ARRAY = gpt.ENTRIES_BYTES


def traced(path, script):
    """The writes and flushes of the image by sfdisk, in order: (offset, length), or "fsync"."""
    log = path.with_suffix(".trace")
    calls = ["-e", "trace=lseek,write,pwrite64,fsync,fdatasync", "-P", str(path)]
    argv = ["strace", "-f", "-o", str(log), *calls, *gpt.write_argv(str(path))]
    subprocess.run(argv, input=script, text=True, check=True, capture_output=True)
    found, at = [], 0
    for line in log.read_text("utf-8").splitlines():
        if seek := re.search(r"lseek\(\d+, (\d+), SEEK_SET\)", line):
            at = int(seek[1])
        elif write := re.search(r"write\(\d+, .*\) += (\d+)$", line):
            found.append((at, int(write[1])))
            at += int(write[1])
        elif "fsync(" in line or "fdatasync(" in line:
            found.append("fsync")
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_backup_first_then_primary_then_mbr_each_flushed(tmp_path):
    image = sparse(tmp_path / "image", SIZE)
    for marked in (True, False):  # made, and cleared
        lines = new_partitions(image_disk(image), firmware=Firmware.BIOS, marked=marked)
        writes = traced(image, gpt.script(GUID, lines, 512))
        places = [(SIZE - 512 - ARRAY, ARRAY), (SIZE - 512, 512), (1024, ARRAY), (512, 512), (0, 512)]
        assert writes[:10] == [step for place in places for step in (place, "fsync")]
        assert set(writes[10:]) <= {"fsync"}
