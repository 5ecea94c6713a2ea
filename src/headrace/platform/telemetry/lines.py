"""Lines of text to a file descriptor that other processes write to as well."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

PIPE_BYTES = 4096
"""What a pipe takes in one piece (PIPE_BUF of Linux): nobody else's line gets in between."""
MOST_PIECES = 512
"""In one write to a file. Linux takes twice as many (IOV_MAX)."""


def write_lines(fd: int, pieces: Sequence[bytes]) -> None:
    """Pieces of lines, each ended by a line feed. Few writes, for each lets other threads run and
    waits for them; none that could be cut by another's. Blocks; raises OSError."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        for first in range(0, len(pieces), MOST_PIECES):
            _write_to_file(fd, pieces[first : first + MOST_PIECES])
    else:
        _write_to_pipe(fd, b"".join(pieces))


def _write_to_file(fd: int, pieces: Sequence[bytes]) -> None:
    """As they are, in one write: a file takes any number of bytes."""
    done, size = os.writev(fd, pieces), sum(map(len, pieces))
    if done < size:
        _write(fd, b"".join(pieces)[done:])


def _write_to_pipe(fd: int, text: bytes) -> None:
    at = 0
    while at < len(text):
        end = len(text)
        if end - at > PIPE_BYTES:  # a line that is longer goes by itself
            end = (text.rfind(b"\n", at, at + PIPE_BYTES) + 1) or (text.index(b"\n", at) + 1)
        _write(fd, text[at:end])
        at = end


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
