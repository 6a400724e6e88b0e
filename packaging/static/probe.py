"""A test program that uses the standard library and the frozen libraries, and prints the results as JSON.

A test freezes it in place of zosstorage, and compares its output with that of the Python that runs the tests.
"""

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
    """Return a digest by each algorithm that every Python has; for SHAKE, the caller chooses the length."""
    found = {name: hashlib.new(name, b"data") for name in sorted(hashlib.algorithms_guaranteed)}
    return {name: digest.hexdigest(*([9] if "shake" in name else [])) for name, digest in found.items()}


def select_pipe() -> list[str]:
    read, write = os.pipe()
    os.write(write, b"x")
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ, "pipe")
        return [key.data for key, _ in selector.select(9)]


def run_commands() -> list[object]:
    argv = ["/bin/sh", "-c", "cat; echo error >&2; exit 3"]
    done = subprocess.run(argv, input="input", capture_output=True, text=True, timeout=9, check=False)
    try:
        subprocess.run(["/bin/sleep", "9"], timeout=0.1, check=True)
    except subprocess.TimeoutExpired as error:
        return [done.returncode, done.stdout, done.stderr, error.cmd]
    return []


def convert() -> list[object]:
    converter = make_converter(forbid_extra_keys=True)
    part = converter.loads('{"name": "a", "sizes": [1, 2]}', Part)
    return [asdict(part), converter.dumps(part)]


def script() -> None:
    file = hashlib.file_digest(io.BytesIO(b"data"), "sha256").hexdigest()
    print(json.dumps({**digests(), "file": file, "rest": [select_pipe(), run_commands(), convert()]}))
