import os
from pathlib import Path

import pytest

from zosstorage.system import executables


def test_system_folders_are_searched_after_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        tool = tmp_path / folder / "tool"
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    monkeypatch.setattr(executables, "SYSTEM_PATH", f":{tmp_path}/second")
    monkeypatch.setenv("PATH", str(tmp_path / "first"))
    assert executables.which("tool") == f"{tmp_path}/first/tool"
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert executables.which("tool") == f"{tmp_path}/second/tool"
    monkeypatch.delenv("PATH")
    assert executables.which("tool") == f"{tmp_path}/second/tool"


@pytest.mark.parametrize("entry", ["", ".", "bin", "./bin", "../here/bin"])
def test_a_relative_entry_of_path_is_not_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entry: str) -> None:
    here = tmp_path / "here"
    (here / "bin").mkdir(parents=True)
    for tool in (here / "zos-evil", here / "bin/zos-evil"):
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", f"{entry}:/usr/bin:{entry}")
    assert executables.which("zos-evil") is None
    assert executables.environment()["PATH"] == "/usr/bin"
    monkeypatch.delenv("PATH")
    assert "PATH" not in executables.environment()


def test_a_name_with_a_slash_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    assert executables.which(f"{tmp_path}/tool") is None
    (tmp_path / "tool").chmod(0o755)
    assert executables.which(f"{tmp_path}/tool") == f"{tmp_path}/tool"
    assert executables.which(str(tmp_path)) is None


# Applets.


def test_recognises_a_link_to_a_multi_call_binary(tmp_path: Path) -> None:
    for name in ("busybox", "toybox", "busybox.static"):
        (tmp_path / name).write_bytes(b"\x7fELF")
        (tmp_path / f"blkid-{name}").symlink_to(name)
    assert executables.is_applet(str(tmp_path / "blkid-busybox")) == "busybox"
    assert executables.is_applet(str(tmp_path / "blkid-toybox")) == "toybox"
    assert executables.is_applet(str(tmp_path / "blkid-busybox.static")) == "busybox"


def test_recognises_a_copy_of_a_multi_call_binary(tmp_path: Path) -> None:
    (tmp_path / "mount").write_bytes(b"\x7fELF" + bytes(1 << 20) + b"BusyBox v1.36.1 ()")
    assert executables.is_applet(str(tmp_path / "mount")) == "busybox"
    (tmp_path / "mount").write_bytes(b"\x7fELF toybox 0.8.9")
    assert executables.is_applet(str(tmp_path / "mount")) == "toybox"


def test_other_executables_are_not_applets(tmp_path: Path) -> None:
    (tmp_path / "blkid").write_bytes(b"\x7fELF util-linux; see also busybox, toybox")
    assert executables.is_applet(str(tmp_path / "blkid")) is None
    (tmp_path / "sfdisk").symlink_to("blkid")
    assert executables.is_applet(str(tmp_path / "sfdisk")) is None


def test_recognises_the_busybox_of_this_machine() -> None:
    path = executables.which("busybox")
    if path is None and not os.environ.get("CI"):
        pytest.skip("busybox is not installed")
    assert path
    assert executables.is_applet(path) == "busybox"
    assert executables.is_applet(os.fspath(executables.which("sfdisk") or "/bin/sh")) is None
