"""A stream ends when its reader's session does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from headrace.console.page import Visit
from headrace.gateway.administration.faults import Denied

PROVED_EVERY_S = 15.0
GONE = "event: gone\ndata: 1\n\n"
"""The page signs in again."""


async def while_signed_in(
    events: AsyncIterator[str], visit: Callable[[], Awaitable[Visit | None]]
) -> AsyncIterator[str]:
    """The events, for as long as the reader can still prove who they are."""
    proved = time.monotonic()
    async for event in events:
        if time.monotonic() - proved > PROVED_EVERY_S:
            try:
                known = await visit()
            except Denied:
                known = None
            if known is None:
                yield GONE
                return
            proved = time.monotonic()
        yield event
