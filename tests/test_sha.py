import hashlib
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


def test_openssl_is_not_loaded():
    seen = "import sys; from zosstorage import sha; sys.exit('_hashlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", seen], check=False).returncode == 0


def test_a_python_without_modules_of_its_own_for_it_has_hashlib():
    assert subprocess.run([sys.executable, "-c", BLOCKED], check=False).returncode == 0
