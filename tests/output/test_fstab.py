import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zosstorage.errors import ExitCode, ToolError
from zosstorage.model import Mount
from zosstorage.output import fstab

MOUNTS = [
    Mount("UUID=1-2", f"/sysroot/var/cache/{name}", "btrfs", f"subvol={name},noatime")
    for name in ("system", "etc", "modules", "vm-meta")
]
LINES = [
    f"UUID=1-2 /var/cache/{name} btrfs subvol={name},noatime 0 0" for name in ("system", "etc", "modules", "vm-meta")
]
OTHER = """# /etc/fstab: static file system information.
UUID=abc\t/\text4\terrors=remount-ro 0 1

  # /var/cache/system is ours
tmpfs /tmp tmpfs nosuid,nodev
"""


def test_targets_are_told_as_seen_inside_the_root():
    assert fstab.lines(MOUNTS, "/sysroot") == LINES


def test_blanks_and_backslashes_are_escaped():
    mount = Mount("UUID=1", "/a b\tc\\d\n", "btrfs", "noatime")
    assert fstab.lines([mount], "/") == [r"UUID=1 /a\040b\011c\134d\012 btrfs noatime 0 0"]


def test_a_new_file():
    assert fstab.merged("", LINES) == "\n".join(LINES) + "\n"


def test_other_lines_are_kept():
    assert fstab.merged(OTHER, LINES) == OTHER + "\n".join(LINES) + "\n"


def test_lines_for_our_targets_are_replaced_wherever_they_stand():
    before = f"{OTHER}{LINES[0]}\nUUID=old /var/cache/vm-meta btrfs a,subvol=b\n"
    assert fstab.merged(before, LINES) == OTHER + "\n".join(LINES) + "\n"


@pytest.mark.parametrize(
    "line", ["/dev/sdz1 /var/cache/etc xfs defaults 0 0", "UUID=x /var/cache/etc btrfs noatime 0 0"]
)
def test_what_somebody_else_mounts_at_our_targets_is_told_and_kept(tmp_path, line):
    (tmp_path / "fstab").write_text(f"# {line}\n{LINES[0]}\n{line}\n")
    assert fstab.others(tmp_path / "fstab", ["/var/cache/system", "/var/cache/etc"]) == [line]
    assert line in fstab.merged(f"{line}\n", LINES).splitlines()
    assert fstab.others(tmp_path / "missing", ["/var/cache/etc"]) == []


def test_our_lines_in_another_order_are_put_in_order():
    assert fstab.merged("\n".join(reversed(LINES)) + "\n", LINES) == "\n".join(LINES) + "\n"


def test_our_lines_that_stand_there_are_not_moved():
    before = "\n".join(LINES) + "\n" + OTHER
    assert fstab.merged(before, LINES) == before


def test_a_last_line_without_an_end():
    assert fstab.merged("tmpfs /tmp tmpfs", LINES).startswith("tmpfs /tmp tmpfs\nUUID=1-2 ")


def test_an_escaped_target_is_known_again():
    lines = fstab.lines([Mount("UUID=1", "/a b", "btrfs", "subvol=a,noatime")], "/")
    assert fstab.merged("UUID=0 /a\\040b bcachefs X-mount.subdir=a\n", lines) == lines[0] + "\n"


words = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
others = st.lists(
    st.one_of(words, st.just("UUID=x /var/cache/etc btrfs subvol=old"), st.sampled_from(LINES)), max_size=8
)


@given(before=others, ended=st.booleans())
def test_whatever_stands_in_the_file(before, ended):
    text = "\n".join(before) + ("\n" if ended and before else "")
    after = fstab.merged(text, LINES)
    assert fstab.merged(after, LINES) == after
    targets = {line.split()[1] for line in LINES}

    def foreign(text):
        rows = text.removesuffix("\n").split("\n") if text else []
        return [row for row in rows if not fstab._is_ours(row, targets)]

    assert foreign(after) == foreign(text)
    assert [row for row in after.split("\n") if fstab._is_ours(row, targets)] == LINES


# The file.


def test_the_file_is_made(tmp_path):
    path = tmp_path / "etc/fstab"
    fstab.update(path, LINES)
    assert path.read_text("utf-8") == "\n".join(LINES) + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_its_mode_and_its_bytes_are_kept(tmp_path):
    path = tmp_path / "fstab"
    path.write_bytes(b"# caf\xe9\n")
    path.chmod(0o600)
    fstab.update(path, LINES)
    assert path.read_bytes().startswith(b"# caf\xe9\nUUID=")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_has_them_is_not_touched(tmp_path):
    path = tmp_path / "fstab"
    fstab.update(path, LINES)
    before = path.stat()
    fstab.update(path, LINES)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").write_text(OTHER, "utf-8")
    (tmp_path / "fstab").symlink_to("real")
    fstab.update(tmp_path / "fstab", LINES)
    assert (tmp_path / "fstab").is_symlink()
    assert (tmp_path / "real").read_text("utf-8").endswith(LINES[-1] + "\n")


def test_a_file_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    (tmp_path / "fstab").mkdir()
    with pytest.raises(ToolError) as caught:
        fstab.update(tmp_path / "fstab", LINES)
    assert caught.value.exit_code is ExitCode.TOOL
    assert "--no-fstab" in caught.value.hint
