import pytest
from hypothesis import given
from hypothesis import strategies as st

from zosstorage.system import fstab

NAMES = ("system", "etc", "modules", "vm-meta")
LINES = [f"UUID=1-2 /var/cache/{name} btrfs subvol={name},noatime 0 0" for name in NAMES]
OTHER = """# /etc/fstab: static file system information.
UUID=abc\t/\text4\terrors=remount-ro 0 1

  # /var/cache/system is ours
tmpfs /tmp tmpfs nosuid,nodev
"""


def test_formats_lines() -> None:
    made = [fstab.line("UUID=1-2", f"/var/cache/{name}", "btrfs", f"subvol={name},noatime") for name in NAMES]
    assert made == LINES


def test_escapes_white_space_and_backslashes() -> None:
    assert fstab.line("UUID=1", "/a b\tc\\d\n", "btrfs", "noatime") == r"UUID=1 /a\040b\011c\134d\012 btrfs noatime 0 0"
    assert fstab.line("LABEL=a b", "/c", "btrfs", r"subvol=a b\c") == r"LABEL=a\040b /c btrfs subvol=a\040b\134c 0 0"


def test_merges_into_an_empty_file() -> None:
    assert fstab.merged("", LINES) == "\n".join(LINES) + "\n"


def test_keeps_other_lines() -> None:
    assert fstab.merged(OTHER, LINES) == OTHER + "\n".join(LINES) + "\n"


def test_replaces_our_lines_for_the_same_targets() -> None:
    before = f"{OTHER}{LINES[0]}\nUUID=old /var/cache/vm-meta btrfs a,subvol=b\n"
    assert fstab.merged(before, LINES) == OTHER + "\n".join(LINES) + "\n"


@pytest.mark.parametrize(
    "line", ["/dev/sdz1 /var/cache/etc xfs defaults 0 0", "UUID=x /var/cache/etc btrfs noatime 0 0"]
)
def test_lists_and_keeps_lines_of_others_for_our_targets(line: str) -> None:
    assert fstab.others([f"# {line}", LINES[0], line], ["/var/cache/system", "/var/cache/etc"]) == [line]
    assert line in fstab.merged(f"{line}\n", LINES).splitlines()


def test_lists_lines_of_others_for_a_target_with_a_space() -> None:
    assert fstab.others([r"/dev/sdz1 /a\040b xfs", "/dev/sdz2 /a xfs", ""], ["/a b"]) == [r"/dev/sdz1 /a\040b xfs"]


def test_lists_no_lines_for_other_targets() -> None:
    assert fstab.others([], ["/var/cache/etc"]) == []
    assert fstab.others(OTHER.splitlines(), ["/var/cache/system"]) == []


def test_reorders_our_lines() -> None:
    assert fstab.merged("\n".join(reversed(LINES)) + "\n", LINES) == "\n".join(LINES) + "\n"


def test_does_not_change_a_file_that_has_our_lines() -> None:
    before = "\n".join(LINES) + "\n" + OTHER
    assert fstab.merged(before, LINES) == before


def test_adds_a_newline_to_the_last_line() -> None:
    assert fstab.merged("tmpfs /tmp tmpfs", LINES).startswith("tmpfs /tmp tmpfs\nUUID=1-2 ")


def test_an_escaped_target_is_recognised() -> None:
    wanted = [fstab.line("UUID=1", "/a b", "btrfs", "subvol=a,noatime")]
    assert fstab.merged("UUID=0 /a\\040b bcachefs X-mount.subdir=a\n", wanted) == wanted[0] + "\n"


words = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
rows = st.lists(st.one_of(words, st.just("UUID=x /var/cache/etc btrfs subvol=old"), st.sampled_from(LINES)), max_size=8)


@given(before=rows, ended=st.booleans())
def test_merging_any_file_keeps_other_lines_and_is_idempotent(before: list[str], ended: bool) -> None:
    text = "\n".join(before) + ("\n" if ended and before else "")
    after = fstab.merged(text, LINES)
    assert fstab.merged(after, LINES) == after
    targets = {line.split()[1] for line in LINES}

    def foreign(text: str) -> list[str]:
        lines = text.removesuffix("\n").split("\n") if text else []
        return [line for line in lines if not fstab._is_ours(line, targets)]

    assert foreign(after) == foreign(text)
    assert [line for line in after.split("\n") if fstab._is_ours(line, targets)] == LINES


@given(target=st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_escaped_target_is_one_word(target: str) -> None:
    path = "/" + "".join(char for char in target if char in " \t\n" or not char.isspace())
    line = fstab.line("UUID=1", path, "btrfs", "subvol=a")
    assert len(line.split(" ")) == 6
    assert fstab.others([f"/dev/sdz1 {line.split(' ')[1]} xfs"], [path]) != []
