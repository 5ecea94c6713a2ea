"""Hostile bytes: whatever an upstream sends, a call ends with a body or a TransportError."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import pytest
import uvloop
from client_lab import CALM, PATIENCE_S, Peer, Upstream, nothing_left, transport
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.platform.http.messages import TransportError

HEAD = b"HTTP/1.1 200 OK\r\n"
fragments = st.sampled_from(
    [
        HEAD,
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 204 No\r\n",
        b"HTTP/1.0 200\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n",
        b"Content-Encoding: gzip\r\n",
        b"hello",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"X: " + b"y" * 300 + b"\r\n",
    ]
)
answers = st.lists(
    st.lists(st.one_of(fragments, st.binary(max_size=20)), max_size=8).map(b"".join), max_size=4
)


async def _survives(pieces: list[bytes], ending: str, body_by_chunks: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for piece in pieces:
            peer.send(piece)
            await asyncio.sleep(0)
        if ending == "reset":
            peer.reset()

    async with nothing_left(), Upstream(script) as up, transport(head_limit_bytes=200) as client:
        for _ in range(2):
            with contextlib.suppress(TransportError):
                async with asyncio.timeout(PATIENCE_S):
                    response = await client.send(up.request(), CALM)
                    if not body_by_chunks:
                        await response.read(20)
                    while await response.next_chunk():
                        pass


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(pieces=answers, ending=st.sampled_from(["fin", "reset"]), by_chunks=st.booleans())
def test_garbage_ends_in_an_error_or_a_body(
    runner: object, pieces: list[bytes], ending: str, by_chunks: bool
) -> None:
    assert callable(runner)
    runner(_survives(pieces, ending, by_chunks))


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    body=st.binary(max_size=300),
    sizes=st.lists(st.integers(1, 50), min_size=1),
    cuts=st.lists(st.integers(0, 1000), max_size=6),
    chunked=st.booleans(),
)
def test_any_body_in_any_pieces_comes_out_as_it_was(
    runner: object, body: bytes, sizes: list[int], cuts: list[int], chunked: bool
) -> None:
    assert callable(runner)
    runner(_round_trip(body, sizes, cuts, chunked))


async def _round_trip(body: bytes, sizes: list[int], cuts: list[int], chunked: bool) -> None:
    if chunked:
        answer, at, turn = HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0, 0
        while at < len(body):
            piece = body[at : at + sizes[turn % len(sizes)]]
            answer += b"%x\r\n%b\r\n" % (len(piece), piece)
            at, turn = at + len(piece), turn + 1
        answer += b"0\r\n\r\n"
    else:
        answer = HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    bounds = [0, *sorted(cut % len(answer) for cut in cuts), len(answer)]

    async def script(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            for start, end in pairwise(bounds):
                peer.send(answer[start:end])
                await asyncio.sleep(0)
        await peer.gone()

    async with nothing_left(), Upstream(script) as up, transport() as client:
        for _ in range(2):
            response = await client.send(up.request(), CALM)
            assert await response.read(300) == body
        assert up.accepted == 1
        await client.close()
