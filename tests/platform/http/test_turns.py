"""Large pieces of many streams are relayed a few a turn, and all of them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from headrace.platform.http.response import SMALL_BYTES, TURN_BYTES, Response
from headrace.platform.http.turns import BYTES_A_TURN, Turns

STREAMS = 40
SIZE = 10 * TURN_BYTES + 77


class Source:
    """A connection that gives all it has at once."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.paused = False
        self.aborted = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def restart_clock(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def fill(response: Response, data: bytes) -> None:
    response.parts.append(data)
    response.unread += len(data)
    if response.sink is not None:
        response.pour()


def body(number: int) -> bytes:
    return b"".join(b"%d:%06d;" % (number, n) for n in range(SIZE // 8))


async def relayed(response: Response, got: list[bytes], per_turn: Callable[[int], None]) -> bool:
    def sink(chunk: bytes) -> bool:
        got.append(chunk)
        per_turn(len(chunk))
        return False

    return await response.relay(sink)


async def test_a_turn_has_its_bound_and_nothing_is_lost() -> None:
    turns, spent, most = Turns(), 0, 0

    def count(size: int) -> None:
        nonlocal spent
        spent += size

    def begin() -> None:
        nonlocal spent, most
        most, spent = max(most, spent), 0
        loop.call_soon(begin)

    loop = asyncio.get_running_loop()
    sources = [Source(turns) for _ in range(STREAMS)]
    responses = [Response(source) for source in sources]
    got: list[list[bytes]] = [[] for _ in responses]
    tasks = [
        loop.create_task(relayed(response, chunks, count))
        for response, chunks in zip(responses, got, strict=True)
    ]
    await asyncio.sleep(0)
    begin()
    for number, response in enumerate(responses):
        fill(response, body(number))
    assert turns.wait_s() > 0
    assert sum(source.paused for source in sources) > STREAMS // 2
    for response in responses:  # their ends have come, too
        response.finish()
        response.wake()
    assert all(await asyncio.gather(*tasks))
    assert [b"".join(chunks) for chunks in got] == [body(n) for n in range(STREAMS)]
    assert max(map(len, got[0])) <= TURN_BYTES
    assert 0 < most <= 2 * BYTES_A_TURN + TURN_BYTES
    assert turns.wait_s() == 0


async def test_small_pieces_do_not_stand_in_line() -> None:
    turns = Turns()
    busy, quick = Response(Source(turns)), Response(Source(turns))
    got: tuple[list[bytes], list[bytes]] = ([], [])
    tasks = [
        asyncio.create_task(relayed(response, chunks, lambda _: None))
        for response, chunks in zip((busy, quick), got, strict=True)
    ]
    await asyncio.sleep(0)
    fill(busy, body(1))
    fill(quick, b"x" * SMALL_BYTES)
    assert got[1] == [b"x" * SMALL_BYTES]
    assert len(b"".join(got[0])) < SIZE
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert turns.wait_s() == 0, "whose reader has gone leaves the line"


async def test_a_reader_that_has_enough_keeps_the_rest() -> None:
    source = Source(Turns())
    response = Response(source)
    first: list[bytes] = []

    def enough(chunk: bytes) -> bool:
        first.append(chunk)
        return True

    task = asyncio.create_task(response.relay(enough))
    await asyncio.sleep(0)
    fill(response, body(3))
    assert await task is False
    rest: list[bytes] = []
    task = asyncio.create_task(relayed(response, rest, lambda _: None))
    await asyncio.sleep(0)
    response.finish()
    response.wake()
    assert await task is True
    assert b"".join(first + rest) == body(3)
    assert not source.aborted
