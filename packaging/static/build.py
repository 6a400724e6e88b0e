"""Build dist/zosstorage-VERSION-x86_64-linux-musl: one file, statically linked, with the interpreter and all modules.

Builds of the interpreter are cached in .cache/static; the name of the folder has a digest of everything that goes in.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import buildcache
import elf
import fetch
import interpreter
import pins

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
PINS = HERE / "pins.toml"
CACHE = TOP / ".cache/static"
WORK = TOP / "build/static"
DIST = TOP / "dist"


def main(words: Sequence[str] | None = None) -> None:
    """Build the static file, or renew the pins.

    Raises:
        SystemExit: a pinned file cannot be fetched or has another digest, or a tool fails.
    """
    options = argparse.ArgumentParser(description=__doc__)
    choice = options.add_mutually_exclusive_group()
    choice.add_argument("--release", action="store_true", help="use pinned files only, and no earlier build")
    choice.add_argument("--renew-pins", action="store_true", help="pin the current source package of the suite")
    chosen = options.parse_args(words)
    if chosen.renew_pins:
        print(pins.renew(PINS))
    else:
        print(build(pins.load(PINS), release=chosen.release))


def build(pinned: dict[str, Any], *, release: bool) -> Path:
    """Build the static file and return its path.

    If the source package is not the pinned revision, a file with the suffix `.unpinned` is written beside it.
    """
    files = fetch.source(pinned["python"], CACHE / "sources", release=release)
    home, env = build_interpreter(pinned, files, rebuild=release)
    text = (TOP / "zosstorage/__init__.py").read_text("utf-8")
    (version,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    target = DIST / f"zosstorage-{version}-x86_64-linux-musl"
    marker = target.with_name(f"{target.name}.unpinned")
    is_pinned = files == pinned["python"]["files"]
    origin = f"{pinned['python']['package']} {fetch.revision(files)}{'' if is_pinned else ' UNPINNED'}"
    linked = link(home, pinned, env, origin)
    DIST.mkdir(exist_ok=True)
    if not is_pinned:
        marker.write_text(f"{target.name} is built from {origin}: packaging/static/pins.toml names another revision.\n")
    linked.replace(target)
    if is_pinned:
        marker.unlink(missing_ok=True)
    return target


def build_interpreter(pinned: dict[str, Any], files: dict[str, str], *, rebuild: bool) -> tuple[Path, dict[str, str]]:
    """Return the folder of the interpreter, and the environment of the compiler that built it.

    A build of the same files by the same scripts is taken from the cache, unless `rebuild` is set.
    """
    scripts = [(HERE / name).read_text("utf-8") for name in ("fetch.py", "interpreter.py")]
    parts = [sorted(files.items()), pinned["python"]["epoch"], pinned["compiler"], *scripts]
    home = CACHE / f"python-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
    env = interpreter.environment(home / "compiler/ziglang/zig", home / "musl", pinned["python"]["epoch"])

    def fill(folder: Path) -> None:
        fetch.wheels(pinned["compiler"], _version(pinned), CACHE / "wheels", folder / "compiler")
        fetch.unpack(files, CACHE / "sources", folder / "source").rename(folder / "python")
        interpreter.build(folder / "python", env)

    return buildcache.cached_folder(home, fill, rebuild=rebuild) / "python", env


def _version(pinned: dict[str, Any]) -> str:
    """Return the version of Python, such as 3.13."""
    return str(pinned["python"]["package"]).removeprefix("python")


def link(home: Path, pinned: dict[str, Any], env: dict[str, str], origin: str) -> Path:
    """Freeze the modules, link the program, and return its path.

    The program is linked in the folder WORK, so that it contains no path of the machine.
    """
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    site = fetch.wheels(pinned["libraries"], _version(pinned), CACHE / "wheels", WORK / "site")
    elf.freeze(home, HERE / "freeze.py", WORK, (_write_metadata(pinned), TOP, site))
    elf.write_origin(origin, WORK)
    shutil.copy(HERE / "main.c", WORK)
    elf.link(home, WORK, env)
    return WORK / "zosstorage"


def _write_metadata(pinned: dict[str, Any]) -> Path:
    """Write a module importlib.metadata that has the versions of the frozen libraries; return the folder to search.

    The importlib.metadata of the standard library looks for files beside the libraries, and there are none.
    """
    folder = WORK / "own"
    (folder / "importlib").mkdir(parents=True)
    versions = {name: pin["version"] for name, pin in pinned["libraries"].items()}
    text = (HERE / "metadata.py").read_text("utf-8") + f"\nVERSIONS.update({versions})\n"
    (folder / "importlib/metadata.py").write_text(text, "utf-8")
    return folder


if __name__ == "__main__":
    main()
