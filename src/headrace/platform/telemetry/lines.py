"""Lines of text to a file descriptor that other processes write to as well."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

PIPE_BYTES = 4096
"""What a pipe takes in one piece (PIPE_BUF of Linux): nobody else's line gets in between."""
FILE_BYTES = 64 * 1024
"""A file takes any number in one piece. Each write lets other threads run, and waits for them."""


def write_lines(fd: int, lines: Iterable[bytes]) -> None:
    """Each line ended by a line feed. Few writes, none that could be cut by another's. Blocks;
    raises OSError."""
    most = FILE_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else PIPE_BYTES
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and size + len(line) + 1 > most:
            _write(fd, b"".join(held))
            held.clear()
            size = 0
        held += (line, b"\n")
        size += len(line) + 1
    if held:
        _write(fd, b"".join(held))


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
