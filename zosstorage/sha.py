"""SHA-256 without OpenSSL: loading its library takes a sixth of a rerun, and what is hashed here is small."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    # CPython's own code, by the names it has in 3.12 and later, and before; a Python without either has hashlib.
    for _name in ("_sha2", "_sha256", "hashlib"):
        try:
            sha256 = importlib.import_module(_name).sha256
            break
        except (ImportError, AttributeError):
            continue

__all__ = ["sha256"]
