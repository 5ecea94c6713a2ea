"""Lines of text to a file descriptor that other processes write to as well."""

from __future__ import annotations

import os
import stat

PIPE_BYTES = 4096
"""What a pipe takes in one piece (PIPE_BUF of Linux): nobody else's line gets in between."""
FILE_BYTES = 64 * 1024
"""A file takes any number in one piece. Each write lets other threads run, and waits for them."""


def write_lines(fd: int, text: bytes) -> None:
    """Lines, each ended by a line feed. Few writes, none that could be cut by another's. Blocks;
    raises OSError."""
    most = FILE_BYTES if stat.S_ISREG(os.fstat(fd).st_mode) else PIPE_BYTES
    at = 0
    while at < len(text):
        end = len(text)
        if end - at > most:  # a line that is longer goes by itself
            end = (text.rfind(b"\n", at, at + most) + 1) or (text.index(b"\n", at) + 1)
        _write(fd, text[at:end])
        at = end


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
