import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # disks.py: test files are no package

import loopdevices
from disks import GIB, PREFIX, LoopDisk, Machine

TOOLS = (
    "losetup",
    "partx",
    "sfdisk",
    "blkid",
    "wipefs",
    "mkfs.fat",
    "mkfs.btrfs",
    "btrfs",
    "findmnt",
    "nsenter",
    "unshare",
)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.loop)


@pytest.fixture(scope="session", autouse=True)
def _able():
    """Loop devices need root and real tools; on CI their want is a failure."""
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")]
    if os.geteuid() == 0 and not missing:
        loopdevices.sweep()
        return
    told = f"needs root and the tools {', '.join(missing or TOOLS)}"
    if os.environ.get("CI"):
        pytest.fail(told)
    pytest.skip(told)


# These run the program many hundred times, each time through lines that others measure: being traced doubles the time.
UNTRACED = (
    *("test_blankness", "test_failures", "test_faults", "test_foreign", "test_kill", "test_lookalikes"),
    *("test_orphans", "test_rationale", "test_silent_devices", "test_interference", "test_toctou", "test_unfinished"),
)


@pytest.fixture(autouse=True)
def _untraced(request, monkeypatch):
    if request.module.__name__.rpartition(".")[2] in UNTRACED:
        for name in [name for name in os.environ if name.startswith("COV")]:
            monkeypatch.delenv(name)


@pytest.fixture
def machine(tmp_path):
    """Make a machine of blank sparse disks; it is taken down when the test is over, however it ends."""
    made = []

    def make(count=1, *, size=10 * GIB, sector_size=512, folder=None, **settings):
        place = folder or tmp_path / f"machine{len(made)}"
        place.mkdir(exist_ok=True)
        disks = []
        for number in range(count):
            image = place / f"{PREFIX}{os.getpid()}-{number}.img"
            with image.open("wb") as file:
                file.truncate(size)
            disks.append(LoopDisk(image, sector_size))
        one = Machine.__new__(Machine)
        made.append(one)
        one.__init__(place, disks, settings)
        return one

    yield make
    for one in made:
        one.close()
