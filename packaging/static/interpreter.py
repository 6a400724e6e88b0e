"""Build CPython from source: a static library for musl, and an executable python that compiles the bytecode."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# Extension modules that neither the program nor its imports use: compression, network protocols, and bindings to
# libraries that would have to be built too.
DISABLED_MODULES = (
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
# With musl, the program header PT_GNU_STACK sets the stack size of threads. Its default of 128 KiB is too small: a deep
# recursion crashes. -s is set for every link, because zig builds a different musl for programs that are not stripped.
LDFLAGS = "-static -s -Wl,-z,stack-size=8388608"


def environment(zig: Path, cache: Path, epoch: int) -> dict[str, str]:
    """Return the environment for every run of the compiler.

    Args:
        zig: the compiler.
        cache: folder of the compiler's cache, which holds musl; zig builds a cache again that was moved.
        epoch: seconds since 1970, the value of __DATE__ and __TIME__.
    """
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",  # configure must not find tools elsewhere
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
    """Run configure and make in the folder of the source.

    Raises:
        SystemExit: one of them fails.
    """
    settings = {
        "CFLAGS": CFLAGS,
        "LDFLAGS": LDFLAGS,
        "LINKFORSHARED": " ",
        "MODULE_BUILDTYPE": "static",
        "ac_cv_file__dev_ptmx": "yes",
        "ac_cv_file__dev_ptc": "no",
        **{f"py_cv_module_{name}": "n/a" for name in DISABLED_MODULES},
    }
    flags = [
        *("--prefix=/usr", "--disable-shared", "--disable-test-modules", "--without-ensurepip", "--without-readline"),
        *("--with-pkg-config=no", "--without-doc-strings", "--disable-ipv6"),
    ]
    run(["./configure", *flags, *(f"{key}={value}" for key, value in settings.items())], source, env)
    run(["make", f"-j{os.cpu_count()}", "libpython3.13.a", "python"], source, env)


def run(argv: list[str], folder: Path, env: dict[str, str]) -> None:
    """Run a tool in a folder; its output goes to a log file there.

    Raises:
        SystemExit: the tool fails; the message ends with the last lines of its output.
    """
    log = folder / f"{Path(argv[0]).name}.log"
    with log.open("wb") as out:
        done = subprocess.run(argv, cwd=folder, env=env, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text("utf-8", "replace").splitlines()[-40:])
        raise SystemExit(f"{' '.join(argv[:2])} failed in {folder}:\n{tail}")
