import os
import stat

import pytest
from support import facts

from zosstorage.errors import ExitCode, ToolError
from zosstorage.output import fstab

OTHER = """# /etc/fstab: static file system information.
UUID=abc\t/\text4\terrors=remount-ro 0 1
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "etc/fstab"


@pytest.fixture
def known(path):
    return facts(fstab=str(path))


@pytest.fixture
def lines(known):
    return fstab.lines(known)


def test_the_lines_are_the_primary_s_subvolumes_as_seen_inside_the_root():
    known = facts(fstab="/etc/fstab", root="/sysroot")
    names = ("system", "etc", "modules", "vm-meta")
    uuid = known.mounted.primary
    assert fstab.lines(known) == [f"UUID={uuid} /var/cache/{name} btrfs subvol={name},noatime 0 0" for name in names]
    assert known.plan.fstab == "/sysroot/etc/fstab"


def test_without_fstab_nothing_is_written_and_nothing_is_missing(path):
    known = facts()
    fstab.update(known)
    assert not path.exists()
    assert fstab.is_current(known)


def test_it_is_current_while_the_lines_stand_in_it(known, path):
    fstab.update(known)
    assert fstab.is_current(known)
    path.write_text(path.read_text().replace("subvol=etc", "subvol=other"))
    assert not fstab.is_current(known)


# The file.


def test_the_file_is_made(known, path, lines):
    fstab.update(known)
    assert path.read_text("utf-8") == "\n".join(lines) + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_its_mode_and_its_bytes_are_kept(known, path):
    path.parent.mkdir()
    path.write_bytes(b"# caf\xe9\n")
    path.chmod(0o600)
    fstab.update(known)
    assert path.read_bytes().startswith(b"# caf\xe9\nUUID=")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_ends_of_other_lines_are_kept(known, path, lines):
    path.parent.mkdir()
    path.write_bytes(b"tmpfs /tmp tmpfs nosuid 0 0\r\n# a\rb\n")
    fstab.update(known)
    assert (
        path.read_bytes()
        == b"tmpfs /tmp tmpfs nosuid 0 0\r\n# a\rb\n" + "".join(f"{line}\n" for line in lines).encode()
    )


def test_a_file_that_has_them_is_not_touched(known, path):
    fstab.update(known)
    before = path.stat()
    fstab.update(known)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_link_stays_a_link(known, path, lines):
    path.parent.mkdir()
    (path.parent / "real").write_text(OTHER, "utf-8")
    path.symlink_to("real")
    fstab.update(known)
    assert path.is_symlink()
    assert (path.parent / "real").read_text("utf-8") == OTHER + "".join(f"{line}\n" for line in lines)


def test_a_file_that_cannot_be_written(known, path, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    path.mkdir(parents=True)
    with pytest.raises(ToolError) as caught:
        fstab.update(known)
    assert caught.value.exit_code is ExitCode.TOOL
    assert "--no-fstab" in caught.value.hint
