"""Fetch what the static file is built from, by apt and pip, and verify the digests in pins.toml.

A file that an earlier build fetched is used again if its digest is right, and fetched again otherwise.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from buildcache import sha256

sys.path.append(str(Path(__file__).resolve().parents[2] / "vm-tests"))  # for aptget.py; vm-tests is not a package

from aptget import Apt

if TYPE_CHECKING:
    from collections.abc import Iterator

RENEW = ".venv/bin/nox -s pins"
# Wheels for the target platform, whatever the Python that runs this script.
_TARGET = ("--only-binary=:all:", "--implementation=cp", "--platform=manylinux2014_x86_64")
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


class Suite:
    """The current source package of a suite. Apt verifies the signature of the suite, and by it the digests."""

    def __init__(self, pins: dict[str, Any], scratch: Path) -> None:
        """Read the package lists of the suite into `scratch`, an empty folder: apt verifies only lists that it fetches.

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
    """Return the Debian version of a source package, from the names of its files."""
    (dsc,) = [name for name in files if name.endswith(".dsc")]
    return dsc.removesuffix(".dsc").partition("_")[2]


def source(pins: dict[str, Any], folder: Path, *, release: bool) -> dict[str, str]:
    """Provide the files of the source package in `folder`, and return their SHA-256 digests by file name.

    The files are the pinned revision, or the current one of the suite if the suite has replaced the pinned one.

    Raises:
        SystemExit: a file cannot be fetched or has another digest; or, for a release, the pinned revision is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = pins["files"]
    if _missing_or_changed(files, folder):
        with TemporaryDirectory() as scratch:
            suite = Suite(pins, Path(scratch))
            if revision(suite.files) != revision(files):
                _report_replacement(pins, suite, release=release)
                files = suite.files
            _download(suite, files, folder)
    return files


def _report_replacement(pins: dict[str, Any], suite: Suite, *, release: bool) -> None:
    new, old = revision(suite.files), revision(pins["files"])
    what = f"Debian {pins['suite']} has replaced {pins['package']} {old}, the pinned revision, by {new}"
    if release:
        raise SystemExit(f"{what}, and a release is built from the pinned revision only: renew the pins with {RENEW}")
    print(f"{what}: this build uses {new}, verified by apt, and marks the file as unpinned")


def _download(suite: Suite, files: dict[str, str], folder: Path) -> None:
    for path in _missing_or_changed(files, folder):
        path.unlink(missing_ok=True)
    suite.download(folder)
    for path in _missing_or_changed(files, folder):
        raise SystemExit(f"{path} has the SHA-256 digest {sha256(path)}, not {files[path.name]}")


def _missing_or_changed(files: dict[str, str], folder: Path) -> list[Path]:
    """List the files that are not there or have another digest."""
    paths = [(folder / name, digest) for name, digest in files.items()]
    return [path for path, digest in paths if not path.is_file() or sha256(path) != digest]


def unpack(files: dict[str, str], folder: Path, out: Path) -> Path:
    """Unpack the source into a folder in `out`, apply Debian's patches, and return the folder; `files` are in `folder`.

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
    """Yield the arguments of patch for each line of the series: the options of the line, such as -p0, and its file."""
    for line in (patches / "series").read_text("utf-8").splitlines():
        if words := line.partition("#")[0].split():
            yield [*words[1:], f"--input={patches / words[0]}"]


def wheels(pins: dict[str, dict[str, str]], python: str, downloads: Path, folder: Path) -> Path:
    """Download wheels for the version `python` into `downloads`, unpack them into `folder`, and return `folder`.

    Raises:
        CalledProcessError: a wheel cannot be downloaded, or its digest is not the pinned one.
    """
    folder.mkdir(parents=True)
    downloads.mkdir(parents=True, exist_ok=True)
    rows = [f"{name}=={pin['version']} --hash=sha256:{pin['sha256']}\n" for name, pin in pins.items()]
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(rows), "utf-8")
    words = (*_TARGET, f"--python-version={python}", "--no-deps", "--require-hashes", f"--requirement={requirements}")
    if not {pin["sha256"] for pin in pins.values()} <= {sha256(path) for path in downloads.glob("*.whl")}:
        subprocess.run([*_PIP, "download", *words, f"--dest={downloads}"], check=True)
    options = ("--no-index", f"--find-links={downloads}", "--no-compile", f"--target={folder}")
    subprocess.run([*_PIP, "install", *words, *options], check=True)
    return folder
