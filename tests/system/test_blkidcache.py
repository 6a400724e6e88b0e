import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zosstorage.system import blkidcache


def text(environment: dict[str, str]) -> str:
    (name, path), *rest = environment.items()
    assert (name, rest) == ("BLKID_FILE", [])
    return Path(path).read_text("ascii")


def number(path: str) -> str:
    return f"{Path(path).stat().st_rdev:#06x}"


def test_filesystems_by_uuid() -> None:
    with blkidcache.with_filesystems({"/dev/null": "aaaa", "/dev/zero": "bbbb"}) as env:
        assert text(env).splitlines() == [
            f'<device DEVNO="{number(node)}" TIME="0.0" UUID="{uuid}" TYPE="unknown">{node}</device>'
            for node, uuid in {"/dev/null": "aaaa", "/dev/zero": "bbbb"}.items()
        ]
    assert number("/dev/null") == "0x0103"  # Documentation/admin-guide/devices.txt: 1, 3


def test_devices_without_a_filesystem() -> None:
    before = int(time.time())
    with blkidcache.without_filesystems(["/dev/null", "/dev/no-such-node"]) as env:
        (line,) = text(env).splitlines()
    seen = re.fullmatch(r'<device DEVNO="0x0103" TIME="(\d+)\.999999" TYPE="unknown">/dev/null</device>', line)
    assert seen
    assert before <= int(seen[1]) <= int(time.time())


def test_nobody_can_write_to_it_and_it_goes() -> None:
    with blkidcache.with_filesystems({"/dev/null": "aaaa"}) as env:
        path = Path(env["BLKID_FILE"])
        for flags in (os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            with pytest.raises(OSError, match="not permitted"):
                os.write(os.open(path, flags), b"torn")
        assert "aaaa" in text(env)
    assert not path.exists()


def test_where_the_kernel_gives_no_such_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with blkidcache.with_filesystems({"/dev/null": "aaaa"}) as env:
        assert env == {}


HOLDER = """
import os, sys
victim = os.open(sys.argv[1], os.O_RDWR)
for number in range(3, 90):
    os.dup2(victim, number)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_proc_of_another_pid_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By our number there it has another process, whose file libblkid would write."""
    (tmp_path / "victim").write_text("kept")
    argv = [sys.executable, "-c", HOLDER, str(tmp_path / "victim")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "ready\n"
        monkeypatch.setattr(os, "getpid", lambda: holder.pid)
        with blkidcache.with_filesystems({"/dev/null": "aaaa"}) as env:
            assert env == {}
        holder.stdin.close()
    with blkidcache.with_filesystems({"/dev/null": "aaaa"}) as env:  # and no process at all
        assert env == {}
