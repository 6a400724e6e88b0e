import hashlib
import os
import subprocess
import sys

from zosstorage.sha import sha256

BLOCKED = """
import hashlib, sys
for name in ("_sha2", "_sha256"):
    sys.modules[name] = None
from zosstorage import sha
assert sha.sha256 is hashlib.sha256
"""


def test_it_is_sha_256():
    ours, theirs = sha256(b"zos"), hashlib.sha256(b"zos")
    ours.update(bytes(100_000))
    theirs.update(bytes(100_000))
    assert ours.hexdigest() == theirs.hexdigest()


def status(program):
    # Coverage would measure the child too, and it loads hashlib.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return subprocess.run([sys.executable, "-c", program], env=env, check=False).returncode


def test_openssl_is_not_loaded():
    assert status("import sys; from zosstorage import sha; sys.exit('_hashlib' in sys.modules)") == 0


def test_a_python_without_modules_of_its_own_for_it_has_hashlib():
    assert status(BLOCKED) == 0
