"""The loop devices of tests, demo and benchmarks: no number is taken from another process, no file is detached."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import loopdevices
import pytest
from processes import output

MIB = 1 << 20
HELPERS = Path(loopdevices.__file__).parent
# Attach an image, say where, and wait to be killed.
CHILD = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(HELPERS)!r})
import loopdevices
device = loopdevices.attach(Path(sys.argv[1]))
print(device.path, flush=True)
time.sleep(1000)
"""


def image(folder: Path, name: str = "zosstorage-test-image") -> Path:
    path = folder / name
    with path.open("wb") as file:
        file.truncate(MIB)
    return path


@pytest.fixture
def child(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another test run that has a device; it is killed at the end."""
    argv = [sys.executable, "-c", CHILD, str(image(tmp_path, "zosstorage-test-child"))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process, process.stdout.readline().strip()
        process.kill()
    loopdevices.sweep()


def test_devices_have_numbers_of_the_range_and_are_removed(tmp_path: Path) -> None:
    one, two = (loopdevices.attach(image(tmp_path, f"zosstorage-test-{name}")) for name in "12")
    assert loopdevices.FIRST <= one.number < two.number <= loopdevices.LAST
    assert loopdevices.backing_file(one.number) == str(one.image)
    for device in (one, two):
        device.release()
        assert not loopdevices.backing_file(device.number)


def test_two_processes_get_different_numbers(tmp_path: Path, child: tuple[subprocess.Popen[str], str]) -> None:
    device = loopdevices.attach(image(tmp_path))
    try:
        assert device.path != child[1]
        loopdevices.sweep()
        assert loopdevices.backing_file(int(child[1].removeprefix("/dev/loop")))  # the other one is alive
    finally:
        device.release()


def test_a_killed_process_leaves_a_number_that_can_be_used_again(
    tmp_path: Path, child: tuple[subprocess.Popen[str], str]
) -> None:
    process, path = child
    assert loopdevices.backing_file(int(path.removeprefix("/dev/loop")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    device = next(iter_devices(tmp_path, path))
    assert loopdevices.backing_file(device.number) == str(device.image)
    device.release()


def iter_devices(folder: Path, path: str) -> Iterator[loopdevices.LoopDevice]:
    """Attach images until one gets the device `path`, and release the others."""
    others: list[loopdevices.LoopDevice] = []
    try:
        while (device := loopdevices.attach(image(folder, f"zosstorage-test-{len(others)}"))).path < path:
            others.append(device)
        assert device.path == path
        yield device
    finally:
        for other in others:
            other.release()


@pytest.fixture
def foreign_device(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A number of the range whose device somebody else attached to a file of his own."""
    free = loopdevices.reserve(tmp_path)
    path, number = image(tmp_path, "somebodys-disk"), free.number
    output("losetup", free.path, path)
    os.close(free._lock)
    yield number, path
    output("losetup", "--detach", free.path)


def test_a_device_that_is_attached_to_a_foreign_file_is_not_used(
    tmp_path: Path, foreign_device: tuple[int, Path]
) -> None:
    number, path = foreign_device
    loopdevices.sweep()
    device = loopdevices.attach(image(tmp_path))
    try:
        assert device.number != number
        assert loopdevices.backing_file(number) == str(path)
    finally:
        device.release()


@pytest.mark.parametrize("act", ["attach", "check", "detach", "release"])
def test_a_foreign_file_is_not_detached(tmp_path: Path, foreign_device: tuple[int, Path], act: str) -> None:
    number, path = foreign_device
    lock = os.open(os.devnull, os.O_RDONLY)
    device = loopdevices.LoopDevice(image(tmp_path), number, lock)
    with pytest.raises(loopdevices.ForeignDeviceError, match=str(path)):
        getattr(device, act)()
    assert loopdevices.backing_file(number) == str(path)
    if act != "release":
        os.close(lock)


def test_what_cannot_be_attached_keeps_no_number(tmp_path: Path) -> None:
    before = loopdevices.reserve(image(tmp_path))
    before.release()
    with pytest.raises(OSError, match="losetup"):
        loopdevices.attach(tmp_path / "missing")
    again = loopdevices.reserve(image(tmp_path))
    assert again.number <= before.number
    again.release()
