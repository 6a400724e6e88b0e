"""The interpreter: CPython from source, as one static library for musl, and a python of it to compile bytecode with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# Modules in C that neither the program nor what it imports has a use for: no compression, no network protocols,
# no bindings to libraries that would have to be built as well.
LEFT_OUT = (
    *("_bz2", "_ctypes", "_ctypes_test", "_curses", "_curses_panel", "_dbm", "_decimal", "_elementtree", "_gdbm"),
    *("_hashlib", "_interpchannels", "_interpqueues", "_interpreters", "_lsprof", "_lzma", "_multiprocessing"),
    *("_posixshmem", "_scproxy", "_sqlite3", "_ssl", "_statistics", "_tkinter", "_uuid", "_zoneinfo", "cmath"),
    *("pyexpat", "readline", "syslog", "zlib", "_csv", "_multibytecodec"),
    *("_codecs_cn", "_codecs_hk", "_codecs_iso2022", "_codecs_jp", "_codecs_kr", "_codecs_tw"),
    *("_testbuffer", "_testcapi", "_testclinic", "_testclinic_limited", "_testexternalinspection"),
    *("_testimportmultiple", "_testinternalcapi", "_testlimitedcapi", "_testmultiphase", "_testsinglephase"),
    *("_xxtestfuzz", "xxlimited", "xxlimited_35", "xxsubtype"),
)
CFLAGS = (
    "-O2 -g0 -fno-sanitize=undefined -ffunction-sections -fdata-sections -fwrapv -Wno-date-time "
    "-Wno-error -Wno-unused-command-line-argument"
)
# Threads get the stack that the header of the program names; musl's own 128 KiB end a deep recursion with a crash.
# Stripped everywhere: the compiler builds another musl for programs that are not.
LDFLAGS = "-static -s -Wl,-z,stack-size=8388608"


def environment(zig: Path, cache: Path, epoch: int) -> dict[str, str]:
    """Variables for every run of the compiler: its cache, which holds musl, and what __DATE__ and __TIME__ tell.

    A cache that was moved is built anew: `cache` is where it stays.
    """
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",  # not what else somebody has: configure takes what it finds
        "HOME": str(cache),
        "LC_ALL": "C.UTF-8",
        "ZIG_GLOBAL_CACHE_DIR": str(cache),
        "ZIG_LOCAL_CACHE_DIR": str(cache),
        "SOURCE_DATE_EPOCH": str(epoch),
        "CC": f"{zig} cc -target x86_64-linux-musl",
        "AR": f"{zig} ar",
        "RANLIB": f"{zig} ranlib",
    }


def build(source: Path, env: dict[str, str]) -> None:
    """Configure and make, in the folder of the source."""
    settings = {
        "CFLAGS": CFLAGS,
        "LDFLAGS": LDFLAGS,
        "LINKFORSHARED": " ",
        "MODULE_BUILDTYPE": "static",
        "ac_cv_file__dev_ptmx": "yes",
        "ac_cv_file__dev_ptc": "no",
        **{f"py_cv_module_{name}": "n/a" for name in LEFT_OUT},
    }
    flags = [
        *("--prefix=/usr", "--disable-shared", "--disable-test-modules", "--without-ensurepip", "--without-readline"),
        *("--with-pkg-config=no", "--without-doc-strings", "--disable-ipv6"),
    ]
    run(["./configure", *flags, *(f"{key}={value}" for key, value in settings.items())], source, env)
    run(["make", f"-j{os.cpu_count()}", "libpython3.13.a", "python"], source, env)


def run(argv: list[str], folder: Path, env: dict[str, str]) -> None:
    """Run a tool in a folder; what it says is kept there, and shown where it fails."""
    log = folder / f"{Path(argv[0]).name}.log"
    with log.open("wb") as out:
        done = subprocess.run(argv, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-40:])
        raise SystemExit(f"{' '.join(argv[:2])} failed in {folder}:\n{tail}")
