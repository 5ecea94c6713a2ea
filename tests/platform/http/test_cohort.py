"""Requests that come together take each step together."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import Any

import pytest
import uvloop
from server_lab import PATIENCE_S, Served, read_all, serving, statuses, until

from headrace.platform.cohort import LEAST, Cohort, others_first
from headrace.platform.http.exchange import Exchange

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
REQUEST = b"POST /%d HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nhi"
Steps = list[tuple[str, bytes]]


async def _asked_together(count: int, turns: int = 2) -> tuple[Steps, list[bool]]:
    """`count` requests, each on a connection that is open before; the steps in the order in which
    they were begun, and who was in company. All of that `turns` times on the same connections."""
    steps: Steps = []
    company: list[bool] = []

    async def handle(exchange: Exchange) -> None:
        steps.append(("first", exchange.target))
        company.append(exchange.in_company)
        if exchange.in_company:
            await others_first()
        steps.append(("second", exchange.target))
        exchange.respond(200, b"", b"yes")

    async with serving(handle) as served:
        opened = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(count)]
        await until(lambda: len(served.server.connections) == count)
        for _ in range(turns):
            for number, (_, writer) in enumerate(opened):
                os.write(_file_of(writer), REQUEST % number)
            _all_have_come(served)  # it cannot read before this loop goes on
            for reader, _ in opened:
                answer = await asyncio.wait_for(reader.readuntil(b"yes"), PATIENCE_S)
                assert statuses(answer) == [200]
        for _, writer in opened:
            writer.close()
    return steps, company


def _file_of(transport: Any) -> int:
    return int(transport.get_extra_info("socket").fileno())


def _all_have_come(served: Served) -> None:
    """On a busy machine even the way to itself takes a while, for one longer than for another."""
    for connection in served.server.connections:
        line = select.poll()
        line.register(_file_of(connection._transport), select.POLLIN)
        assert line.poll(PATIENCE_S * 1000)


@pytest.mark.parametrize("loop", LOOPS)
def test_those_who_came_together_begin_each_step_together(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        steps, company = runner.run(_asked_together(20))
    assert company == [True] * 40
    for turn in (steps[:40], steps[40:]):
        assert [step for step, _ in turn] == ["first"] * 20 + ["second"] * 20
        assert [who for _, who in turn[:20]] == [who for _, who in turn[20:]]


@pytest.mark.parametrize("loop", LOOPS)
def test_few_are_no_company(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        steps, company = runner.run(_asked_together(LEAST - 1))
    assert company == [False] * 2 * (LEAST - 1)
    assert [step for step, _ in steps] == ["first", "second"] * 2 * (LEAST - 1)


async def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    order: list[bytes] = []

    async def handle(exchange: Exchange) -> None:
        if exchange.in_company:
            await others_first()
        order.append(exchange.target)
        exchange.respond(200, b"", b"")

    async with serving(handle) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"".join(REQUEST % number for number in range(6)))
        assert statuses(await read_all(reader)) == [200] * 6
        writer.close()
    assert order == [b"/%d" % number for number in range(6)]


def test_who_comes_after_a_look_is_of_the_next_cohort() -> None:
    cohort = Cohort()
    sizes = []
    for arrivals in (LEAST, 0, 1, LEAST - 1, LEAST):
        for _ in range(arrivals):
            cohort.join()
        sizes.append(cohort.is_large)
    assert sizes == [True, True, False, False, True]


async def test_a_step_may_be_left_before_it_begins() -> None:
    begun: list[int] = []

    async def steps(number: int) -> None:
        await others_first()
        begun.append(number)

    tasks = [asyncio.create_task(steps(number)) for number in range(3)]
    asyncio.get_running_loop().call_soon(tasks[1].cancel)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert begun == [0, 2]
    assert isinstance(outcomes[1], asyncio.CancelledError)
