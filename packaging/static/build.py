"""Build dist/zosstorage-VERSION-x86_64-linux-musl: one file, statically linked, with the interpreter and all modules.

What takes long is kept under .cache/static, by the digest of all it is made of.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import elf
import fetch
import interpreter
import kept
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
    """Fetch, build what is not there yet, freeze, link; or renew the pins.

    Raises:
        SystemExit: what it is built from cannot be had as it is pinned, or a tool fails.
    """
    options = argparse.ArgumentParser(description=__doc__)
    choice = options.add_mutually_exclusive_group()
    choice.add_argument("--release", action="store_true", help="from what is pinned only, and nothing built earlier")
    choice.add_argument("--renew-pins", action="store_true", help="pin the source package that the suite offers now")
    chosen = options.parse_args(words)
    if chosen.renew_pins:
        print(pins.renew(PINS))
    else:
        print(build(pins.load(PINS), release=chosen.release))


def build(pinned: dict[str, Any], *, release: bool) -> Path:
    """The static file, and beside it, if it is made of anything that is not pinned, a file that says so."""
    files = fetch.source(pinned["python"], CACHE / "sources", release=release)
    home, env = python(pinned, files, anew=release)
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


def python(pinned: dict[str, Any], files: dict[str, str], *, anew: bool) -> tuple[Path, dict[str, str]]:
    """The folder of the interpreter, and the variables for the compiler that made it.

    It is what an earlier build made from the same files in the same way, unless `anew`.
    """
    made_by = [(HERE / name).read_text("utf-8") for name in ("fetch.py", "interpreter.py")]
    parts = [sorted(files.items()), pinned["python"]["epoch"], pinned["compiler"], *made_by]
    home = CACHE / f"python-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"
    env = interpreter.environment(home / "compiler/ziglang/zig", home / "musl", pinned["python"]["epoch"])

    def fill(folder: Path) -> None:
        fetch.wheels(pinned["compiler"], _version(pinned), CACHE / "wheels", folder / "compiler")
        fetch.unpacked(files, CACHE / "sources", folder / "source").rename(folder / "python")
        interpreter.build(folder / "python", env)

    return kept.folder(home, fill, anew=anew) / "python", env


def _version(pinned: dict[str, Any]) -> str:
    """Such as 3.13."""
    return str(pinned["python"]["package"]).removeprefix("python")


def link(home: Path, pinned: dict[str, Any], env: dict[str, str], origin: str) -> Path:
    """Freeze the modules and link all: in a folder of its own, so that no other path gets into the file."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    site = fetch.wheels(pinned["libraries"], _version(pinned), CACHE / "wheels", WORK / "site")
    elf.freeze(home, HERE / "freeze.py", WORK, (_own_metadata(pinned), TOP, site))
    elf.tell(origin, WORK)
    shutil.copy(HERE / "main.c", WORK)
    elf.link(home, WORK, env)
    return WORK / "zosstorage"


def _own_metadata(pinned: dict[str, Any]) -> Path:
    """A folder with an importlib.metadata that knows the libraries frozen in; Python's own looks for them in files."""
    folder = WORK / "own"
    (folder / "importlib").mkdir(parents=True)
    versions = {name: pin["version"] for name, pin in pinned["libraries"].items()}
    text = (HERE / "metadata.py").read_text("utf-8") + f"\nVERSIONS.update({versions})\n"
    (folder / "importlib/metadata.py").write_text(text, "utf-8")
    return folder


if __name__ == "__main__":
    main()
