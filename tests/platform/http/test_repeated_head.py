"""A head that comes again is understood as the parser would, and nothing else passes for it."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_lab import PATIENCE_S, Served, read_all, serving, statuses, until

from headrace.platform.http.exchange import Exchange
from headrace.platform.http.repeated_head import RepeatedHead
from support.smuggling import CORPUS

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
Headers = list[tuple[bytes, bytes]]


def request(body: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /v1 HTTP/1.1\r\nHost: a\r\n%b%b%b\r\n%b" % (before, length, after, body)


def learned(data: bytes) -> RepeatedHead | None:
    head = data.partition(b"\r\n\r\n")[0]
    lines = [line.partition(b": ")[::2] for line in head.split(b"\r\n")[1:]]
    return RepeatedHead.of(data, b"POST", b"/v1", [(n.lower(), v) for n, v in lines])


@given(st.binary(max_size=40), st.integers(0, 999_999_999), st.data())
def test_only_the_length_may_differ(body: bytes, length: int, data: st.DataObject) -> None:
    before, after = b"X-A: b\r\n", b"X-C: d\r\n"
    head = learned(request(body, before, after))
    assert head is not None
    other = request(b"", before, after).replace(b"Length: 0", b"Length: %d" % length)
    repeat = head.again(other + b"rest")
    assert repeat is not None
    body_at, body_bytes, headers = repeat
    assert body_bytes == length
    assert (other + b"rest")[body_at:] == b"rest"
    assert headers == [
        (b"host", b"a"),
        (b"x-a", b"b"),
        (b"content-length", b"%d" % length),
        (b"x-c", b"d"),
    ]
    at = data.draw(st.integers(0, len(other) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1).filter(lambda b: not b.isdigit()))
    if other[at : at + 1] != byte:
        assert head.again(other[:at] + byte + other[at + 1 :]) is None
    assert head.again(other[:at]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"POST /v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1 HTTP/1.1\r\nHost: a\r\n\r\n",
        request(b"hello", b"Expect: 100-continue\r\n"),
        request(b"hello", b"Transfer-Encoding: chunked\r\n"),
        request(b"hello", b"Upgrade: h2c\r\n"),
        request(b"hello", b"Content-Length: 5\r\n"),
        request(b"hello", b"X-Long: %b\r\n" % (b"y" * 5000)),
        request(b"hello")[:30],
    ],
)
def test_what_says_more_about_framing_is_not_remembered(data: bytes) -> None:
    assert learned(data) is None


async def connected(
    served: Served, first: bytes = b"one"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has had one request answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(request(first))
    await asyncio.wait_for(reader.readuntil(first), PATIENCE_S)
    return reader, writer


def told(exchange: Exchange) -> tuple[bytes, bytes, Headers, bytes]:
    return exchange.method, exchange.target, exchange.headers, exchange.body


@pytest.mark.parametrize("name", CORPUS)
async def test_ambiguous_requests_are_refused_after_a_sound_one(name: str) -> None:
    async with serving() as served:
        reader, writer = await connected(served)
        writer.write(CORPUS[name] + HIDDEN)
        answers = statuses(await read_all(reader))
        assert answers == [400], name
        assert len(served.seen) == 1
        writer.close()


NO_LENGTHS = [b"+3", b"-3", b"3,3", b"3 3", b"0x3", b"", b"3;", b"3\x00", b"\xb2", b"9" * 20]


@pytest.mark.parametrize("length", NO_LENGTHS)
async def test_lengths_that_are_none_are_refused_after_a_sound_one(length: bytes) -> None:
    async with serving() as served:
        reader, writer = await connected(served)
        writer.write(request(b"").replace(b"Length: 0", b"Length: " + length) + b"two" + HIDDEN)
        assert statuses(await read_all(reader)) in ([400], [413])
        assert len(served.seen) == 1
        writer.close()


async def test_equal_to_what_the_parser_finds_however_it_is_cut() -> None:
    """The same requests on one connection, in pieces, and each on a connection of its own."""
    rng = random.Random(7)
    forms: list[tuple[bytes, bytes]] = [
        (b"", b""),
        (b"Authorization: Bearer x\r\n", b"Connection: keep-alive\r\n"),
        (b"X-A:  spaced \r\n", b"X-A: twice\r\n"),
    ]
    requests = []
    for _ in range(60):
        before, after = forms[0] if rng.random() < 0.6 else rng.choice(forms)
        requests.append(request(rng.randbytes(rng.choice([0, 1, 9, 300])), before, after))
    async with serving() as served:
        for one in requests:
            await served.raw(one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        alone = served.seen
        served.seen = []
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for number, one in enumerate(requests, 1):
            cuts = sorted(rng.sample(range(len(one)), k=rng.choice([0, 0, 1, 2])))
            for start, end in zip([0, *cuts], [*cuts, len(one)], strict=True):
                writer.write(one[start:end])
                await asyncio.sleep(0.002 if cuts else 0)
            await until(lambda number=number: len(served.seen) == number)  # type: ignore[misc]
        writer.close()
        for theirs, ours in zip(alone, served.seen, strict=True):
            headers = [h for h in theirs.headers if h != (b"connection", b"close")]
            assert told(ours) == (theirs.method, theirs.target, headers, theirs.body)
            assert ours.keep_alive
        repeated = sum(exchange.repeated is not None for exchange in served.seen)
        assert 10 < repeated < len(requests)
        assert served.server.body_bytes_held == 0
        del reader


async def test_what_follows_in_the_same_bytes_is_served_too() -> None:
    async with serving() as served:
        reader, writer = await connected(served)
        writer.write(request(b"two") + request(b"three") + HIDDEN)
        assert statuses(await read_all(reader)) == [200, 200, 200]
        assert [exchange.body for exchange in served.seen] == [b"one", b"two", b"three", b""]
        assert served.seen[1].repeated is not None
        writer.close()


async def test_a_body_that_is_too_large_is_refused() -> None:
    async with serving(body_bytes=100) as served:
        reader, writer = await connected(served)
        writer.write(request(b"x" * 101))
        assert statuses(await read_all(reader)) == [413]
        assert len(served.seen) == 1
        writer.close()


async def test_bodies_in_total_are_bounded() -> None:
    async with serving(body_bytes_in_total=100) as served:
        reader, writer = await connected(served)
        writer.write(request(b"x" * 101))
        assert statuses(await read_all(reader)) == [503]
        writer.close()


async def test_a_body_that_does_not_come_ends_the_connection() -> None:
    async with serving(body_timeout_s=0.1) as served:
        reader, writer = await connected(served)
        writer.write(request(b"two")[:-1])
        assert statuses(await read_all(reader, quiet_s=PATIENCE_S)) == [408]
        assert served.server.body_bytes_held == 0
        writer.close()


async def test_a_client_that_leaves_within_a_body_leaves_nothing() -> None:
    async with serving() as served:
        _, writer = await connected(served)
        writer.write(request(b"two")[:-1])
        await until(lambda: served.server.body_bytes_held > 0)
        writer.close()
        await until(lambda: not served.server.connections)
        assert served.server.body_bytes_held == 0
        assert len(served.seen) == 1


async def test_heads_that_never_come_again_are_no_longer_remembered() -> None:
    async with serving() as served:
        reader, writer = await connected(served)
        for number in range(8):
            writer.write(request(b"%d;" % number, b"X-Id: %d\r\n" % number))
            await asyncio.wait_for(reader.readuntil(b"%d;" % number), PATIENCE_S)
        writer.write(request(b"again", b"X-Id: 7\r\n"))
        await asyncio.wait_for(reader.readuntil(b"again"), PATIENCE_S)
        assert served.seen[-1].repeated is None
        writer.close()
