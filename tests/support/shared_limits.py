"""Shared counters on a real server, as one worker has them."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.data.redis_link import RedisAddress, RedisLink
from headrace.gateway.limits.shared import SharedCounters
from support.valkey_process import ValkeyProcess


@asynccontextmanager
async def shared_counters(
    valkey: ValkeyProcess,
    prefix: str,
    *,
    by_own_clock: bool = False,
    timeout_s: float = 5.0,
    made: type[SharedCounters] = SharedCounters,
) -> AsyncIterator[SharedCounters]:
    """Connected, until the block is left."""
    address = RedisAddress.of(valkey.url, None, timeout_s)
    link = RedisLink(address, lambda: (None, None), random.Random(1))
    counters = made(link, prefix, secrets.token_hex(8), by_own_clock=by_own_clock)
    up = asyncio.Event()

    async def ready() -> None:
        up.set()

    link.when_up(ready)
    tasks = [asyncio.create_task(link.run()), asyncio.create_task(counters.run())]
    try:
        async with asyncio.timeout(20):
            await up.wait()
        yield counters
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
