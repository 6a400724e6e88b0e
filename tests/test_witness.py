import json
import logging
import os
from pathlib import Path

import pytest
from support import bcachefs_block, btrfs_block, config, fat_sector

from zosstorage import filesystems, witness
from zosstorage.block import sysfs
from zosstorage.config.schema import Logging
from zosstorage.output import logs


def seen(*look):
    return witness._seen([list(look)])


# What is seen of each kind of thing.


def test_disks_that_are_named(tmp_path):
    look = ("disks", str(tmp_path), ["/dev/sd*", "/dev/cciss/*"], ["/dev/sdz*"])
    (tmp_path / "sda").touch()
    before = {seen(*look)}
    for name in ("sdz", "loop0", "sdzz1"):
        (tmp_path / name).touch()
        assert {seen(*look)} == before
    for name in ("sdb", "sdb1", "cciss!c0d0"):
        (tmp_path / name).touch()
        before.add(seen(*look))
    assert len(before) == 4


def test_pieces_do_not_run_into_each_other(tmp_path):
    for folder, names in (("one", ("ab", "c")), ("two", ("a", "bc"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).touch()
    assert seen("disks", str(tmp_path / "one"), ["*"], []) != seen("disks", str(tmp_path / "two"), ["*"], [])


def test_links_and_where_they_lead(tmp_path):
    nothing = seen("links", str(tmp_path / "disk"))
    link = tmp_path / "disk/by-id/wwn"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../sda")
    before = seen("links", str(tmp_path / "disk"))
    found = {nothing, before}
    link.unlink()
    link.symlink_to("../../sdb")
    found.add(seen("links", str(tmp_path / "disk")))
    (tmp_path / "sdb").symlink_to("sdc")
    found.add(seen("links", str(tmp_path / "disk")))
    assert len(found) == 4


def test_names_with_a_beginning(tmp_path):
    before = seen("names", str(tmp_path), "sda")
    (tmp_path / "queue").mkdir()
    assert seen("names", str(tmp_path), "sda") == before
    (tmp_path / "sda9").mkdir()
    assert seen("names", str(tmp_path), "sda") != before


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert seen("file", str(tmp_path / "fifo"))
    with pytest.raises(OSError, match="seek"):
        seen("bytes", str(tmp_path / "fifo"), [0, 1])


def test_attributes_that_are_missing_or_empty_or_not_the_same(tmp_path):
    (tmp_path / "size").write_text("1\n")
    found = {seen("texts", str(tmp_path), "size", "serial")}
    (tmp_path / "serial").touch()
    found.add(seen("texts", str(tmp_path), "size", "serial"))
    (tmp_path / "serial").write_text("x")
    found.add(seen("texts", str(tmp_path), "size", "serial"))
    assert len(found) == 3


def test_an_attribute_that_cannot_be_read(tmp_path):
    (tmp_path / "folder").mkdir()  # opening it works, reading it does not
    assert seen("texts", str(tmp_path), "folder") == seen("texts", str(tmp_path), "missing")


def test_something_that_is_there(tmp_path):
    before = seen("exists", str(tmp_path / "efi"))
    (tmp_path / "efi").mkdir()
    assert seen("exists", str(tmp_path / "efi")) != before


def test_the_device_of_a_node(tmp_path):
    assert seen("nodes", "/dev/null") != seen("nodes", "/dev/zero")
    (tmp_path / "null").touch()
    assert seen("nodes", str(tmp_path / "null")) != seen("nodes", "/dev/null")


def test_bytes_of_a_device(tmp_path):
    path = tmp_path / "device"
    path.write_bytes(bytes(100))
    look = ("bytes", str(path), [0, 10], [90, 10])
    before = seen(*look)
    path.write_bytes(bytes(10) + b"x" * 80 + bytes(10))
    assert seen(*look) == before
    path.write_bytes(bytes(99) + b"x")
    assert seen(*look) != before
    path.write_bytes(bytes(95))
    assert seen(*look) != before


ROWS = """\
20 1 8:1 / / rw shared:1 - ext4 /dev/root rw
30 20 0:40 /etc {at} rw,noatime shared:2 - btrfs /dev/sda3 rw,subvol=/etc
"""


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        (ROWS, True),
        (ROWS.replace("30 20", "77 21").replace("shared:2", "master:9 shared:7"), True),
        (ROWS + "40 20 0:41 / /elsewhere rw - tmpfs tmpfs rw\n", True),
        (ROWS.replace("/etc {at}", "/system {at}"), False),
        (ROWS.replace("noatime", "relatime"), False),
        (ROWS.replace("/dev/sda3", "/dev/sdb3"), False),
        (ROWS.replace("btrfs", "ext4"), False),
        (ROWS.replace("rw,subvol", "ro,subvol"), False),
        (ROWS + "40 20 0:41 / {at} rw - tmpfs tmpfs rw\n", False),
    ],
    ids=range(9),
)
def test_what_is_mounted(tmp_path, monkeypatch, changed, same):
    target = tmp_path / "a b#\\c"
    target.mkdir()
    written = str(target).replace("\\", "\\134").replace(" ", "\\040")  # and # as it is: linux fs/proc_namespace.c
    monkeypatch.setattr(witness, "_MOUNTS", str(tmp_path / "mountinfo"))
    (tmp_path / "mountinfo").write_text(ROWS.replace("{at}", written))
    before = seen("mounts", str(target))
    (tmp_path / "mountinfo").write_text(changed.replace("{at}", written))
    assert (seen("mounts", str(target)) == before) is same


def test_what_is_not_mounted_is_never_as_it_should_be(tmp_path):
    (tmp_path / "checkpoint.json").touch()
    with pytest.raises(LookupError):
        witness.document(str(tmp_path), "told", [["mounts", str(tmp_path)]])


# Keeping it, and holding it against the machine.


def true(told, run_dir):
    found = witness.kept(str(run_dir), told)
    return found is not None and witness.holds(found)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A run directory with a witness over a file."""
    monkeypatch.setattr(witness, "_BOOT", str(tmp_path / "boot_id"))
    (tmp_path / "boot_id").write_text("this")
    (tmp_path / "checkpoint.json").write_text("{}")
    (tmp_path / "report").write_text("all is well")
    looks = [["file", str(tmp_path / "report")]]
    (tmp_path / witness.FILE).write_text(witness.document(str(tmp_path), "told", looks))
    assert true("told", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["boot_id", "checkpoint.json", "report"])
@pytest.mark.parametrize("how", [lambda path: path.write_text("other"), Path.unlink])
def test_it_holds_no_longer(kept, name, how):
    how(kept / name)
    assert not true("told", kept)


def test_other_sources_or_another_version(kept, monkeypatch):
    assert not true("otherwise told", kept)
    monkeypatch.setattr(witness, "__version__", "99")
    assert not true("told", kept)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"sources": 1, "looks": [], "seen": ""}', "\0", '{"looks": [["no-such-kind"]]}'],
    ids=str,
)
def test_damaged(kept, text):
    (kept / witness.FILE).write_text(text)
    assert not true("told", kept)


@pytest.mark.parametrize(
    "looks", [[["no-such-kind"]], [["file"]], [[]], [7], None, [["bytes", "/dev/null", 7]]], ids=str
)
def test_looks_that_are_none(kept, looks):
    document = json.loads((kept / witness.FILE).read_text())
    (kept / witness.FILE).write_text(json.dumps(document | {"looks": looks}))
    assert not true("told", kept)


def test_nothing_kept(tmp_path):
    assert not true("told", tmp_path)


def test_the_line_is_the_log_s_own(capsys):
    assert Logging() == Logging(**witness.LOGGING)
    logs.set_up(Logging())
    logging.getLogger("zosstorage").info(witness.MESSAGE, extra={"states": ["a", "b"]})
    witness.tell(["a", "b"])
    one, other = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert list(one) == list(other)
    assert len(one["time"]) == len(other["time"])
    assert {**one, "time": ""} == {**other, "time": ""}


def test_a_console_that_is_gone(monkeypatch):
    class Gone:
        def write(self, _):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("sys.stderr", Gone())
    witness.tell([])


# What the states look at is all that decides.


@pytest.mark.parametrize(
    ("offset", "block"),
    [(0, fat_sector()), (4096, bcachefs_block()), (65536, btrfs_block())],
    ids=["vfat", "bcachefs", "btrfs"],
)
def test_no_other_byte_of_a_superblock_decides(offset, block):
    partition = bytearray(1 << 17)
    partition[offset : offset + len(block)] = block
    decisive = {at for start, size in filesystems.DECISIVE for at in range(start, start + size)}
    before = filesystems.read(lambda at, size: bytes(partition[at : at + size]))
    assert before
    changed = 0
    for start, size in ((0, 512), (4096, 512), (65536, 4096)):
        for at in range(start, start + size):
            partition[at] ^= 0xFF
            after = filesystems.read(lambda at, size: bytes(partition[at : at + size]))
            partition[at] ^= 0xFF
            assert after == before or at in decisive, f"byte {at}"
            changed += after != before
    assert changed > 20


def test_no_other_attribute_of_a_disk_decides(sysfs_tree):
    """Every file of a machine is changed: where other disks are found, it is seen."""
    add = sysfs_tree.add
    add("sda", wwid="naa.5", serial="s1", device__model="m", device__type=0, partitions=[("sda1", 1, 2048, 4096)])
    add("sdb", number="8:16", device__serial="s2", device__wwid="t10", device__name="n", device__vpd_pg80="....s")
    add("sdc", number="8:32", removable=1, hidden=0)
    add("sdd", number="8:48", gib=0)
    add("sde", number="8:64", ro=1)
    add("sr0", number="11:0", device__type=5)
    add("loop0", number="7:0", links=["by-id/loop"])
    root, settings = sysfs_tree.root, config()
    found = sysfs.discover(settings, root=root)
    looks = sysfs.looks(settings, root=root)
    before, decided = witness._seen(looks), 0
    for path in [path for path in (root / "sys/devices").rglob("*") if path.is_file()]:
        text = path.read_text()
        for other in ("0\n", "1\n", "5\n", "4096\n", "other\n", "99999999999\n"):
            path.write_text(other)
            try:
                now = _identities(sysfs.discover(settings, root=root))
            except ValueError:  # no size that a kernel tells
                continue
            assert now == _identities(found) or witness._seen(looks) != before, (path, other)
            decided += now != _identities(found)
        path.write_text(text)
    assert witness._seen(looks) == before
    assert decided > 20
    (root / "sys/firmware/efi").mkdir(parents=True)
    assert witness._seen(looks) != before


def _identities(found):
    return found.firmware, [(disk.path, *disk.identity) for disk in found.disks]
