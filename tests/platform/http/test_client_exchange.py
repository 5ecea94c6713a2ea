"""Requests and responses as they should be: framing, keep-alive, the pool."""

from __future__ import annotations

import asyncio

import pytest
from client_lab import CALM, OK, Peer, Upstream, cuts, forever, nothing_left, once, transport, until

from headrace.platform.http.messages import Fault, TransportError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Empty:\r\nx-padded:  a b \t\r\n"
CHUNKED = HEAD + (
    b"Transfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n3;ext=1\r\n, \xe2\r\n6\r\n\x82\xacworl\r\n1\r\nd\r\n0\r\nTrailer: x\r\n\r\n"
)
TEXT = "hello, €world".encode()


@pytest.fixture(autouse=True)
async def _clean() -> object:
    async with nothing_left():
        yield


async def test_the_request_is_written_as_given() -> None:
    seen: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            peer.send(OK)

    async with Upstream(script) as up, transport() as client:
        for method, body in (
            (b"POST", b"{}"),
            (b"POST", b""),
            (b"GET", b""),
            (b"POST", b"x" * 70_000),
        ):
            response = await client.send(up.request(method, b"/v1?a=b", body), CALM)
            assert await response.read(10) == b"hi"
    first = b"%b /v1?a=b HTTP/1.1\r\nHost: up\r\n%b\r\n"
    assert seen == [
        (first % (b"POST", b"Content-Length: 2\r\n"), b"{}"),
        (first % (b"POST", b"Content-Length: 0\r\n"), b""),
        (first % (b"GET", b""), b""),
        (first % (b"POST", b"Content-Length: 70000\r\n"), b"x" * 70_000),
    ]


async def test_head_is_kept_in_order_with_names_in_lower_case() -> None:
    answer = HEAD + b"Set-Cookie: a\r\nSET-COOKIE: b\r\nContent-Length: 2\r\n\r\nhi"
    async with Upstream(forever(answer)) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert response.status == 200
        assert response.headers == [
            (b"content-type", b"application/json"),
            (b"x-empty", b""),
            (b"x-padded", b"a b"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
            (b"content-length", b"2"),
        ]
        assert response.header(b"set-cookie") == b"a"
        assert response.header(b"absent") is None
        assert await response.read(2) == b"hi"


@pytest.mark.parametrize("answer", [HEAD + b"Content-Length: 2\r\n\r\nhi", CHUNKED])
async def test_cut_at_every_offset_it_reads_the_same(answer: bytes) -> None:
    halves = list(cuts(answer))
    turn = iter(halves)

    async def script(peer: Peer) -> None:
        for first, second in turn:
            await peer.request()
            peer.send(first)
            await asyncio.sleep(0.002)
            peer.send(second)

    async with Upstream(script) as up, transport() as client:
        for index in range(len(halves)):
            response = await client.send(up.request(), CALM)
            assert response.headers[:3] == [
                (b"content-type", b"application/json"),
                (b"x-empty", b""),
                (b"x-padded", b"a b"),
            ]
            body = b""
            if index % 2:
                body = await response.read(100)
            else:
                while chunk := await response.next_chunk():
                    body += chunk
            assert body == (TEXT if answer is CHUNKED else b"hi")
            assert response.header(b"trailer") is None
        assert up.accepted == 1


async def test_byte_by_byte() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for byte in CHUNKED:
            peer.send(bytes([byte]))
            await asyncio.sleep(0)

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert await response.read(100) == TEXT


async def test_chunks_that_came_together_are_one() -> None:
    async with Upstream(forever(CHUNKED)) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert await response.next_chunk() == TEXT
        assert await response.next_chunk() == b""
        assert await response.next_chunk() == b""
        assert await response.read(0) == b""


async def test_a_response_that_has_come_whole_is_read_without_suspending() -> None:
    async with Upstream(forever(CHUNKED)) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        with pytest.raises(StopIteration) as stop:
            response.read(100).send(None)
        assert stop.value.value == TEXT


async def test_read_gives_what_next_chunk_left() -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await go.wait()
        peer.send(b"cd")
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert await response.next_chunk() == b"ab"
        go.set()
        assert await response.read(2) == b"cd"


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Encoding: gzip\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"POST", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"POST", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n"),
        (b"POST", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"POST", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_without_a_body(method: bytes, head: bytes) -> None:
    async with Upstream(forever(head)) as up, transport() as client:
        for _ in range(2):
            response = await client.send(up.request(method, body=b""), CALM)
            assert await response.next_chunk() == b""
            assert await response.read(0) == b""


async def test_interim_responses_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with Upstream(forever(interim + OK)) as up, transport() as client:
        for _ in range(2):
            response = await client.send(up.request(), CALM)
            assert response.status == 200
            assert response.headers == [(b"content-length", b"2")]
            assert await response.read(2) == b"hi"
        assert up.accepted == 1


async def test_redirects_and_offers_to_upgrade_are_only_reported() -> None:
    answer = b"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:1/\r\nUpgrade: h2c\r\n"
    async with (
        Upstream(forever(answer + b"Connection: Upgrade\r\nContent-Length: 0\r\n\r\n")) as up,
        transport() as client,
    ):
        response = await client.send(up.request(), CALM)
        assert (response.status, await response.read(0)) == (307, b"")


async def test_a_body_may_end_with_the_connection() -> None:
    async with Upstream(once(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert await response.read(100) == b"all of it"
        assert response.close_delimited
        assert client.idle_count == 0


@pytest.mark.parametrize("value", [b"gzip", b"br", b"x-unknown", b"identity, gzip"])
async def test_a_content_encoding_is_refused(value: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: 2\r\n\r\nhi" % value
    async with Upstream(forever(answer)) as up, transport() as client:
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
        assert caught.value.fault is Fault.PROTOCOL
        assert client.idle_count == 0


async def test_identity_is_no_encoding() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 2\r\n\r\nhi"
    async with Upstream(forever(answer)) as up, transport() as client:
        assert await (await client.send(up.request(), CALM)).read(2) == b"hi"


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("pieces", [1, 7, None])
async def test_the_head_has_an_exact_limit(over: int, pieces: int | None) -> None:
    limit = 2000
    frame = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: %b\r\n\r\n"
    head = frame % (b"x" * (limit + over - len(frame) + 2))
    assert len(head) == limit + over

    async def script(peer: Peer) -> None:
        await peer.request()
        answer = head + b"hi"
        size = len(answer) // pieces + 1 if pieces else len(head)  # None: cut at its end
        for at in range(0, len(answer), size):
            peer.send(answer[at : at + size])
            await asyncio.sleep(0.002)
        await peer.gone()

    async with Upstream(script) as up, transport(head_limit_bytes=limit) as client:
        if over:
            with pytest.raises(TransportError) as caught:
                await client.send(up.request(), CALM)
            assert caught.value.fault is Fault.PROTOCOL
        else:
            assert await (await client.send(up.request(), CALM)).read(2) == b"hi"
            await client.close()


# Keep-alive and the pool.


@pytest.mark.parametrize("answer", [OK, CHUNKED])
async def test_a_connection_is_used_again(answer: bytes) -> None:
    async with Upstream(forever(answer)) as up, transport() as client:
        for _ in range(5):
            response = await client.send(up.request(), CALM)
            await response.read(100)
            response.close()
            response.close()
        assert (up.accepted, client.idle_count, client.connection_count) == (1, 1, 1)


async def test_the_last_one_used_is_the_first_used_again() -> None:
    order: list[Peer] = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            order.append(peer)
            peer.send(OK)

    async with Upstream(script) as up, transport() as client:
        both = await asyncio.gather(*(client.send(up.request(), CALM) for _ in range(2)))
        for response in both:
            await response.read(2)
        order.clear()
        for _ in range(3):
            await (await client.send(up.request(), CALM)).read(2)
        assert len(set(order)) == 1
        assert client.idle_count == 2


async def test_no_more_idle_ones_than_allowed() -> None:
    async with Upstream(forever()) as up, transport(max_idle_per_origin=2) as client:
        await asyncio.gather(*(client.send(up.request(), CALM) for _ in range(5)))
        assert client.idle_count == 2


async def test_idle_ones_expire() -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer()
        await peer.gone()
        closed.set()

    async with Upstream(script) as up, transport(idle_s=0.01) as client:
        await (await client.send(up.request(), CALM)).read(2)
        await closed.wait()
        assert client.idle_count == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\n\r\n",
        OK + b"x",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhimore",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nHTTP/1.1 200",
    ],
)
async def test_connections_that_are_not_used_again(answer: bytes) -> None:
    gone = 0

    async def script(peer: Peer) -> None:
        nonlocal gone
        await peer.answer(answer)
        await peer.gone()
        gone += 1

    async with Upstream(script) as up, transport() as client:
        for _ in range(2):
            assert await (await client.send(up.request(), CALM)).read(2) == b"hi"
            assert client.idle_count == 0
    assert (up.accepted, gone) == (2, 2)


async def test_http_1_0_with_keep_alive_is_used_again() -> None:
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
    async with Upstream(forever(answer)) as up, transport() as client:
        for _ in range(2):
            assert await (await client.send(up.request(), CALM)).read(2) == b"hi"
        assert up.accepted == 1


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\n"])
async def test_bytes_on_an_idle_connection_close_it(unasked: bytes) -> None:
    go, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer()
        if up.accepted == 1:
            await go.wait()
            peer.send(unasked)
        await peer.gone()
        gone.set()

    async with Upstream(script) as up, transport() as client:
        await (await client.send(up.request(), CALM)).read(2)
        assert client.idle_count == 1
        go.set()
        await gone.wait()
        assert client.idle_count == 0
        assert await (await client.send(up.request(), CALM)).read(10) == b"hi"
        assert up.accepted == 2


async def test_a_body_sent_after_head_does_not_answer_the_next_call() -> None:
    """HEAD whose answer brings a body all the same."""

    async def script(peer: Peer) -> None:
        await peer.answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nHTTP/1.1 200 OK\r\n\r\npoison"
        )
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(b"HEAD", body=b""), CALM)
        assert await response.read(10) == b""
        assert client.idle_count == 0


@pytest.mark.parametrize("ending", ["fin", "reset"])
async def test_an_idle_connection_ended_by_its_peer_leaves_the_pool(ending: str) -> None:
    go, ended = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer()
        if up.accepted == 1:
            await go.wait()
            peer.reset() if ending == "reset" else peer.writer.close()
            ended.set()
        else:
            await peer.gone()

    async with Upstream(script) as up, transport() as client:
        await (await client.send(up.request(), CALM)).read(2)
        go.set()
        await ended.wait()
        await until(lambda: client.idle_count == 0)
        assert await (await client.send(up.request(), CALM)).read(2) == b"hi"
