"""Carries what workers and replicas tell each other of backends, by Redis. Off the way of a call:
a change is noted by it and sent later.

For each backend a key holds what was said last, so that newcomers know; it lives for as long as it
matters, and by what is left of its life a reader knows its age without trusting any host's clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from headrace.data.redis_link import Command, RedisAway, RedisLink
from headrace.gateway.breaker_sharing import BreakerSharing
from headrace.gateway.fleet import BackendState, Fleet
from headrace.gateway.health import Transition

log = logging.getLogger("headrace.breakers")

GATHER_S = 0.01
"""Changes within this time are sent together: a burst of 429s is one message."""
REMIND_S = 3_600.0
"""What a person took out is said again so often; see `BreakerSharing.tell_isolated`."""

Heard = Callable[[BackendState, Transition], None]


class BreakerExchange:
    """One worker's part."""

    def __init__(
        self, link: RedisLink, fleet: Fleet, prefix: str, sender: str, heard: Heard
    ) -> None:
        """`heard` is called with each change that another worker's word made here."""
        self._link = link
        self._fleet = fleet
        self._sharing = BreakerSharing(fleet, sender)
        self._key = f"{prefix}breaker:"
        self._channel = f"{prefix}breakers"
        self._on_heard = heard
        self._wake = asyncio.Event()
        self._told_refusal = False
        link.listen(self._channel, self._hear)
        link.when_up(self._catch_up)

    def changed(self, backend: BackendState, change: Transition) -> None:
        """To be told to the others. Costs the call no waiting."""
        self._sharing.changed(backend, change, time.monotonic())
        self._wake.set()

    async def run(self) -> None:
        """Sends what changed, until it is cancelled."""
        while True:
            try:
                async with asyncio.timeout(REMIND_S):
                    await self._wake.wait()
            except TimeoutError:
                self._sharing.tell_isolated(time.monotonic())
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            if self._link.up:  # else `_catch_up` sends it
                await self._send()

    async def read(self) -> None:
        """Takes over what is kept of the backends that are configured now. Raises RedisAway."""
        names = [backend.name for backend in self._fleet.all()]
        commands: list[Command] = []
        for name in names:
            commands += [("GET", self._key + name), ("PTTL", self._key + name)]
        replies = await self._link.ask(commands) if commands else []
        for text, left_ms in zip(replies[::2], replies[1::2], strict=True):
            if isinstance(text, bytes) and isinstance(left_ms, int) and left_ms > 0:
                self._take(text, left_ms)

    async def _catch_up(self) -> None:
        await self.read()
        self._sharing.tell_all(time.monotonic())
        await self._send()

    async def _send(self) -> None:
        told = self._sharing.news(time.monotonic())
        commands: list[Command] = []
        for news, text in told:
            commands.append(("SET", self._key + news.backend, text, "PX", news.kept_ms))
            commands.append(("PUBLISH", self._channel, text))
        if not commands:
            return
        try:
            replies = await self._link.ask(commands)
            refusals = [str(reply) for reply in replies if isinstance(reply, Exception)]
        except RedisAway as error:
            self._sharing.untold([news.backend for news, _ in told])
            refusals = [str(error)] if self._link.up else []
        if refusals and not self._told_refusal:
            log.warning("redis refused a breaker's state", extra={"cause": refusals[0]})
        self._told_refusal = bool(refusals)

    def _hear(self, text: bytes) -> None:
        self._take(text, None)

    def _take(self, text: bytes, left_ms: int | None) -> None:
        try:
            heard = self._sharing.heard(text, time.monotonic(), left_ms)
        except ValueError as error:
            log.warning("a message in Redis is not ours", extra={"cause": str(error)})
            return
        if heard is not None:
            self._on_heard(*heard)
        if self._sharing.behind:
            self._wake.set()
