"""The guest's initramfs: busybox, the tools, Python with the wheel, and the modules that disks and filesystems need.

Libraries and modules are followed to their closure, so that the image stays small: under TCG every MiB costs time.
The variant `static` has the static file in place of Python and the wheel, and nothing that only Python needs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from packages import CACHE, TOP

if TYPE_CHECKING:
    from collections.abc import Iterable

GUEST = Path(__file__).resolve().parent / "guest"
PROGRAMS = (
    *("sfdisk", "partx", "blkid", "wipefs", "mount", "umount", "mkfs.fat", "mkfs.btrfs", "btrfs", "bcachefs"),
    "kmod",
)
PYTHON = ("python3.13",)
UDEV = ("udevadm",)
_UDEV_RULES = ("60-persistent-storage.rules", "50-udev-default.rules", "64-btrfs.rules")
# Built-in on one kernel, a module on the other: what is no module is passed over.
MODULES = (
    *("virtio_pci", "virtio_blk", "nvme", "ahci", "ata_piix", "sd_mod", "sr_mod", "xhci_pci", "usb_storage", "uas"),
    # What btrfs and bcachefs ask for by the name of an algorithm, which no index of modules knows.
    *("crc32c_generic", "crc32c_intel", "xxhash_generic", "sha256_generic", "blake2b_generic"),
    *("chacha_generic", "poly1305_generic", "btrfs", "vfat"),
)
BCACHEFS = ("bcachefs",)
_STDLIB_LEFT_OUT = (
    *("test", "idlelib", "tkinter", "ensurepip", "pydoc_data", "turtledemo", "lib2to3", "distutils", "venv"),
    *("unittest", "xmlrpc", "wsgiref", "dbm", "sqlite3", "curses", "__phello__", "multiprocessing"),
)
_LIB = "usr/lib/x86_64-linux-gnu"


def build(roots: dict[str, Path], kernel: str, program: Path, *, udev: bool = False, bcachefs: bool = True) -> Path:
    """The image for a kernel; made again when the program or anything else that goes into it has changed.

    `program` is the folder of `site_packages`, or the static file.
    """
    key = _key(roots, kernel, program, f"{udev} {bcachefs}")
    image = CACHE / "images" / f"{kernel}-{key}.cpio"
    if not image.exists():
        image.parent.mkdir(parents=True, exist_ok=True)
        tree = CACHE / "trees" / f"{kernel}-{key}"
        shutil.rmtree(tree, ignore_errors=True)
        _populate(tree, roots, kernel, program, udev=udev, bcachefs=bcachefs)
        pack(tree, image, compress=False)  # to unpack 70 MB takes a guest under TCG seconds
        shutil.rmtree(tree)
    return image


def pack(tree: Path, image: Path, *, compress: bool = True) -> None:
    """A cpio archive; one that is appended to another is compressed, or it would have to be aligned to 4 bytes."""
    staging = image.with_suffix(".new")
    names = b"\0".join(sorted(os.fsencode(path.relative_to(tree)) for path in tree.rglob("*")))
    with staging.open("wb") as out:
        subprocess.run(
            ["cpio", "--null", "--create", "--format=newc", "--owner=0:0", "--quiet", "--reproducible"],
            cwd=tree,
            input=names,
            stdout=out,
            check=True,
        )
    if compress:
        subprocess.run(["zstd", "-q", "-3", "--rm", staging, "-o", image, "-f"], check=True)
    else:
        staging.rename(image)


def _key(roots: dict[str, Path], kernel: str, program: Path, more: str) -> str:
    digest = hashlib.sha256(f"{roots['tools'].name} {roots[kernel].name} {program.name} {more}".encode())
    for file in (Path(__file__), *sorted(GUEST.iterdir()), *([program] if program.is_file() else [])):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def site_packages() -> Path:
    """The program and its dependencies as a wheel installs them, keyed by the program's own files."""
    files = sorted((*TOP.glob("zosstorage/**/*.py"), *TOP.glob("states/**/*.py"), TOP / "pyproject.toml"))
    key = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = CACHE / "site" / key
    if not folder.exists():
        staging = folder.with_suffix(".new")
        shutil.rmtree(staging, ignore_errors=True)
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", staging / "wheel", TOP], check=True)
        wheel = next((staging / "wheel").glob("*.whl"))
        target: list[str | Path] = [
            "--target",
            staging / "site",
            "--python-version",
            "3.13",
            "--only-binary=:all:",
            "--no-compile",
        ]
        subprocess.run([*pip, "install", *target, wheel], check=True)
        (staging / "site").rename(folder)
        shutil.rmtree(staging)
    return folder


def _populate(tree: Path, roots: dict[str, Path], kernel: str, program: Path, *, udev: bool, bcachefs: bool) -> None:
    tools = roots["tools"]
    for name in ("proc", "sys", "dev", "run", "tmp", "etc", "var", _LIB, "usr/lib64", "usr/bin", "busybox"):
        (tree / name).mkdir(parents=True, exist_ok=True)
    for link, target in {
        "bin": "usr/bin",
        "sbin": "usr/bin",
        "usr/sbin": "bin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
    }.items():
        (tree / link).symlink_to(target)
    shutil.copy(tools / "usr/bin/busybox", tree / "busybox/busybox")
    programs = [find(tools, name) for name in (*PROGRAMS, *(UDEV if udev else ()))]
    for one in programs:
        shutil.copy(one, tree / "usr/bin" / one.name)
    for name in ("modprobe", "depmod", "lsmod"):
        (tree / "usr/bin" / name).symlink_to("kmod")
    if udev:
        _add_udev(tree, tools)
    if program.is_file():
        shutil.copy(program, tree / "usr/bin/zosstorage")
    else:
        _add_python(tree, tools, program)
        programs += [find(tools, *PYTHON), *(tree / "usr/lib/python3.13/lib-dynload").glob("*.so")]
    _add_libraries(tree, tools, programs)
    _add_modules(tree, roots[kernel], (*MODULES, *(BCACHEFS if bcachefs else ())))
    shutil.copy(GUEST / "init", tree / "init")


def find(root: Path, name: str) -> Path:
    """A program of an unpacked root."""
    return next(path for folder in ("usr/sbin", "usr/bin") if (path := root / folder / name).exists()).resolve()


def _add_udev(tree: Path, tools: Path) -> None:
    (tree / "usr/lib/udev/rules.d").mkdir(parents=True)
    (tree / "usr/bin/systemd-udevd").symlink_to("udevadm")
    for name in _UDEV_RULES:
        shutil.copy(tools / "usr/lib/udev/rules.d" / name, tree / "usr/lib/udev/rules.d" / name)


def _add_python(tree: Path, tools: Path, site: Path) -> None:
    shutil.copy(GUEST / "zosstorage", tree / "usr/bin/zosstorage")
    shutil.copy(find(tools, *PYTHON), tree / "usr/bin" / PYTHON[0])
    (tree / "usr/bin/python3").symlink_to("python3.13")
    library = tree / "usr/lib/python3.13"
    left_out = shutil.ignore_patterns(*_STDLIB_LEFT_OUT, "__pycache__", "config-3.13-*", "_test*.so", "_xx*.so")
    shutil.copytree(tools / "usr/lib/python3.13", library, ignore=left_out, symlinks=True)
    packages = tree / "usr/lib/python3/dist-packages"
    shutil.copytree(site, packages, ignore=shutil.ignore_patterns("bin", "*.dist-info", "__pycache__"))
    loader: list[str | Path] = [
        tools / "usr/lib64/ld-linux-x86-64.so.2",
        "--library-path",
        tools / _LIB,
        tools / "usr/bin/python3.13",
    ]
    compile_all: list[str | Path] = [
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        tree,
        "-p",
        "/",
    ]
    environment = {**os.environ, "PYTHONHOME": str(tools / "usr"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*loader, *compile_all, library, packages], env=environment, check=True)


def _add_libraries(tree: Path, tools: Path, programs: Iterable[Path]) -> None:
    loader = tools / "usr/lib64/ld-linux-x86-64.so.2"
    shutil.copy(loader.resolve(), tree / "usr/lib64/ld-linux-x86-64.so.2")
    for library in libraries(tools, programs):
        if not (tree / _LIB / library.name).exists():
            shutil.copy(library.resolve(), tree / _LIB / library.name)


def libraries(tools: Path, programs: Iterable[Path]) -> set[Path]:
    """The shared libraries that programs of a root need, as its own loader finds them."""
    found = set()
    for program in programs:
        command: list[str | Path] = [
            tools / "usr/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            tools / _LIB,
            "--list",
            program,
        ]
        listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        paths = (line.partition("=> ")[2].partition(" (")[0] for line in listed.splitlines())
        found |= {Path(path) for path in paths if path}
    return found


def _add_modules(tree: Path, root: Path, wanted: Iterable[str]) -> None:
    """Modules and what they depend on, with the kernel's own index files."""
    folder = next((root / "usr/lib/modules").iterdir())
    target = tree / "usr/lib/modules" / folder.name
    target.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(folder / name, target / name)
    subprocess.run(["depmod", "-b", root / "usr", folder.name], check=False)
    listed = dict(line.split(":", 1) for line in (folder / "modules.dep").read_text().splitlines())
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in listed}
    for name in wanted:
        path = by_name.get(name)
        for needed in (path, *listed[path].split()) if path else ():
            (target / needed).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / needed, target / needed)
    # Unpacked here, once: a guest under TCG takes seconds for it, at every boot.
    subprocess.run(["xz", "--decompress", *target.rglob("*.ko.xz")], check=True)
    subprocess.run(["depmod", "-b", tree / "usr", folder.name], check=True)
