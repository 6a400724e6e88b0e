"""The fstab lines and the file that they are written to."""

import os
import stat
from pathlib import Path

import pytest
from support import facts

from zosstorage.errors import ExitCode, ToolError
from zosstorage.facts import Facts
from zosstorage.output import fstab

OTHER = """# /etc/fstab: static file system information.
UUID=abc\t/\text4\terrors=remount-ro 0 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc/fstab"


@pytest.fixture
def known(path: Path) -> Facts:
    return facts(fstab=str(path))


@pytest.fixture
def lines(known: Facts) -> list[str]:
    return fstab.lines(known)


def test_the_lines_name_targets_without_the_root_prefix() -> None:
    known = facts(fstab="/etc/fstab", root="/sysroot")
    names = ("system", "etc", "modules", "vm-meta")
    uuid = known.mounted.primary
    assert fstab.lines(known) == [f"UUID={uuid} /var/cache/{name} btrfs subvol={name},noatime 0 0" for name in names]
    assert known.plan.fstab == "/sysroot/etc/fstab"


def test_a_plan_without_fstab_writes_nothing_and_is_current(path: Path) -> None:
    known = facts()
    fstab.update(known)
    assert not path.exists()
    assert fstab.is_current(known)


def test_is_current_while_it_has_the_lines(known: Facts, path: Path) -> None:
    fstab.update(known)
    assert fstab.is_current(known)
    path.write_text(path.read_text().replace("subvol=etc", "subvol=other"))
    assert not fstab.is_current(known)


# The file.


def test_creates_the_file(known: Facts, path: Path, lines: list[str]) -> None:
    fstab.update(known)
    assert path.read_text("utf-8") == "\n".join(lines) + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_keeps_mode_and_other_bytes(known: Facts, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"# caf\xe9\n")
    path.chmod(0o600)
    fstab.update(known)
    assert path.read_bytes().startswith(b"# caf\xe9\nUUID=")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keeps_the_line_ends_of_other_lines(known: Facts, path: Path, lines: list[str]) -> None:
    path.parent.mkdir()
    path.write_bytes(b"tmpfs /tmp tmpfs nosuid 0 0\r\n# a\rb\n")
    fstab.update(known)
    assert (
        path.read_bytes()
        == b"tmpfs /tmp tmpfs nosuid 0 0\r\n# a\rb\n" + "".join(f"{line}\n" for line in lines).encode()
    )


def test_does_not_rewrite_a_current_file(known: Facts, path: Path) -> None:
    fstab.update(known)
    before = path.stat()
    fstab.update(known)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_symbolic_link_stays_a_link(known: Facts, path: Path, lines: list[str]) -> None:
    path.parent.mkdir()
    (path.parent / "real").write_text(OTHER, "utf-8")
    path.symlink_to("real")
    fstab.update(known)
    assert path.is_symlink()
    assert (path.parent / "real").read_text("utf-8") == OTHER + "".join(f"{line}\n" for line in lines)


def test_reports_a_file_that_cannot_be_written(known: Facts, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    path.mkdir(parents=True)
    with pytest.raises(ToolError) as caught:
        fstab.update(known)
    assert caught.value.exit_code is ExitCode.TOOL
    assert "--no-fstab" in caught.value.hint
