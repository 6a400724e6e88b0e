"""The lab for pytest: packages once, images as needed, a table of seconds at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests"), str(HERE.parent / "tests/loop")]  # no packages to import

import alpine_images  # noqa: E402 - behind the path to it
import initramfs  # noqa: E402 - behind the path to it
import packages  # noqa: E402 - behind the path to it
from qemu import Drive, Guest, Log, accelerator  # noqa: E402 - behind the path to it

RUNS = packages.CACHE / "runs"
SIZE = 40 << 30
# Seconds; a boot takes 10 to 20 on a quiet machine. It ends guests that hang, and is no measure of a machine's load.
GUEST_LIMIT = 600.0
# The fixtures `blank` (folder, count, size in bytes) and `figures` (what was done, log of the guest).
Blank = Callable[..., list[Path]]
Figures = Callable[[str, Log], None]
Record = Callable[[str, object], None]  # of pytest: record_property


def use_ext4(image: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, stdin=subprocess.DEVNULL)


USES = {"ext4": use_ext4}


class Lab:
    """Boots guests; knows the roots and remembers the figures of each scenario.

    Images with the wheel are made at once, those with the static file when one is first asked for: it may be missing.
    """

    def __init__(self, roots: dict[str, Path]) -> None:
        self.roots = roots

        site = initramfs.site_packages()  # once: the program under test stays the same
        variants: tuple[dict[str, Any], ...] = ({}, {"udev": True}, {"bcachefs": False})
        self.images: dict[tuple[object, ...], Path] = {
            (kernel, *sorted(variant.items())): initramfs.build(roots, kernel, site, **variant)
            for kernel in packages.KERNELS
            for variant in (variants if kernel == "cloud" else variants[:1])
        }

    def image(
        self, kernel: str, *, udev: bool = False, bcachefs: bool = True, static: bool = False
    ) -> tuple[Path, Path]:
        """(kernel, initramfs)."""
        vmlinuz = next((self.roots[kernel] / "boot").glob("vmlinuz-*"))
        if static:
            with one_at_a_time():
                return vmlinuz, initramfs.build(self.roots, kernel, static_file(), udev=udev, bcachefs=bcachefs)
        variant = [("bcachefs", False)] if not bcachefs else []
        return vmlinuz, self.images[(kernel, *variant, *([("udev", True)] if udev else []))]

    def guest(self, name: str, drives: list[Drive], script: str, *, kernel: str = "cloud", **more: object) -> Guest:
        variant = {key: bool(more.pop(key)) for key in ("udev", "bcachefs", "static") if key in more}
        vmlinuz, image = self.image(kernel, **variant)
        folder = RUNS / name
        folder.mkdir(parents=True, exist_ok=True)
        library = (Path(__file__).parent / "guest/lib.sh").read_text()
        return Guest(vmlinuz, image, drives, library + script, folder, **more)  # type: ignore[arg-type]


def static_file() -> Path:
    """The static file in dist; the test fails where there is none."""
    try:
        return alpine_images.elf()
    except alpine_images.NoElfError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def roots(testrun_uid: str) -> dict[str, Path]:
    """What is downloaded and unpacked; apt takes ten seconds to say that all is there, so one worker asks for both."""
    known = packages.CACHE / "roots.json"
    with one_at_a_time():
        found = json.loads(known.read_text()) if known.exists() else {}
        if found.get("session") != testrun_uid:
            found = {"session": testrun_uid, **{name: str(path) for name, path in packages.fetch().items()}}
            known.write_text(json.dumps(found))
    return {name: Path(path) for name, path in found.items() if name != "session"}


@pytest.fixture(scope="session")
def lab(roots: dict[str, Path]) -> Lab:
    """Images are made by one worker at a time."""
    with one_at_a_time():
        return Lab(roots)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """For what lies in the cache that the workers share."""
    packages.CACHE.mkdir(parents=True, exist_ok=True)
    with (packages.CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def blank(tmp_path: Path) -> Iterator[Blank]:
    """Make sparse images; they are removed when the test is over, unless ZOSSTORAGE_VM_KEEP is set."""
    made: list[Path] = []

    def make(folder: Path, count: int, size: int = SIZE) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            path = folder / f"disk{number}.img"
            path.unlink(missing_ok=True)
            with path.open("wb") as file:
                file.truncate(size)
            made.append(path)
        return made[-count:] if count else []

    yield make
    if not os.environ.get("ZOSSTORAGE_VM_KEEP"):
        for path in made:
            path.unlink(missing_ok=True)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Rows for the table at the end: (what, boot, provision, total, busy, booted again)."""

    def add(what: str, log: Log) -> None:
        inside = (log.values.get("boot", "-"), log.values.get("provision", "-"))
        row = (what, *inside, f"{log.seconds:.1f}", f"{log.busy:.1f}", log.retried)
        request.node.user_properties.append(("figures", row))

    return add


# About how many seconds a test takes: of the words that are in its name, those that stand first here.
_SECONDS = {
    "test_every_cut_is_resumed[2copy]": 200,
    "test_every_cut_is_resumed[single]": 150,
    "test_every_cut_is_resumed": 100,
    "openrc": 50,
    "test_provisions_and_adopts": 30,
    "test_a_power_cut_is_survived": 20,
    "test_a_failure_is_told": 15,
}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that none is begun when the other worker has nothing left to do.

    They are dealt out in turn: each worker begins with one half of the list, and steals from the end of the other's.
    """
    items.sort(key=lambda item: next((time for word, time in _SECONDS.items() if word in item.nodeid), 0), reverse=True)
    items[:] = items[::2] + items[1::2]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    properties = [
        pair
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call"
        for pair in report.user_properties
    ]
    for line in sorted(value for name, value in properties if name == "cuts"):
        terminalreporter.write_line(line)
    rows = [value for name, value in properties if name == "figures"]
    if rows:
        terminalreporter.section(f"guests ({accelerator()}), seconds")
        terminalreporter.write_line(f"{'guest':<40}{'boot':>8}{'provision':>11}{'total':>8}{'busy':>8}  booted again")
        for what, boot, provision, total, busy, again in rows:
            terminalreporter.write_line(f"{what:<40}{boot:>8}{provision:>11}{total:>8}{busy:>8}  {again or ''}")
