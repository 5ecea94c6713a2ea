"""One stream of Redis or Valkey that workers tell each other things by
(https://valkey.io/topics/streams-intro/); a message in a channel says that there is something to
read. What the things are is for who reads and tells: answers, or what was found out about them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from headrace.data.redis_link import Command, RedisAway, RedisLink

log = logging.getLogger("headrace.cache")

LOOK_AGAIN_S = 5.0
"""So often the stream is read without a message: one may be lost."""

Work = Callable[[], Awaitable[None]]
"""May raise RedisAway: it is done again when the server is back."""


class RedisStream:
    """One worker's end of it. `name` is the stream's; `read_to` the last entry that was taken."""

    def __init__(self, link: RedisLink, name: str) -> None:
        self._link = link
        self.name = name
        self.read_to = b"0-0"
        self._channel = f"{name}:news"
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        link.listen(self._channel, lambda _: self._news.set())
        link.when_up(self._wake)

    def look(self) -> None:
        """There may be something to read."""
        self._news.set()

    def tell(self) -> None:
        """There is something to tell."""
        self._told.set()

    def announced(self) -> Command:
        """To be sent behind what was added: others read it."""
        return "PUBLISH", self._channel, ""

    async def run(self, read: Work, tell: Work) -> None:
        """Does both whenever there is cause to, until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read_on(read), name=f"from {self.name}")
            tasks.create_task(self._tell_on(tell), name=f"to {self.name}")

    async def unread(self, most: int) -> AsyncIterator[Sequence[Any]]:
        """What stands behind `read_to`, at most so many entries at once; whoever takes them moves
        it on. Raises RedisAway."""
        while True:
            after = b"(" + self.read_to
            found: Command = ("XRANGE", self.name, after, "+", "COUNT", most)
            (entries,) = checked(await self._link.ask([found]))
            if not entries:
                return
            yield entries

    async def _wake(self) -> None:
        self.look()
        self.tell()

    async def _read_on(self, read: Work) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            if self._link.up:
                await self._tried(read)

    async def _tell_on(self, tell: Work) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            await self._tried(tell)

    async def _tried(self, work: Work) -> None:
        try:
            await work()
        except RedisAway as error:  # `_wake` comes back to it
            log.debug("redis is waited for", extra={"detail": self.name, "cause": str(error)})
        except Exception:
            log.exception("a fault of our own")


def checked(replies: list[Any]) -> list[Any]:
    """Raises RedisAway for an error of the server."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise RedisAway(f"{type(reply).__name__}: {reply}")
    return replies
