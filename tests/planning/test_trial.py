"""What a run needs besides its disks, found out before the first write: by trying it, or for a plan by asking."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import config

from zosstorage.errors import ToolError
from zosstorage.observed import ObservedPlace
from zosstorage.planning import places
from zosstorage.system import files, handles, mountinfo, threads
from zosstorage.system.mountinfo import Mounted

Observe = Callable[..., dict[str, ObservedPlace]]


@pytest.fixture(params=[True, False], ids=["trial", "question"])
def observe(request: pytest.FixtureRequest, tmp_path: Path) -> Observe:
    """Return the places of a run below a directory, by path."""

    def observed(report: str = "state.json", **sections: object) -> dict[str, ObservedPlace]:
        settings = config(root=tmp_path, report={"path": str(tmp_path / report)}, **sections)
        before = sorted(tmp_path.rglob("*"))
        found = places.observe(settings, [], trial=request.param)
        assert sorted(tmp_path.rglob("*")) == before
        return {place.path: place for place in found}

    return observed


@pytest.mark.parametrize("where", ["var", "var/cache", "var/cache/etc"])
@pytest.mark.parametrize("loop", [False, True])
def test_a_link_that_leads_nowhere(observe: Observe, tmp_path: Path, where: str, *, loop: bool) -> None:
    link = tmp_path / where
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(link.name if loop else "nowhere")
    assert observe()[f"{tmp_path}/var/cache/etc"].refused == f"{link} is a symbolic link that leads nowhere"


def test_a_report_below_a_link_that_leads_nowhere(observe: Observe, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to("nowhere")
    place = observe("run/state.json")[f"{tmp_path}/run/state.json"]
    assert place.refused == f"{tmp_path}/run is a symbolic link that leads nowhere"


def test_an_fstab_that_is_a_loop_of_links(observe: Observe, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").symlink_to("fstab")
    place = observe(fstab={"enabled": True})[f"{tmp_path}/etc/fstab"]
    assert place.refused or not place.is_file


@pytest.mark.parametrize(("length", "fits"), [(200, True), (255, True), (256, False)])
def test_the_length_of_a_name(observe: Observe, tmp_path: Path, length: int, *, fits: bool) -> None:
    name = "\u00e9" * (length // 2) + "x" * (length % 2)
    assert (observe(name)[str(tmp_path / name)].refused == "") is fits
    if fits:
        files.write_atomic(tmp_path / name, "text", 0o644)
        assert (tmp_path / name).read_text() == "text"


@pytest.mark.parametrize("target", ["x" * 256, "x" * 256 + "/etc"])
def test_a_target_with_a_name_that_is_too_long(observe: Observe, tmp_path: Path, target: str) -> None:
    place = observe(mounts={"targets": {"etc": f"/{target}"}})[str(tmp_path / target)]
    assert "256 bytes" in place.refused


def test_only_a_mount_of_our_types_is_believed_its_source(
    observe: Observe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody who may mount a tmpfs can name a partition as its source."""
    target = f"{tmp_path}/var/cache/etc"
    for fstype, source in (("tmpfs", "/dev/sda2 (tmpfs)"), ("btrfs", "/dev/sda2"), ("bcachefs", "/dev/sda2")):
        mounted = Mounted("8:2", "/", target, fstype, "/dev/sda2", frozenset())
        monkeypatch.setattr(mountinfo, "at", {target: mounted}.get)
        assert observe()[target].mounted == source


def test_a_missing_directory_of_a_report_is_no_problem(observe: Observe, tmp_path: Path) -> None:
    assert observe("a/b/state.json")[f"{tmp_path}/a/b/state.json"].refused == ""


LIMITED = """
import resource, sys
from zosstorage.errors import ToolError
from zosstorage.system import handles
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
try:
    handles.require(int(sys.argv[3]))
except ToolError as error:
    print(error.message, error.hint)
print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "disks", "after"),
    [(256, 4096, 1, (256, 4096)), (256, 4096, 60, (1024, 4096)), (256, 1024, 60, (1024, 1024))],
)
def test_the_soft_limit_of_open_files_is_raised(soft: int, hard: int, disks: int, after: tuple[int, int]) -> None:
    argv = [sys.executable, "-c", LIMITED, *map(str, (soft, hard, disks))]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == f"{after}\n"


def test_a_hard_limit_that_is_too_low_is_an_error() -> None:
    argv = [sys.executable, "-c", LIMITED, "256", "512", "60"]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("at most 512 files may be open, and 60 disks need 1024 raise the hard limit")


def test_the_limit_of_this_process_suffices_for_one_disk() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    handles.require(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_threads_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    threads.require(60)
    assert len(os.listdir("/proc/self/task")) < 60  # noqa: PTH208 - a count

    def start(*_: object) -> None:
        raise ToolError("no thread can be started")

    monkeypatch.setattr(threads, "start", start)
    with pytest.raises(ToolError):
        threads.require(1)
