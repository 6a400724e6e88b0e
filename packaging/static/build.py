"""Build dist/zosstorage-VERSION-x86_64-linux-musl: one file, statically linked, with the interpreter and all modules.

What takes long is kept under .cache/static, by the digest of all it is made of.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from pathlib import Path
from typing import Any

import fetch
import interpreter
import program

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
CACHE = TOP / ".cache/static"


def main() -> None:
    """Fetch, build what is not there yet, freeze, link."""
    pins = tomllib.loads((HERE / "pins.toml").read_text("utf-8"))
    CACHE.mkdir(parents=True, exist_ok=True)
    python = pins["python"]["version"]
    zig = fetch.wheels(pins["compiler"], python, CACHE / f"compiler-{_key(pins['compiler'])}") / "ziglang/zig"
    site = fetch.wheels(pins["libraries"], python, CACHE / f"libraries-{_key(pins['libraries'])}")
    env = interpreter.environment(zig, CACHE / f"musl-{_key(pins['compiler'])}", pins["python"]["epoch"])
    print(_link(_interpreter(pins, env), site, pins, env))


def _interpreter(pins: dict[str, Any], env: dict[str, str]) -> Path:
    """The folder of the interpreter; built when none was built of these very parts."""
    parts = [pins["python"], pins["compiler"], (HERE / "interpreter.py").read_text()]
    parts += [(path.name, path.read_text()) for path in sorted((HERE / "patches").iterdir())]
    home = CACHE / f"python-{_key(parts)}"
    if not home.exists():
        archive = fetch.python_source(pins["python"], CACHE)
        staging = home.with_suffix(".new")
        shutil.rmtree(staging, ignore_errors=True)
        (staging / "source").mkdir(parents=True)
        source = fetch.unpacked(archive, HERE / "patches", staging / "source")
        source.rename(staging / "python")
        interpreter.build(staging / "python", env)
        staging.rename(home)
    return home / "python"


def _link(home: Path, site: Path, pins: dict[str, Any], env: dict[str, str]) -> Path:
    """Freeze the modules and link all: in a folder of its own, so that no other path gets into the file."""
    work = TOP / "build/static"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    version = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    target = TOP / f"dist/zosstorage-{version}-x86_64-linux-musl"
    target.parent.mkdir(exist_ok=True)
    program.freeze(home, HERE / "freeze.py", work, (_own_metadata(pins, work), TOP, site))
    shutil.copy(HERE / "main.c", work)
    program.link(home, work, env)
    (work / "zosstorage").replace(target)
    return target


def _own_metadata(pins: dict[str, Any], work: Path) -> Path:
    """A folder with an importlib.metadata that knows the libraries frozen in; Python's own looks for them in files."""
    folder = work / "own"
    (folder / "importlib").mkdir(parents=True)
    versions = {name: pin["version"] for name, pin in pins["libraries"].items()}
    text = (HERE / "metadata.py").read_text("utf-8") + f"\nVERSIONS.update({versions})\n"
    (folder / "importlib/metadata.py").write_text(text, "utf-8")
    return folder


def _key(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
