"""The connection for single commands: against a real server, and one that is none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headrace.data.redis_wire import RedisWire, Refusal, packed
from support.valkey_process import ValkeyProcess, valkey_process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as started:
        yield started


@asynccontextmanager
async def opened(port: int) -> AsyncIterator[tuple[RedisWire, list[Exception]]]:
    lost: list[Exception] = []
    wire = await RedisWire.open("127.0.0.1", port, None, lost.append)
    try:
        yield wire, lost
    finally:
        wire.close()


async def test_replies_of_all_kinds_in_their_order(server: ValkeyProcess) -> None:
    async with opened(server.port) as (wire, lost):
        large = bytes(range(256)) * 10_000
        asked = [
            wire.ask(command)
            for command in (
                ("PING",),
                ("SET", "a", large),
                ("GET", "a"),
                ("GET", "nothing"),
                ("INCRBY", "n", -7),
                ("SET", "e", b""),
                ("GET", "e"),
                ("INCR", "a"),
                ("SET", "u", "gr\u00fcn"),
                ("GET", "u"),
            )
        ]
        async with asyncio.timeout(20):
            replies = await asyncio.gather(*asked)
        refusal = replies.pop(7)
        assert isinstance(refusal, Refusal)
        assert "integer" in str(refusal)
        assert replies == [
            *(b"PONG", b"OK", large, None, -7, b"OK", b"", b"OK", "gr\u00fcn".encode())
        ]
        assert lost == []


async def test_who_gives_up_takes_nobody_elses_reply(server: ValkeyProcess) -> None:
    async with opened(server.port) as (wire, _):
        first, second = wire.ask(("ECHO", "a")), wire.ask(("ECHO", "b"))
        first.cancel()
        async with asyncio.timeout(20):
            assert await second == b"b"


@asynccontextmanager
async def saying(said: bytes) -> AsyncIterator[tuple[RedisWire, list[Exception]]]:
    """A connection to what answers the first command with this, and hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.readuntil(b"PING\r\n")
            writer.write(said)
            await writer.drain()
        writer.close()

    front = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with front, opened(front.sockets[0].getsockname()[1]) as found:
        yield found


@pytest.mark.parametrize(
    "said", [b"*1\r\n:1\r\n", b":one\r\n", b"$x\r\n", b"?\r\n", b"$5\r\nab", b":1", b""]
)
async def test_what_is_no_reply_ends_it(said: bytes) -> None:
    async with saying(said) as (wire, lost), asyncio.timeout(20):
        with pytest.raises(OSError):
            await wire.ask(("PING",))
        with pytest.raises(ConnectionError):
            await wire.ask(("PING",))
        assert len(lost) == 1


async def test_a_reply_that_nothing_asked_for_ends_it() -> None:
    async with saying(b":1\r\n:2\r\n") as (wire, lost), asyncio.timeout(20):
        assert await wire.ask(("PING",)) == 1
        while not lost:  # noqa: ASYNC110 - the other end says it when it likes
            await asyncio.sleep(0.01)
        assert "nothing asked for" in str(lost)


async def test_closing_it_tells_those_who_wait_and_nobody_else(server: ValkeyProcess) -> None:
    async with opened(server.port) as (wire, lost):
        reply = wire.ask(("BLPOP", "never", 0))
        wire.close()
        with pytest.raises(ConnectionError):
            await reply
        wire.close()
        assert lost == []


def test_commands_are_packed_as_strings() -> None:
    assert packed(("SET", b"\x00\xff", 1, 2.5)) == (
        b"*4\r\n$3\r\nSET\r\n$2\r\n\x00\xff\r\n$1\r\n1\r\n$3\r\n2.5\r\n"
    )


def test_nobody_there(tmp_path: Path) -> None:
    with valkey_process(tmp_path) as gone:
        port = gone.port
    with pytest.raises(OSError):
        asyncio.run(RedisWire.open("127.0.0.1", port, None, lambda error: None))
