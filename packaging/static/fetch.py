"""What it is built from: fetched from the registries by their own clients, held against the digests of pins.toml."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path.append(str(TOP / "vm-tests"))  # aptget.py: neither folder is a package

from aptget import Apt  # noqa: E402 - found by the line above

# Wheels for the target, whatever Python this is.
_PIP = (
    *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile"),
    *("--require-hashes", "--only-binary=:all:", "--implementation=cp", "--platform=manylinux2014_x86_64"),
)


def python_source(pins: dict[str, Any], cache: Path) -> Path:
    """The archive of CPython's source.

    Raises:
        SystemExit: it cannot be had, or is another than the one that is pinned.
    """
    archive = cache / pins["file"]
    if not (archive.exists() and _sha256(archive) == pins["sha256"]):
        _download(pins, cache)
    if (found := _sha256(archive)) != pins["sha256"]:
        raise SystemExit(f"{archive} has the SHA-256 {found}, pins.toml says {pins['sha256']}")
    return archive


def _download(pins: dict[str, Any], cache: Path) -> None:
    apt = Apt(cache / "apt", (pins["suite"],), kind="deb-src")
    apt("update")
    offered = [line.split()[1] for line in apt("source", "--print-uris", pins["package"]).splitlines() if "'" in line]
    if pins["file"] not in offered:
        raise SystemExit(
            f"Debian {pins['suite']} has no {pins['file']} any more, only {', '.join(offered)}: set version, file and "
            "sha256 in packaging/static/pins.toml to the new .orig.tar.xz, and look through packaging/static/patches"
        )
    revision = next(name for name in offered if name.endswith(".dsc")).split("_")[1].removesuffix(".dsc")
    if revision != pins["patches"]:
        print(f"note: patches/ is of {pins['patches']}; Debian has {revision}, whose patches may fix more")
    apt("source", "--download-only", "--tar-only", pins["package"], cwd=cache)


def unpacked(archive: Path, patches: Path, folder: Path) -> Path:
    """The source in `folder`, patched."""
    subprocess.run(["tar", "--extract", "--no-same-owner", f"--file={archive}"], cwd=folder, check=True)
    (source,) = folder.iterdir()
    for patch in sorted(patches.iterdir()):
        subprocess.run(["patch", "--silent", "--strip=1", f"--input={patch}"], cwd=source, check=True)
    return source


def wheels(pins: dict[str, dict[str, str]], python: str, folder: Path) -> Path:
    """The wheels unpacked into `folder`, once."""
    if folder.exists():
        return folder
    staging = folder.with_suffix(".new")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    rows = [f"{name}=={pin['version']} --hash=sha256:{pin['sha256']}" for name, pin in pins.items()]
    wanted = staging / "requirements.txt"
    wanted.write_text("\n".join(rows) + "\n", "utf-8")
    argv = [*_PIP, f"--python-version={python}", f"--target={staging}", f"--requirement={wanted}"]
    subprocess.run(argv, check=True)
    staging.rename(folder)
    return folder


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
