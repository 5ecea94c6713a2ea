"""Lines of text to a file descriptor that other processes write to as well."""

from __future__ import annotations

import os
from collections.abc import Iterable

WHOLE_BYTES = 4096
"""What a pipe takes in one piece (PIPE_BUF of Linux): nobody else's line gets in between."""


def write_lines(fd: int, lines: Iterable[bytes]) -> None:
    """Each line ended by a line feed. Few writes, none that could be cut by another's. Blocks;
    raises OSError."""
    held = b""
    for line in lines:
        if held and len(held) + len(line) + 1 > WHOLE_BYTES:
            _write(fd, held)
            held = b""
        held += line + b"\n"
    if held:
        _write(fd, held)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
