"""A reader of stderr that stalls: it delays the program for a moment only, and the lost lines are counted."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

PROGRAM = """
import logging, time
from zosstorage.config.schema import Logging
from zosstorage.output import logs
from zosstorage.system import streams
logs.set_up(Logging(format="json"))
log = logging.getLogger("zosstorage")
began = time.monotonic()
for number in range(3000):
    log.info("line %d %s", number, "x" * 100)
print(time.monotonic() - began, flush=True)
input()
log.info("the end")
print("done", flush=True)
"""


def pipe() -> tuple[int, int]:
    return os.pipe()


def terminal() -> tuple[int, int]:
    return pty.openpty()


def drain(handle: int) -> bytes:
    """Read what is there."""
    found = b""
    while select.select([handle], [], [], 0.3)[0] and (data := os.read(handle, 1 << 16)):
        found += data
    return found


@pytest.mark.parametrize("make", [pipe, terminal])
def test_a_stalled_reader_costs_a_moment_and_lines_that_are_counted(make: Callable[[], tuple[int, int]]) -> None:
    reader, writer = make()
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert float(process.stdout.readline()) < 5
        before = drain(reader)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"
        after = drain(reader)
    os.close(writer)
    os.close(reader)
    lines = (before + after).decode().split("\n")
    whole = [json.loads(line) for line in lines if line.strip().endswith("}")]
    assert whole[-1]["message"] == "the end"
    assert whole[-2]["lines"] + sum("line " in one["message"] for one in whole) == 3000
    assert whole[-2]["lines"] > 0


def test_a_reader_that_is_only_slow_loses_nothing() -> None:
    reader, writer = os.pipe()
    argv = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writer, text=True) as process:
        os.close(writer)
        found, until = b"", time.monotonic() + 60
        while found.count(b"\n") < 3000 and time.monotonic() < until:
            found += os.read(reader, 8192)
            time.sleep(0.001)
        process.communicate("\n")
    os.close(reader)
    assert found.count(b"\n") == 3000
