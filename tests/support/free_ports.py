"""Ports for servers that must know theirs before they begin, or come back to it."""

from __future__ import annotations

import contextlib
import secrets
import socket

FIRST, COUNT = 20_000, 12_768


def free_port() -> int:
    """Below those that Linux gives to whoever asks for any: it stays free until it is taken, and
    while its server is away."""
    while True:
        port = FIRST + secrets.randbelow(COUNT)  # others count on the order of `random`
        with socket.socket() as taken, contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", port))
            return port
