"""Files of the store's folder, which is nobody's but the gateway's: also where somebody made the
folder beforehand, open to all. Files that others check by, such as the audit log's public key, are
not made here."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

MODE = 0o600


def opener(path: str, flags: int) -> int:
    """For `open`: what it makes is readable by this user alone."""
    return os.open(path, flags, MODE)


def replace(path: Path, content: bytes) -> None:
    """Whoever reads meanwhile finds the old content or the new one. Raises OSError."""
    new = path.with_name(f"{path.name}.new")
    with open(new, "wb", opener=opener) as file:
        file.write(content)
    new.replace(path)


def tighten(paths: Iterable[Path]) -> None:
    """What an older version made open to others is this user's alone from now on. What is not
    there, no file or another user's stays as it is."""
    for path in paths:
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                mode = os.fstat(fd).st_mode
                if stat.S_ISREG(mode) and mode & 0o077:
                    os.fchmod(fd, MODE)
            finally:
                os.close(fd)
