"""What the static file is built from. The registries' own clients fetch it; the digests of pins.toml decide.

A file that an earlier build fetched is used only if it has the same digest; else it is fetched again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kept import sha256

sys.path.append(str(Path(__file__).resolve().parents[2] / "vm-tests"))  # aptget.py: neither folder is a package

from aptget import Apt

if TYPE_CHECKING:
    from collections.abc import Iterator

RENEW = ".venv/bin/nox -s pins"
# Wheels for the target, whatever Python this is.
_TARGET = ("--only-binary=:all:", "--implementation=cp", "--platform=manylinux2014_x86_64")
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class Suite:
    """The source package as its suite offers it now. Apt verifies the suite's signature, and the digests by it."""

    def __init__(self, pins: dict[str, Any], scratch: Path) -> None:
        """`scratch` is an empty folder: package lists of an earlier run would not be verified again.

        Raises:
            SystemExit: the suite cannot be reached, is not signed by a key of the archive, or has no such package.
        """
        self._package = pins["package"]
        self._apt = Apt(scratch, (pins["suite"],), kind="deb-src")
        self._apt("-o", "APT::Update::Error-Mode=any", "update")
        uris = self._apt("source", "--print-uris", self._package, cwd=scratch)
        rows = re.findall(r"^'\S+' (\S+\.(?:dsc|tar\.\w+)) \d+ SHA256:([0-9a-f]{64})$", uris, re.MULTILINE)
        self.files: dict[str, str] = dict(sorted(rows))

    def download(self, folder: Path) -> None:
        self._apt("source", "--download-only", self._package, cwd=folder)


def revision(files: dict[str, str]) -> str:
    """Debian's version of a source package, by the names of its files."""
    (dsc,) = [name for name in files if name.endswith(".dsc")]
    return dsc.removesuffix(".dsc").partition("_")[2]


def source(pins: dict[str, Any], folder: Path, *, release: bool) -> dict[str, str]:
    """Have the files of the source package in `folder`; returns the SHA-256 digest of each by its name.

    These are the pinned ones, or those that the suite has instead by now.

    Raises:
        SystemExit: a file cannot be had or has another digest; for a release, the pinned ones cannot be had any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = pins["files"]
    if _unlike(files, folder):
        with TemporaryDirectory() as scratch:
            suite = Suite(pins, Path(scratch))
            if revision(suite.files) != revision(files):
                _replaced(pins, suite, release=release)
                files = suite.files
            _download(suite, files, folder)
    return files


def _replaced(pins: dict[str, Any], suite: Suite, *, release: bool) -> None:
    new, old = revision(suite.files), revision(pins["files"])
    what = f"Debian {pins['suite']} has replaced {pins['package']} {old}, which is pinned, by {new}"
    if release:
        raise SystemExit(f"{what}, and a release is built from what is pinned: renew the pins by {RENEW}")
    print(f"{what}: this build takes {new}, as apt verified it, and marks the file as unpinned")


def _download(suite: Suite, files: dict[str, str], folder: Path) -> None:
    for path in _unlike(files, folder):
        path.unlink(missing_ok=True)
    suite.download(folder)
    for path in _unlike(files, folder):
        raise SystemExit(f"{path} has the SHA-256 digest {sha256(path)}, not {files[path.name]}")


def _unlike(files: dict[str, str], folder: Path) -> list[Path]:
    """The paths of files that are not there, or do not have their digest."""
    paths = [(folder / name, digest) for name, digest in files.items()]
    return [path for path, digest in paths if not path.is_file() or sha256(path) != digest]


def unpacked(files: dict[str, str], folder: Path, out: Path) -> Path:
    """The source in a folder in `out`, patched as Debian has it; `files` lie in `folder`.

    Raises:
        CalledProcessError: a patch does not apply.
    """
    (upstream,), (debian,) = (
        [folder / name for name in files if kind in name] for kind in (".orig.tar.", ".debian.tar.")
    )
    out.mkdir()
    _untar(upstream, out)
    (tree,) = out.iterdir()
    _untar(debian, tree)
    for words in _series(tree / "debian/patches"):
        argv = ["patch", "--silent", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--strip=1", *words]
        subprocess.run(argv, cwd=tree, check=True)
    return tree


def _untar(archive: Path, folder: Path) -> None:
    subprocess.run(["tar", "--extract", "--no-same-owner", f"--file={archive}"], cwd=folder, check=True)


def _series(patches: Path) -> Iterator[list[str]]:
    """Words for patch, for each line of the series: the line's own options, such as -p0, and its file."""
    for line in (patches / "series").read_text("utf-8").splitlines():
        if words := line.partition("#")[0].split():
            yield [*words[1:], f"--input={patches / words[0]}"]


def wheels(pins: dict[str, dict[str, str]], python: str, downloads: Path, folder: Path) -> Path:
    """The wheels, which are kept in `downloads`, unpacked into `folder`; `python` is the version they are for.

    Raises:
        CalledProcessError: one cannot be had, or has another digest than the pinned one.
    """
    folder.mkdir(parents=True)
    downloads.mkdir(parents=True, exist_ok=True)
    rows = [f"{name}=={pin['version']} --hash=sha256:{pin['sha256']}\n" for name, pin in pins.items()]
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(rows), "utf-8")
    words = (*_TARGET, f"--python-version={python}", "--no-deps", "--require-hashes", f"--requirement={wanted}")
    if not {pin["sha256"] for pin in pins.values()} <= {sha256(path) for path in downloads.glob("*.whl")}:
        subprocess.run([*_PIP, "download", *words, f"--dest={downloads}"], check=True)
    options = ("--no-index", f"--find-links={downloads}", "--no-compile", f"--target={folder}")
    subprocess.run([*_PIP, "install", *words, *options], check=True)
    return folder
