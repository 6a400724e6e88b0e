import pytest
from support import data_content, disk, facts

from zosstorage.block import sysfs
from zosstorage.errors import ExitCode, NotEmptyError, ToolError
from zosstorage.planning import preflight
from zosstorage.system import executables, mountinfo

ALL = ("blkid", "wipefs", *preflight.ALWAYS, "mkfs.fat", "mkfs.btrfs", "btrfs", "bcachefs")


def plan(mode="single", *, make=True):
    disks = {"single": 1, "bcachefs_single": 1, "btrfs_raid1": 2, "ssd_hdd_bcachefs": 2}[mode]
    found = (disk("sda"), disk("sdb", rotational=True))[:disks]
    return facts(mode=mode, disks=found, make=make).plan


@pytest.mark.parametrize(
    ("mode", "make", "more"),
    [
        ("single", True, {"mkfs.fat", "mkfs.btrfs", "btrfs"}),
        ("single", False, {"mkfs.btrfs", "btrfs"}),
        ("btrfs_raid1", True, {"mkfs.fat", "mkfs.btrfs", "btrfs"}),
        ("ssd_hdd_bcachefs", True, {"mkfs.fat", "bcachefs"}),
    ],
)
def test_tools_that_the_rest_of_a_run_needs(mode, make, more):
    assert set(preflight.needed(plan(mode, make=make))) == {*preflight.ALWAYS, *more}


def test_all_tools_are_there(fake_tools):
    for name in ALL:
        fake_tools(name)
    assert preflight.check_tools(ALL) == []
    assert fake_tools.calls == []


def test_every_missing_tool_is_told(fake_tools):
    fake_tools("blkid")
    problems = preflight.check_tools(["blkid", "wipefs", "mkfs.fat"])
    assert [problem.message for problem in problems] == [
        "the tool wipefs was not found",
        "the tool mkfs.fat was not found",
    ]
    assert all(problem.exit_code is ExitCode.TOOL and problem.hint.startswith("install ") for problem in problems)


@pytest.mark.parametrize(("banner", "name"), [(b"BusyBox v1.36.1", "busybox"), (b"toybox 0.8.9", "toybox")])
def test_an_applet_is_no_tool(fake_tools, banner, name):
    path = fake_tools("mount", banner=banner)
    (problem,) = preflight.check_tools(["mount"])
    assert problem.message.startswith(f"{path} is an applet of {name}")
    assert "package mount" in problem.hint or "util-linux" in problem.hint


# The kernel.


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """/proc/filesystems with the given names."""
    monkeypatch.setattr(mountinfo, "PROC", tmp_path)
    monkeypatch.setattr(preflight, "PROC", tmp_path)

    def write(*names):
        (tmp_path / "filesystems").write_text("nodev\tproc\n" + "".join(f"\t{name}\n" for name in names), "ascii")
        return tmp_path / "filesystems"

    write()
    return write


def test_a_kernel_that_has_it(fake_tools, kernel):
    kernel("btrfs", "ext4")
    fake_tools("modprobe")
    assert preflight.check_kernel(plan()) == []
    assert fake_tools.calls == []


def test_a_module_is_loaded(fake_tools, kernel):
    path = kernel("ext4")
    fake_tools("modprobe", body=f"printf '\\tbtrfs\\n' >> {path}")
    assert preflight.check_kernel(plan()) == []
    assert fake_tools.calls == [["modprobe", "btrfs"]]


@pytest.mark.parametrize(
    ("there", "told"), [(True, "modprobe btrfs ended with status 1"), (False, "modprobe was not found")]
)
def test_a_kernel_without_it(fake_tools, kernel, there, told):
    if there:
        fake_tools("modprobe", status=1)
    (problem,) = preflight.check_kernel(plan())
    assert isinstance(problem, ToolError)
    assert problem.message == f"this kernel has no btrfs ({told})"
    assert "topology.mode" in problem.hint


def test_a_machine_without_proc(fake_tools, kernel):
    kernel().unlink()
    assert len(preflight.check_kernel(plan())) == 1


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("mount from util-linux 2.39 (libmount 2.39: btrfs)", True),
        ("mount from util-linux 2.41.1 (libmount)", True),
        ("mount from util-linux 3.0", True),
        ("mount from util-linux 2.38.1 (libmount 2.38.1)", False),
        ("mount from util-linux 2.9", False),
        ("some other mount", False),
    ],
)
def test_bcachefs_needs_a_mount_that_knows_subdirectories(fake_tools, kernel, version, enough):
    kernel("bcachefs")
    fake_tools("mount", stdout=version)
    problems = preflight.check_kernel(plan("bcachefs_single"))
    assert [problem.exit_code for problem in problems] == [] if enough else [ExitCode.TOOL]
    assert all("2.39" in problem.message and "2.39" in problem.hint for problem in problems)
    assert fake_tools.of("mount")[0][1:] == ["--version"]


def test_btrfs_takes_any_mount(fake_tools, kernel):
    kernel("btrfs")
    fake_tools("mount", stdout="mount from util-linux 2.20")
    assert preflight.check_kernel(plan()) == []


def test_a_missing_mount_is_told_once(fake_tools, kernel):
    """As a missing tool, by check_tools."""
    kernel("bcachefs")
    assert preflight.check_kernel(plan("bcachefs_single")) == []


# Copies.


@pytest.fixture
def carried(monkeypatch):
    """Devices of the machine, and what each carries."""

    def set_up(found):
        monkeypatch.setattr(sysfs, "devices", lambda: list(found))

        def read_content(device):
            if found[device] is None:
                raise ToolError("no medium")
            return found[device] or None

        monkeypatch.setattr(preflight, "read_content", read_content)

    return set_up


def test_a_copy_of_a_finished_filesystem_elsewhere(carried):
    found = plan(make=False)
    kept = data_content(next(one.uuid for one in found.filesystems if one.is_data))
    carried({"/dev/sda2": kept, "/dev/sr0": None, "/dev/sdz": "", "/dev/sdy1": kept})
    (problem,) = preflight.check_copies(found)
    assert isinstance(problem, NotEmptyError)
    assert problem.message.startswith(f"/dev/sdy1 carries a copy of the filesystem {kept.uuid}")


def test_no_copy(carried):
    found = plan(make=False)
    other = data_content("12345678-0000-4000-8000-000000000000")
    carried({"/dev/sda2": data_content(found.filesystems[-1].uuid), "/dev/sdy1": other})
    assert preflight.check_copies(found) == []


def test_a_new_filesystem_can_have_no_copy(carried):
    carried({"/dev/sdy1": data_content()})
    assert preflight.check_copies(plan(make=True)) == []


def test_the_devices_of_this_machine_can_be_named():
    assert all(device.startswith("/dev/") for device in sysfs.devices())
    assert executables.which("sh")
