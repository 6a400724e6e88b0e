import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from support import make_socket

from zosstorage.system import files


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("wanted", [0o600, 0o644, 0o666])
def test_the_umask_does_not_change_the_mode(tmp_path: Path, wanted: int) -> None:
    before = os.umask(0o077)
    try:
        files.write_atomic(tmp_path / "file", "text\n", wanted)
    finally:
        os.umask(before)
    assert mode(tmp_path / "file") == wanted
    assert (tmp_path / "file").read_text("utf-8") == "text\n"


def test_makes_parent_folders_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a/b/file"
    for text in ("one", "two"):
        files.write_atomic(path, text, 0o600)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
    assert path.read_text("utf-8") == "two"


def test_writes_surrogate_escapes_as_bytes(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "file", b"\xff\n".decode("utf-8", "surrogateescape"), 0o600)
    assert (tmp_path / "file").read_bytes() == b"\xff\n"


def test_keeps_the_old_file_if_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old", "utf-8")

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomic(path, "new", 0o600)
    assert path.read_text("utf-8") == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_flushes_the_content_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    real_sync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        real_sync(handle)

    def replace(path: Path, target: Path) -> Path:
        steps.append("replace")
        return real_replace(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    files.write_atomic(tmp_path / "file", "text", 0o600)
    assert steps == ["file", "replace", "folder"]


def test_sets_the_mode_before_the_content_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise others could read the content for a moment."""
    seen = []
    real = os.fchmod

    def fchmod(handle: int, wanted: int) -> None:
        seen.append((stat.S_IMODE(os.fstat(handle).st_mode), os.fstat(handle).st_size))
        real(handle, wanted)

    monkeypatch.setattr(os, "fchmod", fchmod)
    files.write_atomic(tmp_path / "file", "secret", 0o644)
    assert seen == [(0o600, 0)]


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        ("/", "/var/mounts", "/var/mounts"),
        ("/sysroot", "/var/mounts", "/sysroot/var/mounts"),
        ("/sysroot", "//var", "/sysroot/var"),
        ("/a/b", "/", "/a/b"),
    ],
)
def test_under_puts_the_root_in_front_of_a_path(root: str, path: str, expected: str) -> None:
    assert files.under(root, path) == expected


@pytest.mark.parametrize("root", ["/", "/sysroot", "/a b/c"])
def test_inside_reverses_under(root: str) -> None:
    assert files.inside(files.under(root, "/var/cache/vm-meta"), root) == "/var/cache/vm-meta"


def test_reads_a_regular_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"\xffx\n")
    assert files.read_regular(tmp_path / "f") == b"\xffx\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_socket])
def test_refuses_fifos_and_folders_without_waiting(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "f")
    with pytest.raises(OSError, match=r"regular file|directory"):
        files.read_regular(tmp_path / "f")


def test_refuses_devices() -> None:
    with pytest.raises(OSError, match="character device"):
        files.read_regular(Path("/dev/zero"))


def test_a_file_larger_than_the_limit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LIMIT_BYTES", 1 << 20)
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    assert len(files.read_regular(tmp_path / "f")) == 1 << 20
    (tmp_path / "f").write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(OSError, match="larger than 1 MiB"):
        files.read_regular(tmp_path / "f")


def test_new_folders_have_their_mode_whatever_the_umask_and_old_ones_keep_theirs(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        (tmp_path / "old").mkdir(0o700)
        files.make_folders(tmp_path / "old/new/newer")
        files.write_atomic(tmp_path / "old/other/file", "x", 0o644)
    finally:
        os.umask(before)
    modes = [mode(tmp_path / name) for name in ("old", "old/new", "old/new/newer", "old/other", "old/other/file")]
    assert modes == [0o700, 0o755, 0o755, 0o755, 0o644]


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("file", "dangling"):
        with pytest.raises(FileExistsError):
            files.make_folders(tmp_path / name)


@pytest.mark.parametrize(("make", "kind"), [(os.mkfifo, "FIFO"), (os.mkdir, "directory"), (make_socket, "socket")])
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDONLY | os.O_EXCL, os.O_WRONLY])
def test_refuses_what_is_no_disk_without_waiting(
    tmp_path: Path, make: Callable[[Path], None], kind: str, flags: int
) -> None:
    make(tmp_path / "sda")
    with pytest.raises(OSError, match=f"not a block device but a {kind}"):
        files.open_device(str(tmp_path / "sda"), flags)


def test_opens_an_image_in_place_of_a_disk(tmp_path: Path) -> None:
    (tmp_path / "image").touch()
    handle = files.open_device(str(tmp_path / "image"), os.O_RDONLY)
    assert not os.get_inheritable(handle)
    os.close(handle)
