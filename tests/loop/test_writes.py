"""What the program and its tools open for writing, make, rename and remove, by strace: the contract's places alone."""

import os
import re
import subprocess

from program import TOP

CALLS = "open,openat,openat2,creat,mkdir,mkdirat,mknod,mknodat,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
CALLS += "symlink,symlinkat,link,linkat,chmod,fchmodat,chown,lchown,fchownat,truncate"
# Of the tools, not of the program: util-linux's lock, the control node of btrfs.
TOOLS = ("/run/mount", "/dev/btrfs-control", "/dev/null")
# Where mount tries in vain to keep what it saw: our own file in memory, which nobody can write.
IN_MEMORY = re.compile(r"/proc/\d+/fd/\d+(-\w{6})?")


def test_nothing_is_written_but_where_the_contract_says(machine, tmp_path):
    one = machine(2)
    for words in (["run"], ["run"], ["plan"], ["status"]):
        touched = traced(one, tmp_path / "trace", words)
        assert {str(one.run_dir / "lock")} & touched or words[0] in ("plan", "status")
        places = (one.run_dir, one.root, *(disk.device for disk in one.disks), *TOOLS)
        others = [path for path in touched if not IN_MEMORY.fullmatch(path)]
        assert [path for path in others if not path.startswith(tuple(map(str, places)))] == []


def traced(one, log, words):
    """Every path that was named to a call that writes; where the call failed, too."""
    strace = ["strace", "-f", "-qq", "-s", "4096", "-o", log, "-e", f"trace={CALLS}"]
    # This tree's program keeps bytecode, and the record of what the tests covered: neither is its own doing.
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    program = one.argv(*words)[len(one.inside()) :]
    done = subprocess.run(
        one.inside(*strace, *program), cwd=TOP, env=env | {"PYTHONDONTWRITEBYTECODE": "1"}, check=False, timeout=120
    )
    assert done.returncode == 0
    calls = [line for line in log.read_text().splitlines() if changes(line)]
    return {path for line in calls for path in re.findall(r'"((?:[^"\\]|\\.)*)"', line)}


def changes(line):
    return not re.search(r"\bopen(at|at2)?\(", line) or re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC)", line)
