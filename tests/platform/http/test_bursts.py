"""While load is shed requests are taken several at a time: none is lost for it, and none waits for
long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop
from server_lab import Served, serving, statuses, until

from headrace.platform.http import bursts

Run = Callable[[Coroutine[Any, Any, None]], None]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
REQUEST = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken because its time is over."""
    monkeypatch.setattr(bursts, "BURST_S", 60.0)


@asynccontextmanager
async def held(count: int) -> AsyncIterator[tuple[Served, list[Line]]]:
    """Connections, each of which has sent a request that waits."""
    async with serving() as served:
        lines = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(count)]
        await until(lambda: len(served.server.connections) == count)
        served.server.shed_by(lambda _: None)
        for number, (_, writer) in enumerate(lines):
            writer.write(REQUEST % number)
            await all_wait(served, number + 1)
        assert served.seen == []
        yield served, lines
        for _, writer in lines:
            writer.close()


def waiting(served: Served) -> int:
    return 0 if served.server.bursts is None else len(served.server.bursts)


async def all_wait(served: Served, count: int) -> None:
    await until(lambda: waiting(served) == count)


async def answered(lines: list[Line]) -> None:
    for reader, _ in lines:
        assert statuses(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)) == [200]


@on_both_loops
def test_they_are_taken_in_their_order_when_the_time_is_over(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bursts, "BURST_S", 0.3)

    async def scene() -> None:
        async with held(4) as (served, lines):
            await answered(lines)
            assert [exchange.target for exchange in served.seen] == [b"/0", b"/1", b"/2", b"/3"]

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("patient")
def test_whoever_sends_more_is_waited_for_no_longer(run: Run) -> None:
    async def scene() -> None:
        async with held(3) as (served, lines):
            lines[1][1].write(REQUEST % 7)
            await answered(lines)
            await answered(lines[1:2])
            targets = [exchange.target for exchange in served.seen]
            assert sorted(targets) == [b"/0", b"/1", b"/2", b"/7"]
            assert targets.index(b"/1") < targets.index(b"/7")

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("patient")
def test_whoever_asks_whether_it_lives_does_not_wait(run: Run) -> None:
    async def scene() -> None:
        async with held(2) as (served, lines):
            line = await asyncio.open_connection("127.0.0.1", served.port)
            line[1].write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            await answered([line])
            line[1].close()
            assert [exchange.target for exchange in served.seen] == [b"/healthz"]
            assert waiting(served) == 2
            served.server.shed_by(None)
            await answered(lines)

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("patient")
def test_a_request_that_comes_in_pieces(run: Run) -> None:
    async def scene() -> None:
        async with held(0) as (served, _):
            line = await asyncio.open_connection("127.0.0.1", served.port)
            request = REQUEST % 1
            for at in range(0, len(request), 9):
                line[1].write(request[at : at + 9])
                await asyncio.sleep(0.005)
            await answered([line])
            line[1].close()
            assert [(one.target, one.body) for one in served.seen] == [(b"/1", b"hello")]

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("way", ["shedding ends", "draining begins"])
def test_nothing_that_waits_is_lost(run: Run, way: str) -> None:
    async def scene() -> None:
        async with held(3) as (served, lines):
            if way == "shedding ends":
                served.server.shed_by(None)
            else:
                await served.server.drain(20.0)
            await answered(lines)
            assert len(served.seen) == 3

    run(scene())


@on_both_loops
@pytest.mark.usefixtures("patient")
def test_a_client_that_leaves_meanwhile_is_passed_over(run: Run) -> None:
    async def scene() -> None:
        async with held(3) as (served, lines):
            lines[1][1].transport.abort()
            await until(lambda: len(served.server.connections) == 2)
            served.server.shed_by(None)
            await answered([lines[0], lines[2]])
            assert [exchange.target for exchange in served.seen] == [b"/0", b"/2"]

    run(scene())
