"""Offers of another protocol that the server takes up: WebSocket's (RFC 6455, section 4.2.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence


class Taken(asyncio.Protocol):
    """What speaks on a connection once HTTP has ended there. `on_lost` is told its end."""

    on_lost: Callable[[Exception | None], None]


def offers_websocket(method: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """`headers` with their names in lower case. What else a handshake needs, who takes it up
    checks."""
    offered = [value.strip().lower() for name, value in headers if name == b"upgrade"]
    bodies = (b"content-length", b"transfer-encoding")
    return (
        method == b"GET"
        and offered == [b"websocket"]
        and not any(name in bodies for name, _ in headers)
    )
