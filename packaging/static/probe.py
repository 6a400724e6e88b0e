"""Uses of the library, for a test: frozen in the place of the program, it is to print what it prints in any Python."""

from __future__ import annotations

import hashlib
import io
import json
import os
import selectors
import subprocess

from attrs import asdict, field, frozen
from attrs.validators import ge
from cattrs.preconf.json import make_converter


@frozen
class Part:
    name: str
    sizes: tuple[int, ...] = field(factory=tuple)
    number: int = field(default=1, validator=ge(1))


def digests() -> dict[str, str]:
    """Of every algorithm that each Python has; a shake is as long as one wants it to be."""
    found = {name: hashlib.new(name, b"data") for name in sorted(hashlib.algorithms_guaranteed)}
    return {name: digest.hexdigest(*([9] if "shake" in name else [])) for name, digest in found.items()}


def readable() -> list[str]:
    read, write = os.pipe()
    os.write(write, b"x")
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ, "pipe")
        return [key.data for key, _ in selector.select(9)]


def commands() -> list[object]:
    argv = ["/bin/sh", "-c", "cat; echo said >&2; exit 3"]
    done = subprocess.run(argv, input="given", capture_output=True, text=True, timeout=9, check=False)
    try:
        subprocess.run(["/bin/sleep", "9"], timeout=0.1, check=True)
    except subprocess.TimeoutExpired as error:
        return [done.returncode, done.stdout, done.stderr, error.cmd]
    return []


def converted() -> list[object]:
    converter = make_converter(forbid_extra_keys=True)
    part = converter.loads('{"name": "a", "sizes": [1, 2]}', Part)
    return [asdict(part), converter.dumps(part)]


def script() -> None:
    file = hashlib.file_digest(io.BytesIO(b"data"), "sha256").hexdigest()
    print(json.dumps({**digests(), "file": file, "rest": [readable(), commands(), converted()]}))
