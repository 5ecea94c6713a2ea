"""What is said of kept answers, among workers of several hosts: over a real server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from headrace.data.feedback_file import Claim, FeedbackFile, Row
from headrace.data.redis_link import RedisAddress, RedisLink
from headrace.gateway.cache.bound import Sighting
from headrace.gateway.cache.learning import Learning
from headrace.gateway.cache.redis_feedback import RedisFeedback
from support.valkey_process import ValkeyProcess, valkey_process

from .stores import until


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as server:
        yield server


def pair(number: int) -> Sighting:
    return Sighting("p", -1, b"asked %d" % number, b"kept", "same", 0.9)


class Worker:
    """One that learns, on a host with a folder of its own."""

    def __init__(self, server: ValkeyProcess, prefix: str, folder: Path) -> None:
        address = RedisAddress.of(server.url, None, 2.0)
        self.link = RedisLink(address, lambda: (None, None), Random(3))
        self.exchange = RedisFeedback(self.link, prefix)
        self.heard: list[Row] = []
        self.learning = Learning(FeedbackFile(folder), self._hear, self.exchange)

    async def _hear(self, row: Row) -> None:
        self.heard.append(row)

    def flagged(self) -> int:
        return self.learning.found_out["flag", False]


@asynccontextmanager
async def working(server: ValkeyProcess, prefix: str, folder: Path) -> AsyncIterator[Worker]:
    worker = Worker(server, prefix, folder)
    running = [asyncio.create_task(worker.link.run()), asyncio.create_task(worker.exchange.run())]
    worker.learning.start()
    try:
        yield worker
    finally:
        await worker.learning.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def test_hosts_hear_of_each_other_and_count_each_thing_once(
    valkey: ValkeyProcess, tmp_path: Path
) -> None:
    """Two workers of one host, which have a file in common, one of another, and then later ones."""
    here, there = tmp_path / "here", tmp_path / "there"
    prefix = f"{secrets.token_hex(4)}:"
    async with (
        working(valkey, prefix, here) as one,
        working(valkey, prefix, here) as beside,
        working(valkey, prefix, there) as far,
    ):
        await one.learning.find_out(pair(1), None, False, "flag")
        await far.learning.find_out(pair(2), None, False, "flag")
        await until(lambda: [w.flagged() for w in (one, beside, far)] == [2, 2, 2])
        assert far.learning.bound.opinion(pair(1), 0.5).why == "flagged"
        assert await far.learning.claim("call-12345678", "acme", False)
        await until(lambda: any(isinstance(row, Claim) for row in one.heard))
        assert await one.learning.claim("call-87654321", None, True)
        await until(lambda: sum(isinstance(row, Claim) for row in far.heard) == 1)
    async with (
        working(valkey, prefix, here) as again,
        working(valkey, prefix, tmp_path / "new") as new,
    ):
        await until(lambda: new.flagged() == 2 and again.flagged() == 2)
        await again.learning.find_out(pair(3), None, False, "flag")
        await until(lambda: new.flagged() == 3)
        assert again.flagged() == 3
        assert len([row for row in again.heard if isinstance(row, Claim)]) == 2


async def test_what_is_said_while_the_server_is_away_is_told_later(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    with valkey_process(tmp_path / "valkey") as server:
        async with (
            working(server, "x:", tmp_path / "here") as one,
            working(server, "x:", tmp_path / "there") as far,
        ):
            await until(lambda: one.link.up and far.link.up)
            server.kill()
            await until(lambda: not one.link.up and not far.link.up)
            await one.learning.find_out(pair(1), None, False, "flag")
            assert one.learning.bound.opinion(pair(1), 0.5).why == "flagged"
            server.start()
            await until(lambda: far.flagged() == 1)
