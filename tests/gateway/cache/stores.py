"""What keeps answers, one for each kind of store, to run the same tests on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Protocol

from headrace.config.sharing import AnswerCachePolicy
from headrace.data.answer_file import AnswerFile
from headrace.data.answer_table import AnswerTable
from headrace.data.postgres import Postgres
from headrace.data.redis_link import RedisAddress, RedisLink
from headrace.gateway.cache.file_shelf import FileShelf
from headrace.gateway.cache.given_again import GivenAgain
from headrace.gateway.cache.postgres_shelf import PostgresShelf
from headrace.gateway.cache.redis_shelf import RedisShelf
from headrace.platform.secrets import Secret
from support.valkey_process import ValkeyProcess

PATIENCE_S = 30.0
BOUNDS = AnswerCachePolicy()


class Store(Protocol):
    async def worker(self, *, semantic: bool = False) -> GivenAgain:
        """One that begins."""
        ...

    async def after(self, worker: GivenAgain, *, semantic: bool = False) -> GivenAgain:
        """One that begins when another has kept what it has."""
        ...

    async def close(self) -> None: ...


class FileStore:
    """What is kept is seen by the next worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workers: list[GivenAgain] = []

    async def worker(self, *, semantic: bool = False) -> GivenAgain:
        cache = GivenAgain(BOUNDS, FileShelf(AnswerFile(self._folder)))
        if semantic:
            cache.take_embeddings()
        await cache.restore(0.0)
        self._workers.append(cache)
        return cache

    async def after(self, worker: GivenAgain, *, semantic: bool = False) -> GivenAgain:
        await worker.close()
        return await self.worker(semantic=semantic)

    async def close(self) -> None:
        for worker in self._workers:
            await worker.close()


class RedisStore:
    """Each worker has a connection of its own."""

    def __init__(self, server: ValkeyProcess) -> None:
        self.server = server
        self.prefix = f"{secrets.token_hex(4)}:"
        self._open: list[Callable[[], Awaitable[None]]] = []
        self._readers: dict[GivenAgain, tuple[RedisShelf, asyncio.Task[None]]] = {}

    async def worker(
        self, *, semantic: bool = False, most_answers: int = 10_000, timeout_s: float = 2.0
    ) -> GivenAgain:
        address = RedisAddress.of(self.server.url, None, timeout_s)
        link = RedisLink(address, lambda: (None, None), Random(3))
        shelf = RedisShelf(link, self.prefix, BOUNDS.most_answers)
        cache = GivenAgain(AnswerCachePolicy(most_answers=most_answers), shelf)
        if semantic:
            cache.take_embeddings()
        linked = asyncio.create_task(link.run())
        self._readers[cache] = shelf, asyncio.create_task(shelf.run())

        async def close() -> None:
            await cache.close()
            tasks = [linked, self._readers[cache][1]]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._open.append(close)
        await until(lambda: link.up)
        return cache

    async def after(self, worker: GivenAgain, *, semantic: bool = False) -> GivenAgain:
        other = await self.worker(semantic=semantic)
        await until(lambda: len(other) >= len(worker))
        return other

    @asynccontextmanager
    async def deaf(self, worker: GivenAgain) -> AsyncIterator[None]:
        """It neither reads nor tells meanwhile."""
        shelf, running = self._readers[worker]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        yield
        self._readers[worker] = shelf, asyncio.create_task(shelf.run())

    def questions(self, worker: GivenAgain) -> set[str]:
        return {entry.question for entry in worker._entries.values()}

    def told(self) -> int:
        return int(self.server.ask("XLEN", f"{self.prefix}answers"))

    def left(self) -> list[bytes]:
        """Names of the answers that the server has."""
        names: list[bytes] = self.server.ask("KEYS", f"{self.prefix}answer:*")
        return names

    async def close(self) -> None:
        for close in self._open:
            with contextlib.suppress(Exception):
                await close()


class PostgresStore:
    """Each worker has connections of its own."""

    def __init__(self, url: Secret) -> None:
        self.url = url
        self._workers: list[GivenAgain] = []

    async def worker(self, *, semantic: bool = False) -> GivenAgain:
        tables = [AnswerTable(Postgres(self.url)) for _ in range(2)]
        shelf = PostgresShelf(*tables)
        cache = GivenAgain(BOUNDS, shelf)
        self._workers.append(cache)
        if semantic:
            cache.take_embeddings()
        # So that the first look-up is not the one that makes tables and connections.
        await until(lambda: shelf._heard is not None)
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().run_in_executor(shelf._readers, tables[0].drops)
        return cache

    async def after(self, worker: GivenAgain, *, semantic: bool = False) -> GivenAgain:
        shelf = worker._shelf
        assert isinstance(shelf, PostgresShelf)
        await until(lambda: not shelf._outbox)
        return await self.worker(semantic=semantic)

    async def close(self) -> None:
        for worker in self._workers:
            await worker.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - it is another process that is waited for
            await asyncio.sleep(0.01)
