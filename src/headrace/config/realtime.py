"""Sessions of realtime speech. The docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from headrace.config.backends import Seconds


class RealtimePolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How long a realtime session may last, and how large its messages may be. Needs
    `pip install 'headrace[realtime]'`."""

    idle_s: Seconds = 300.0
    """A session in which neither side said anything for so long is closed."""
    session_s: Seconds = 3600.0
    """A session is closed after so long, whatever goes on in it."""
    ping_s: Seconds = 20.0
    """Both sides are pinged so often, which also keeps proxies between from closing the connection;
    a side of which nothing came for three times as long has gone."""
    message_limit_bytes: Annotated[int, Meta(ge=1024, le=256 * 1024 * 1024)] = 16 * 1024 * 1024
    """Of one message, either way, however many frames it comes in."""
