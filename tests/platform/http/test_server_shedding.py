"""What a server sheds it refuses at once: before a task, and before a transport where a connection
has but one request. All else goes its usual way, and who accepts changes under way."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop
from server_lab import Served, read_all, serving, statuses, until

from headrace.platform.http.exchange import Answer, Exchange, Request
from headrace.platform.http.first_request import (
    FIRST_BYTES,
    HEADS,
    LESSONS,
    FirstRequest,
    FirstRequests,
)
from headrace.platform.http.limits import ServerLimits
from headrace.platform.http.listener import Listener
from support.smuggling import CORPUS, HOST

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = ServerLimits()
Run = Callable[[Coroutine[Any, Any, None]], None]
on_both_loops = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


class Shedder:
    """Refuses what has `shed` in its path, and notes of what kind it was."""

    def __init__(self) -> None:
        self.kinds: list[type] = []

    def __call__(self, request: Request) -> Answer | None:
        self.kinds.append(type(request))
        assert request.peer == "127.0.0.1"
        return (503, b"x-why: busy\r\n", b"later") if b"shed" in request.target else None


def post(path: bytes = b"/shed", *, body: bytes = b"hello", more: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST %b HTTP/1.1\r\n%b%b%b\r\n%b" % (path, HOST, more, length, body)


CLOSE = b"Connection: close\r\n"


async def shedding(scene: Callable[[Served, Shedder], Awaitable[None]]) -> None:
    async with serving() as served:
        shedder = Shedder()
        served.server.shed_by(shedder)
        await scene(served, shedder)
        assert served.server.body_bytes_held == 0


@on_both_loops
def test_a_kept_connection_goes_on(run: Run) -> None:
    async def scene(served: Served, shedder: Shedder) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for number in range(4):  # the first heads are parsed, later ones known
            path = b"/v1" if number == 3 else b"/shed"
            writer.write(post(path, body=b"%d" % number))
            raw = await reader.readuntil(b"\r\n\r\n")
            assert statuses(raw) == [200 if number == 3 else 503]
            if number < 3:
                assert b"\r\nx-why: busy\r\n" in raw
                assert b"connection: close" not in raw
                assert await reader.readexactly(5) == b"later"
        writer.close()
        assert [exchange.body for exchange in served.seen] == [b"3"]
        assert shedder.kinds == [Exchange] * 4

    run(shedding(scene))


@on_both_loops
def test_the_only_request_of_a_connection_needs_no_transport(run: Run) -> None:
    async def scene(served: Served, shedder: Shedder) -> None:
        for data in (post(more=CLOSE), post(more=CLOSE), b"POST /shed HTTP/1.0\r\n\r\n"):
            raw = await served.raw(data)
            assert statuses(raw) == [503]
            assert b"\r\nx-why: busy\r\n" in raw
            assert b"\r\ndate: " in raw
            assert b"\r\nconnection: close\r\n" in raw
            assert raw.endswith(b"\r\n\r\nlater")
        assert served.seen == []
        assert shedder.kinds == [FirstRequest] * 3
        assert not served.server.connections

    run(shedding(scene))


@on_both_loops
@pytest.mark.parametrize("path", [b"/v1", b"/shed"])
@pytest.mark.parametrize(
    "way",
    ["kept", "in pieces", "chunks", "expects", "large", "two at once"],
)
def test_what_is_not_for_a_glance_goes_its_usual_way(run: Run, path: bytes, way: str) -> None:
    body = b"x" * 2 * FIRST_BYTES if way == "large" else b"hello"
    chunks = b"POST %b HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % (path, HOST + CLOSE)
    requests = {
        "kept": post(path),
        "chunks": chunks + b"5\r\nhello\r\n0\r\n\r\n",
        "expects": post(path, more=CLOSE + b"Expect: 100-continue\r\n"),
        "two at once": post(path) + post(path, more=CLOSE),
    }
    status = 503 if path == b"/shed" else 200
    count = 2 if way == "two at once" else 1

    async def scene(served: Served, shedder: Shedder) -> None:
        request = requests.get(way) or post(path, body=body, more=CLOSE)
        pieces = 30 if way == "in pieces" else None
        raw = await served.raw(request, pieces=pieces)
        assert [s for s in statuses(raw) if s != 100] == [status] * count, raw
        assert len(served.seen) == (count if status == 200 else 0)
        assert [exchange.body for exchange in served.seen] == [body] * len(served.seen)
        if way == "in pieces":
            assert set(shedder.kinds) <= {Exchange, FirstRequest}  # they may have come together
        else:
            # One that has to wait for an answer is not asked about.
            assert shedder.kinds == [Exchange] * (count if status == 503 else 1)

    run(shedding(scene))


@pytest.mark.parametrize(("first", "status"), [(post(), 503), (post(b"/v1"), 200)])
async def test_thousands_at_once_are_answered_one_after_another(first: bytes, status: int) -> None:
    """Behind one that is shed, and behind one that is handled."""
    count = 3000
    async with serving() as served:
        served.server.shed_by(Shedder())
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for _ in range(2):  # so that the head is known
            writer.write(post())
            assert statuses(await reader.readuntil(b"later")) == [503]
        writer.write(first + post() * count + post(more=CLOSE))
        got = statuses(await read_all(reader, 5.0))
        writer.close()
        assert got[0] == status
        assert set(got) <= {status, 503}
        assert len(got) == count + 2


@pytest.mark.parametrize("connection", [b"", CLOSE])
async def test_what_is_unsound_is_refused_as_ever(connection: bytes) -> None:
    async with serving() as served:
        served.server.shed_by(lambda _: (503, b"", b""))
        for name in list(CORPUS)[::12]:
            data = CORPUS[name].replace(HOST, HOST + connection, 1)
            raw = await served.raw(data + HIDDEN)
            assert statuses(raw) == [400], (name, raw)
        assert served.seen == []


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_unsound_passes_for_a_first_request(name: str) -> None:
    data = CORPUS[name].replace(HOST, HOST + CLOSE, 1)
    assert FirstRequests(LIMITS).read(data, "") is None


@pytest.mark.parametrize(
    ("data", "fit"),
    [
        (post(more=CLOSE), True),
        (post(more=CLOSE)[:-1], False),
        (post(more=CLOSE) + b"x", False),
        (post(more=CLOSE) + HIDDEN, False),
        (post(more=CLOSE + CLOSE), True),
        (post(), False),
        (post(more=b"Connection: keep-alive\r\n"), False),
        (post(more=CLOSE + b"X-A: %b\r\n" % (b"y" * 40_000)), False),
        (b"", False),
    ],
)
def test_a_first_request_is_one_and_whole(data: bytes, fit: bool) -> None:
    firsts = FirstRequests(LIMITS)
    for good in (None, post(more=CLOSE, body=b"x")):  # as its head is not known, and as it is
        if good is not None:
            assert firsts.read(good, "") is not None
        first = firsts.read(data, "192.0.2.1")
        assert (first is not None) == fit
        if first is not None:
            assert (first.method, first.target, first.peer) == (b"POST", b"/shed", "192.0.2.1")
            assert first.headers[0] == (b"host", b"a")


def test_a_head_that_comes_again_is_known() -> None:
    firsts = FirstRequests(ServerLimits(body_bytes=1000))
    data = [post(b"/%d" % n, more=CLOSE) for n in range(HEADS + 1)]
    assert [request(firsts, one).repeated for one in data] == [None] * (HEADS + 1)
    longer = post(b"/%d" % HEADS, more=CLOSE, body=b"x" * 123)
    again = request(firsts, longer)
    assert (again.method, again.target, again.peer) == (b"POST", b"/%d" % HEADS, "192.0.2.1")
    assert again.headers == [
        (b"host", b"a"),
        (b"connection", b"close"),
        (b"content-length", b"123"),
    ]
    assert again.repeated is not None
    assert request(firsts, data[HEADS]).repeated is again.repeated
    assert request(firsts, data[0]).repeated is None  # forgotten
    assert firsts.read(post(b"/%d" % HEADS, more=CLOSE, body=b"x" * 1001), "") is None
    assert firsts.read(longer[:-1], "") is None
    assert firsts.read(longer + b"x", "") is None
    assert repr(again) == "FirstRequest()"
    for number in range(LESSONS):
        request(firsts, post(b"/new/%d" % number, more=CLOSE))
    last = post(b"/new", more=CLOSE)
    assert [request(firsts, last).repeated for _ in range(2)] == [None, None]


def request(firsts: FirstRequests, data: bytes) -> FirstRequest:
    first = firsts.read(data, "192.0.2.1")
    assert first is not None
    return first


@on_both_loops
def test_who_accepts_changes_with_the_load(run: Run) -> None:
    async def scene() -> None:
        async with serving() as served:
            server, shedder = served.server, Shedder()
            for _ in range(3):
                assert statuses(await served.raw(post(more=CLOSE))) == [200]
                server.shed_by(shedder)
                server.shed_by(shedder)
                assert statuses(await served.raw(post(more=CLOSE))) == [503]
                assert statuses(await served.raw(post(b"/v1", more=CLOSE))) == [200]
                server.shed_by(None)
                server.shed_by(shedder)  # before the loop has begun again
                server.shed_by(None)
            kept = len(shedder.kinds)
            assert statuses(await served.raw(post(more=CLOSE))) == [200]
            assert len(shedder.kinds) == kept
            server.shed_by(shedder)
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", served.port))

    run(scene())


@on_both_loops
def test_clients_that_leave_or_say_nothing(run: Run) -> None:
    async def scene(served: Served, shedder: Shedder) -> None:
        address = ("127.0.0.1", served.port)
        for _ in range(3):
            socket.create_connection(address).close()
        gone = socket.create_connection(address)
        gone.sendall(post(more=CLOSE))
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        gone.close()
        silent = socket.create_connection(address)
        await until(lambda: len(served.server.connections) == 1)  # a system may hold it back first
        silent.close()
        assert statuses(await served.raw(post(more=CLOSE))) == [503]
        await until(lambda: not served.server.connections)

    run(shedding(scene))


async def test_a_fault_in_shedding_is_the_handlers_to_meet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(request: Request) -> Answer | None:
        raise ZeroDivisionError

    async with serving() as served:
        served.server.shed_by(broken)
        for more in (b"", CLOSE):
            assert statuses(await served.raw(post(more=more))) == [200]
    assert "could not be refused at once" in caplog.text


class Exhausted:
    """A listening socket for which there are no descriptors left, `times` times."""

    def __init__(self, real: socket.socket, times: int) -> None:
        self._real = real
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def accept(self) -> Any:
        if self.times:
            self.times -= 1
            raise OSError(errno.EMFILE, "too many open files")
        return self._real.accept()


async def test_without_descriptors_it_accepts_later() -> None:
    async with serving() as served:
        [listener] = served.server._listeners
        assert isinstance(listener, Listener)
        [backlog] = listener._backlogs
        exhausted = Exhausted(backlog._socket, 2)
        backlog._socket = exhausted  # type: ignore[assignment]
        served.server.shed_by(Shedder())
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(post(more=CLOSE))
        assert statuses(await read_all(reader)) == [503]
        writer.close()
        assert exhausted.times == 0
