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


def test_maps_uuids_to_devices() -> None:
    with blkidcache.with_filesystems({"/dev/null": "aaaa", "/dev/zero": "bbbb"}) as env:
        assert text(env).splitlines() == [
            f'<device DEVNO="{number(node)}" TIME="0.0" UUID="{uuid}" TYPE="unknown">{node}</device>'
            for node, uuid in {"/dev/null": "aaaa", "/dev/zero": "bbbb"}.items()
        ]
    assert number("/dev/null") == "0x0103"  # Documentation/admin-guide/devices.txt: 1, 3


def test_lists_devices_without_a_uuid() -> None:
    before = int(time.time())
    with blkidcache.without_filesystems(["/dev/null", "/dev/no-such-node"]) as env:
        (line,) = text(env).splitlines()
    seen = re.fullmatch(r'<device DEVNO="0x0103" TIME="(\d+)\.999999" TYPE="unknown">/dev/null</device>', line)
    assert seen
    assert before <= int(seen[1]) <= int(time.time())


def test_the_file_is_read_only_and_is_removed() -> None:
    with blkidcache.with_filesystems({"/dev/null": "aaaa"}) as env:
        path = Path(env["BLKID_FILE"])
        for flags in (os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            with pytest.raises(OSError, match="not permitted"):
                os.write(os.open(path, flags), b"torn")
        assert "aaaa" in text(env)
    assert not path.exists()


def test_the_environment_is_empty_if_the_kernel_has_no_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_environment_is_empty_if_proc_is_of_another_pid_namespace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In that /proc our PID belongs to another process, and libblkid would write to a file of that process."""
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
    with blkidcache.with_filesystems({"/dev/null": "aaaa"}) as env:  # no process has that PID
        assert env == {}
