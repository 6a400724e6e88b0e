from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zosstorage.system import mountinfo

# Lines of a real machine: a plain mount, a btrfs subvolume, bcachefs of two members, a bind mount, optional fields.
TEXT = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
35 22 0:31 /system /var/cache/system rw,noatime shared:13 master:2 - btrfs /dev/vdb3 rw,ssd,subvol=/system
36 22 0:44 / /var/mounts/x rw,noatime - bcachefs /dev/sda2:/dev/sdb2 rw,compression=zstd
37 22 254:1 /with\040blank\134and\011tab\012end\043 /mnt/a\040b ro - ext4 /dev/disk/by-id/a\040b rw
38 22 0:5 / /proc rw - proc  rw
39 37 8:1 / /mnt/a\040b rw - xfs /dev/sda1 rw
"""


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int, str], None]:
    """Add processes with a mount namespace to a fake /proc."""
    monkeypatch.setattr(mountinfo, "PROC", tmp_path)

    def add(pid: int, namespace: int, text: str) -> None:
        folder = tmp_path / str(pid)
        (folder / "ns").mkdir(parents=True)
        (folder / "ns/mnt").symlink_to(f"mnt:[{namespace}]")
        (folder / "mountinfo").write_text(text, "utf-8")

    return add


def test_parses_lines(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(TEXT, "utf-8")
    root, system, top, bind, proc, _ = mountinfo.read(tmp_path / "mountinfo")
    assert (root.number, root.root, root.target, root.fstype, root.source) == ("254:1", "/", "/", "ext4", "/dev/vda1")
    assert root.options == {"rw", "relatime", "errors=remount-ro"}
    assert (system.root, system.target) == ("/system", "/var/cache/system")
    assert {"noatime", "subvol=/system"} <= system.options
    assert top.source == "/dev/sda2:/dev/sdb2"
    assert bind.root == "/with blank\\and\ttab\nend#"
    assert (bind.target, bind.source) == ("/mnt/a b", "/dev/disk/by-id/a b")
    assert (proc.fstype, proc.source) == ("proc", "")


plain = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


@given(target=plain)
def test_undoes_octal_escapes(target: str) -> None:
    escaped = "".join(f"\\{ord(char):03o}" if char in " \t\n\\#" else char for char in target)
    assert mountinfo._unescaped(escaped) == target


def test_accepts_names_that_are_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_bytes(b"1 0 8:1 / /mnt/\xff rw - ext4 /dev/sda1 rw\n")
    assert mountinfo.read(tmp_path / "mountinfo")[0].target == "/mnt/\udcff"


def test_splits_lines_at_newlines_only(tmp_path: Path) -> None:
    """Of the characters at which `splitlines` splits, the kernel escapes only the newline."""
    target = "/mnt/a\rb\x0cc\x85d\u2028e"
    path = tmp_path / "mountinfo"
    path.write_bytes(f"1 0 8:1 / {target} rw - ext4 /dev/sda1 rw\n".encode())
    assert [mounted.target for mounted in mountinfo.read(path)] == [target]
    mounted = mountinfo.at(target, path)
    assert mounted
    assert mounted.source == "/dev/sda1"


def test_reads_the_mountinfo_of_this_process() -> None:
    assert any(mounted.target == "/" for mounted in mountinfo.read())


def test_finds_the_topmost_mount_at_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mountinfo"
    path.write_text(TEXT, "utf-8")
    xfs, system = mountinfo.at("/mnt/a b", path), mountinfo.at("/var/cache/system", path)
    assert xfs
    assert xfs.fstype == "xfs"
    assert mountinfo.at("/mnt", path) is None
    assert system
    assert system.root == "/system"
    assert mountinfo.at("/") == [mounted for mounted in mountinfo.read() if mounted.target == "/"][-1]


def test_reads_each_namespace_once(proc: Callable[[int, int, str], None]) -> None:
    for pid in (1, 2):
        proc(pid, 100, "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    proc(3, 200, "2 0 8:17 / /container rw - ext4 /dev/sdb1 rw\n")
    found = [mounted.target for mounted in mountinfo.every_namespace()]
    assert sorted(found) == ["/", "/container"]


def test_ignores_processes_that_end_meanwhile(proc: Callable[[int, int, str], None], tmp_path: Path) -> None:
    proc(1, 100, "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n")
    (tmp_path / "7/ns").mkdir(parents=True)
    proc(8, 300, "")
    (tmp_path / "8/mountinfo").unlink()
    (tmp_path / "self").mkdir()
    assert [mounted.target for mounted in mountinfo.every_namespace()] == ["/"]
