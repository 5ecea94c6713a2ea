"""What the server grants a client, and how a client can overstep it."""

from __future__ import annotations

import enum

from msgspec import Struct


class Violation(enum.Enum):
    """What a client did that no handler can answer."""

    MALFORMED = 400
    BODY_TOO_LARGE = 413
    EXPECTATION = 417
    HEADERS_TOO_LARGE = 431
    TOO_SLOW = 408
    BUSY = 503
    """One connection, or one body, more than the server holds at once."""
    DRAINING = (503, "draining")
    """It is no mistake of the client's: the server takes no further request."""

    def __init__(self, status: int, *_: str) -> None:
        self.status = status


class ServerLimits(Struct, frozen=True):
    """Bytes, seconds and counts that one server grants."""

    body_bytes: int = 20 * 1024 * 1024
    header_bytes: int = 32 * 1024
    header_timeout_s: float = 10.0
    body_timeout_s: float = 60.0
    keep_alive_s: float = 75.0
    max_connections: int = 10_000
    body_bytes_in_total: int = 1024 * 1024 * 1024
    """Bodies of all connections held at once, until they are answered."""
