"""T17: a thousand equal cold requests are one upstream call, and at most two if the client that
came first is killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos.pairs import OPENAI
from chaos.wire import Answer, request_bytes
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

CLIENTS = 1_000
PATIENCE_S = 120.0
CONFIG = """
backends:
  east: {{provider: openai, url: "{east}/v1", priced_as: openai/gpt-4o}}
  west: {{provider: openai, url: "{west}/v1", priced_as: openai/gpt-4o}}
models:
  pool:
    pools: [[east, west]]
    timeouts: {{first_token_s: 30, whole_s: 30, idle_s: 30}}
  cached:
    pools: [[east, west]]
    cache: {{answers: exact, wait_s: 60}}
    timeouts: {{first_token_s: 30, whole_s: 30, idle_s: 30}}
  tiers:
    pools: [[east], [west]]
    timeouts: {{first_token_s: 30, whole_s: 30, idle_s: 30}}
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
"""
REGIONS = ("east", "west")
ALL_IN_S = 5.0
"""How long the answer takes: by then all have asked."""


@pytest.fixture
def regions() -> Iterator[list[ScriptedThread]]:
    with scripted_thread() as east, scripted_thread() as west:
        yield [east, west]


@pytest.fixture
def gateway(regions: list[ScriptedThread], tmp_path: Path) -> Iterator[Gateway]:
    urls = {name: region.url for name, region in zip(REGIONS, regions, strict=True)}
    with running_gateway(CONFIG.format(**urls), tmp_path) as running:
        yield running


class Client:
    """One connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def ask(self, gateway: Gateway, *, stream: bool, model: str = "pool") -> None:
        """What asks the cache has no fixed sampling, by which it would be shared before that."""
        fixed: dict[str, Any] = {} if model == "cached" else {"seed": 7}
        self._writer.write(request_bytes(gateway, OPENAI, stream=stream, model=model, **fixed))

    async def answer(self) -> Answer:
        return Answer(await asyncio.wait_for(self._reader.read(-1), PATIENCE_S))

    def kill(self) -> None:
        """A reset, as of a process that was killed."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.close()


@asynccontextmanager
async def crowd(gateway: Gateway) -> AsyncIterator[list[Client]]:
    """Connected, and silent yet."""
    clients, writers = [], []
    for _ in range(CLIENTS):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        clients.append(Client(reader, writer))
        writers.append(writer)
    yield clients
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def first_seen(regions: list[ScriptedThread]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not any(region.seen for region in regions):
        assert time.monotonic() < until, "nobody asked"
        time.sleep(0.02)


def calls_of(regions: list[ScriptedThread]) -> int:
    return sum(len(region.seen) for region in regions)


def check(answers: list[Answer], stream: bool) -> None:
    """All are whole and say the same."""
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    if stream:
        assert answers[0].events[-1] == b"[DONE]"
        assert answers[0].text
    else:
        assert json.loads(answers[0].body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "stream", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["whole", "stream"]
)
async def test_a_stampede_is_one_call(
    gateway: Gateway, regions: list[ScriptedThread], stream: bool
) -> None:
    for region in regions:
        region.always(ttft_ms=ALL_IN_S * 1000)
    async with crowd(gateway) as clients:
        for client in clients:
            client.ask(gateway, stream=stream)
        answers = await asyncio.gather(*(client.answer() for client in clients))
    check(answers, stream)
    assert calls_of(regions) == 1
    ids = {answer.header("x-request-id") or "" for answer in answers}
    assert len(ids) == CLIENTS
    found = settled(gateway.folder / ".headrace", ids)
    assert sum(len(found[call].intents) for call in ids) == 1
    costs = [found[call].settlements[0].cost_microusd for call in ids]
    assert sum(bool(cost) for cost in costs) == 1  # one of them paid for it


@pytest.mark.parametrize(
    ("model", "stream"),
    [
        ("pool", False),
        ("cached", False),
        pytest.param("pool", True, marks=pytest.mark.soak),
        pytest.param("cached", True, marks=pytest.mark.soak),
    ],
)
async def test_the_first_client_is_killed(
    gateway: Gateway, regions: list[ScriptedThread], model: str, stream: bool
) -> None:
    for region in regions:
        region.always(ttft_ms=ALL_IN_S * 1000)
    async with crowd(gateway) as clients:
        clients[0].ask(gateway, stream=stream, model=model)
        await asyncio.to_thread(first_seen, regions)
        for client in clients[1:]:
            client.ask(gateway, stream=stream, model=model)
        await asyncio.sleep(1.0)
        clients[0].kill()
        answers = await asyncio.gather(*(client.answer() for client in clients[1:]))
    check(answers, stream)
    assert 1 <= calls_of(regions) <= 2


async def test_the_upstream_of_the_first_is_killed(
    gateway: Gateway, regions: list[ScriptedThread]
) -> None:
    """The one call is made again elsewhere, for all of them."""
    east, west = regions
    east.always(head_ms=ALL_IN_S * 1000, fault={"kind": "cut", "after": 0, "how": "rst"})
    async with crowd(gateway) as clients:
        for client in clients:
            client.ask(gateway, stream=True, model="tiers")
        answers = await asyncio.gather(*(client.answer() for client in clients))
    check(answers, stream=True)
    assert (len(east.seen), len(west.seen)) == (1, 1)
