"""Every way an exchange can fail, the one retry, and cancellation at each stage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from client_lab import (
    CALM,
    OK,
    PATIENCE_S,
    Peer,
    Upstream,
    forever,
    nothing_left,
    once,
    transport,
)
from msgspec.structs import replace

from headrace.platform.http.messages import Fault, Origin, Timeouts, TransportError, WireRequest

PART = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"
CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\n\r\nab"
SHORT = 0.3
"""Long beside a sweep, so that a time-out that is early shows."""


@pytest.fixture(autouse=True)
async def _clean() -> AsyncIterator[None]:
    async with nothing_left():
        yield


def quick(**limits: float) -> Timeouts:
    return Timeouts(
        **{"connect_s": PATIENCE_S, "first_byte_s": PATIENCE_S, "idle_s": PATIENCE_S, **limits}
    )


async def fault_of_send(up: Upstream, timeouts: Timeouts = CALM) -> TransportError:
    async with transport() as client:
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), timeouts)
        assert client.idle_count == 0
    return caught.value


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw",
        b"HTTP/1.1 101 Switching\r\n\r\nraw",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
    ],
)
async def test_a_head_that_is_not_http_1_1(answer: bytes) -> None:
    async with Upstream(forever(answer)) as up:
        error = await fault_of_send(up)
    assert error.fault is Fault.PROTOCOL
    assert error.response_started


async def test_a_flood_of_interim_responses() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        while not peer.writer.transport.is_closing():
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100)
            await peer.writer.drain()

    async with Upstream(script) as up:
        assert (await fault_of_send(up)).fault is Fault.PROTOCOL


@pytest.mark.parametrize(
    ("filler", "first"), [(b";" + b"x" * 4000, b"2"), (b"X: y\r\n" * 700, b"0\r\n")]
)
async def test_endless_chunk_extensions_and_trailers(filler: bytes, first: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(STREAM + first)
        while not peer.writer.transport.is_closing():
            peer.send(filler)
            await peer.writer.drain()

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        with pytest.raises(TransportError) as caught:
            await response.read(100)
        assert caught.value.fault is Fault.PROTOCOL


@pytest.mark.parametrize(
    "rest",
    [b"zz\r\n", b"2\r\nabX", b"0x2\r\nab\r\n", b"2\nab\n", b"-1\r\n", b"fffffffffffffffff\r\n"],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_broken_chunk(rest: bytes, together: bool) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        if together:
            await peer.answer(STREAM + rest)
        else:
            await peer.answer(STREAM)
            await go.wait()
            peer.send(rest)
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        received = await response.next_chunk()
        assert received[:2] == b"ab"  # What was sound comes first.
        go.set()
        for _ in range(2):
            with pytest.raises(TransportError) as caught:
                while await response.next_chunk():
                    pass
            assert caught.value.fault is Fault.PROTOCOL
            assert caught.value.response_started


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("answer", [PART, STREAM, CLOSE_DELIMITED])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_that_is_cut(answer: bytes, how: str, whole: bool) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer(answer)
        await go.wait()
        if how == "reset":
            peer.reset()

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        if whole:
            reading = asyncio.ensure_future(response.read(100))
            await asyncio.sleep(0)
        else:
            assert await response.next_chunk() == b"ab"
            reading = asyncio.ensure_future(response.next_chunk())
            await asyncio.sleep(0)
        go.set()
        if answer is CLOSE_DELIMITED and how == "fin":
            assert await reading == (b"ab" if whole else b"")
        else:
            with pytest.raises(TransportError) as caught:
                await reading
            assert caught.value.fault is (Fault.RESET if how == "reset" else Fault.TRUNCATED)
            assert caught.value.response_started
        assert client.idle_count == 0


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2"])
@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_broken_before_the_head(sent: bytes, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(sent)
        await peer.writer.drain()
        if sent:
            await asyncio.sleep(0.01)  # Lets the client read them before RST discards them.
        if how == "reset":
            peer.reset()

    async with Upstream(script) as up:
        error = await fault_of_send(up)
        assert up.accepted == 1
    assert error.fault is Fault.RESET
    assert error.response_started == bool(sent)


# Kept connections that break.


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_used_connection_that_breaks_before_any_byte_is_stale(how: str) -> None:
    """Nothing is sent twice. What else was kept of the origin is dropped, so that whoever sends it
    again gets a new connection."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if up.accepted == 4:
            all_there.set()
        await all_there.wait()
        peer.send(OK)
        await peer.request()
        if how == "reset":
            peer.reset()

    all_there = asyncio.Event()
    async with Upstream(script) as up, transport() as client:
        responses = await asyncio.gather(*(client.send(up.request(), CALM) for _ in range(4)))
        assert [await response.read(2) for response in responses] == [b"hi"] * 4
        assert client.idle_count == 4
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
        assert caught.value.fault is Fault.STALE
        assert not caught.value.response_started
        assert client.idle_count == 0
        assert up.accepted == 4
        assert await (await client.send(up.request(), CALM)).read(2) == b"hi"
        assert up.accepted == 5


async def test_a_new_connection_that_breaks_is_not_stale() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with Upstream(script) as up, transport() as client:
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
        assert caught.value.fault is Fault.RESET
        assert up.accepted == 1


async def test_a_used_connection_that_breaks_after_a_byte_is_not_stale() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer()
        await peer.answer(b"H")

    async with Upstream(script) as up, transport() as client:
        await (await client.send(up.request(), CALM)).read(2)
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
        assert caught.value.fault is Fault.RESET
        assert caught.value.response_started
        assert up.accepted == 1


async def test_a_time_out_on_a_used_connection_is_not_retried() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer()
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        await (await client.send(up.request(), CALM)).read(2)
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), quick(first_byte_s=SHORT))
        assert caught.value.fault is Fault.FIRST_BYTE_TIMEOUT
        assert up.accepted == 1


# Connecting.


async def test_refused() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # Bound, not listening.
        origin = Origin("http", "127.0.0.1", held.getsockname()[1])
        async with transport() as client:
            with pytest.raises(TransportError) as caught:
                await client.send(WireRequest(origin, b"GET / HTTP/1.1\r\n", b""), CALM)
    assert caught.value.fault is Fault.CONNECT
    assert not caught.value.response_started


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300])
async def test_no_such_host(host: str) -> None:
    async with transport() as client:
        with pytest.raises(TransportError) as caught:
            await client.send(
                WireRequest(Origin("http", host, 80), b"GET / HTTP/1.1\r\n", b""), CALM
            )
    assert caught.value.fault is Fault.CONNECT


class FullBacklog:
    """A listening socket that completes no further handshake: SYNs are dropped."""

    def __enter__(self) -> Origin:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(0)
        address = self._server.getsockname()
        self._fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(address)
            self._fillers.append(filler)
        return Origin("http", *address)

    def __exit__(self, *_: object) -> None:
        for sock in (*self._fillers, self._server):
            sock.close()


async def test_connect_timeout() -> None:
    async with transport() as client:
        with FullBacklog() as origin:
            started = time.monotonic()
            with pytest.raises(TransportError) as caught:
                await client.send(
                    WireRequest(origin, b"GET / HTTP/1.1\r\n", b""), quick(connect_s=SHORT)
                )
            assert time.monotonic() - started >= SHORT
    assert caught.value.fault is Fault.CONNECT_TIMEOUT


async def test_a_second_address_answers_where_the_first_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The resolver is scripted; the sockets are real."""
    from headrace.platform.http import connect

    async with Upstream(forever()) as up, transport() as client:
        with FullBacklog() as dead:

            async def resolve(host: str, port: int) -> list[object]:
                addresses = [(dead.host, dead.port), ("127.0.0.1", 1), ("127.0.0.1", up.port)]
                return [(socket.AF_INET, address) for address in addresses]

            monkeypatch.setattr(connect, "_resolve", resolve)
            request = replace(up.request(), origin=Origin("http", "many.test", 80))
            assert await (await client.send(request, CALM)).read(2) == b"hi"


async def test_localhost_is_resolved() -> None:
    async with Upstream(forever()) as up, transport() as client:
        request = replace(up.request(), origin=Origin("http", "localhost", up.port))
        assert await (await client.send(request, CALM)).read(2) == b"hi"


# Time-outs: never early.


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX: "])
async def test_first_byte_timeout(sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(sent)
        await peer.gone()

    async with Upstream(script) as up:
        started = time.monotonic()
        error = await fault_of_send(up, quick(first_byte_s=SHORT))
        assert time.monotonic() - started >= SHORT
    assert error.fault is Fault.FIRST_BYTE_TIMEOUT
    assert error.response_started == bool(sent)


async def test_a_head_that_drips_times_out() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\n")
        while not peer.writer.transport.is_closing():
            peer.send(b"X: y\r\n")
            await asyncio.sleep(0.005)

    async with Upstream(script) as up:
        error = await fault_of_send(up, quick(first_byte_s=0.2))
    assert error.fault is Fault.FIRST_BYTE_TIMEOUT


@pytest.mark.parametrize("whole", [True, False])
async def test_idle_timeout(whole: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(STREAM)
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), quick(idle_s=SHORT))
        if not whole:
            assert await response.next_chunk() == b"ab"
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await (response.read(100) if whole else response.next_chunk())
        assert time.monotonic() - started >= SHORT
        assert caught.value.fault is Fault.IDLE_TIMEOUT
        assert caught.value.response_started


@pytest.mark.parametrize("first_byte_s", [SHORT, PATIENCE_S])
async def test_a_head_that_comes_long_before_its_body(first_byte_s: float) -> None:
    """The server thinks: it is no more idle than one that waits with the head too."""

    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        if first_byte_s == PATIENCE_S:
            await asyncio.sleep(4 * SHORT)
            peer.send(b"hi")
        await peer.gone()

    async with Upstream(script) as up, transport() as client:
        limits = quick(idle_s=SHORT / 2, first_byte_s=first_byte_s)
        response = await client.send(up.request(), limits)
        if first_byte_s == PATIENCE_S:
            assert await response.read(2) == b"hi"
            return
        with pytest.raises(TransportError) as caught:
            await response.read(2)
        assert caught.value.fault is Fault.IDLE_TIMEOUT


async def test_a_slow_reader_is_not_an_idle_upstream() -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(STREAM)
        await go.wait()
        peer.send(b"0\r\n\r\n")
        await peer.gone()

    go = asyncio.Event()
    async with Upstream(script) as up, transport() as client:
        response = await client.send(up.request(), quick(idle_s=SHORT))
        await asyncio.sleep(2 * SHORT)
        assert await response.next_chunk() == b"ab"
        await asyncio.sleep(2 * SHORT)
        go.set()
        assert await response.next_chunk() == b""


async def test_a_loop_that_stood_still_does_not_time_out_what_has_come() -> None:
    """uvloop runs its timers between two polls: a callback of the first may have stood still while
    the answer came, which only the second would see."""
    asked: list[asyncio.BaseTransport] = []

    class Standing(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            asked.append(transport)

        def data_received(self, data: bytes) -> None:
            if data == b"stand still":
                os.write(asked[0].get_extra_info("socket").fileno(), OK)
                time.sleep(1.3)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Standing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, transport() as client:
        request = WireRequest(Origin("http", "127.0.0.1", port), b"POST / HTTP/1.1\r\n", b"")
        sending = asyncio.ensure_future(client.send(request, quick(first_byte_s=1.0)))
        await asyncio.sleep(0.1)  # Lets a sweep see the call.
        with socket.create_connection(("127.0.0.1", port)) as poke:
            poke.sendall(b"stand still")
            response = await sending
        assert await response.read(2) == b"hi"
        await client.close()


# Cancellation and closing: the server sees the end, nothing stays.


class Watched:
    """Answers with `answer`, then notes that the client has gone."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.answer(self.answer)
        self.asked.set()
        await peer.gone()
        self.gone.set()


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancel_while_connecting() -> None:
    async with transport() as client:
        with FullBacklog() as origin:
            request = WireRequest(origin, b"GET / HTTP/1.1\r\n", b"")
            task = asyncio.ensure_future(client.send(request, CALM))
            await asyncio.sleep(0.01)
            async with nothing_left():
                pass
            await cancelled(task)
        assert client.connection_count == 0


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nX"])
async def test_cancel_while_waiting_for_the_head(sent: bytes) -> None:
    watched = Watched(sent)
    async with Upstream(watched) as up, transport() as client:
        task = asyncio.ensure_future(client.send(up.request(), CALM))
        await watched.asked.wait()
        await cancelled(task)
        await asyncio.wait_for(watched.gone.wait(), PATIENCE_S)
        assert client.idle_count == 0


@pytest.mark.parametrize("answer", [PART, STREAM, CLOSE_DELIMITED])
@pytest.mark.parametrize("whole", [True, False])
async def test_cancel_while_reading(answer: bytes, whole: bool) -> None:
    watched = Watched(answer)
    async with Upstream(watched) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        if not whole:
            assert await response.next_chunk() == b"ab"
        task = asyncio.ensure_future(response.read(9) if whole else response.next_chunk())
        await asyncio.sleep(0.01)
        assert not task.done()
        await cancelled(task)
        await asyncio.wait_for(watched.gone.wait(), PATIENCE_S)
        assert client.idle_count == 0


@pytest.mark.parametrize("answer", [PART, STREAM, CLOSE_DELIMITED])
async def test_close_before_the_end(answer: bytes) -> None:
    watched = Watched(answer)
    async with Upstream(watched) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        response.close()
        response.close()
        await asyncio.wait_for(watched.gone.wait(), PATIENCE_S)
        assert client.idle_count == 0


async def test_close_wakes_the_one_who_reads() -> None:
    watched = Watched(STREAM)
    async with Upstream(watched) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        reading = asyncio.ensure_future(response.read(9))
        await asyncio.sleep(0.01)
        response.close()
        with pytest.raises(TransportError) as caught:
            await reading
        assert caught.value.fault is Fault.CLOSED


async def test_cancelled_in_the_very_step_the_answer_came() -> None:
    """The answer is whole, its connection free: the cancellation must not spoil it."""
    async with Upstream(forever()) as up, transport() as client:
        task = asyncio.ensure_future(client.send(up.request(), CALM))
        while client.idle_count == 0:
            await asyncio.sleep(0)
            if client.idle_count:
                task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await (await client.send(up.request(), CALM)).read(2) == b"hi"
        assert up.accepted == 1


async def test_too_large() -> None:
    for answer in (PART, STREAM + b"2\r\ncd\r\n", CLOSE_DELIMITED + b"cd", OK + b"HTTP"):
        watched = Watched(answer)
        async with Upstream(watched) as up, transport() as client:
            response = await client.send(up.request(), CALM)
            with pytest.raises(TransportError) as caught:
                await response.read(1)
            assert caught.value.fault is Fault.TOO_LARGE
            await asyncio.wait_for(watched.gone.wait(), PATIENCE_S)


async def test_two_readers_are_a_mistake() -> None:
    async with Upstream(Watched(STREAM)) as up, transport() as client:
        response = await client.send(up.request(), CALM)
        assert await response.next_chunk() == b"ab"
        first = asyncio.ensure_future(response.next_chunk())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await response.next_chunk()
        await cancelled(first)


# The transport's own end.


async def test_closing_the_transport_ends_every_call() -> None:
    waiting, streaming = Watched(b""), Watched(STREAM)
    async with Upstream(waiting) as up, Upstream(streaming) as stream, transport() as client:
        response = await client.send(stream.request(), CALM)
        assert await response.next_chunk() == b"ab"
        with FullBacklog() as origin:
            dialling = WireRequest(origin, b"GET / HTTP/1.1\r\n", b"")
            tasks = [
                asyncio.ensure_future(client.send(up.request(), CALM)),
                asyncio.ensure_future(response.next_chunk()),
                asyncio.ensure_future(client.send(dialling, CALM)),
            ]
            await waiting.asked.wait()
            await client.close()
            assert client.connection_count == 0
            for task in tasks:
                with pytest.raises(TransportError) as caught:
                    await task
                assert caught.value.fault is Fault.CLOSED
        await asyncio.wait_for(waiting.gone.wait(), PATIENCE_S)
        await asyncio.wait_for(streaming.gone.wait(), PATIENCE_S)
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
        assert caught.value.fault is Fault.CLOSED


async def test_a_thousand_aborts_leave_nothing() -> None:
    gone = 0

    async def script(peer: Peer) -> None:
        nonlocal gone
        await peer.answer(STREAM)
        await peer.gone()
        gone += 1

    async with Upstream(script) as up, transport() as client:

        async def call(index: int) -> None:
            task = asyncio.ensure_future(client.send(up.request(), CALM))
            if index % 2:
                for _ in range(index % 13):
                    await asyncio.sleep(0)
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await task).close()

        for batch in range(20):
            await asyncio.gather(*(call(batch * 50 + index) for index in range(50)))
        assert client.idle_count == 0
        assert gone <= 1000


async def test_secrets_do_not_show() -> None:
    async with Upstream(once(PART)) as up, transport() as client:
        request = replace(up.request(), head=b"POST / HTTP/1.1\r\nAuthorization: canary\r\n")
        response = await client.send(request, CALM)
        with pytest.raises(TransportError) as caught:
            await response.read(9)
        shown = f"{client!r} {response!r} {caught.value!r} {caught.value} {request!r}"
        assert "canary" not in shown
