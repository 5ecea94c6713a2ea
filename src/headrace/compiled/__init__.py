"""Steps of a call in C, made by `build.py` where there is a compiler.

`gateway/compiled_steps.py` says what they are for."""

from __future__ import annotations

import hashlib
from pathlib import Path

HERE = Path(__file__).parent


def sources() -> list[Path]:
    return sorted((*HERE.glob("*.c"), *HERE.glob("*.h")))


def digest() -> str:
    """Of the sources: by it a module tells which ones it was made of."""
    whole = hashlib.sha256()
    for path in sources():
        whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()[:16]
