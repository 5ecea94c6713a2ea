"""TLS with real certificates, CONNECT through a real proxy."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator

import pytest
import trustme
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
from headrace.platform.http.proxy import Proxy, ProxyPlan


class Authority:
    """A certificate authority that servers and clients of these tests know."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self.client = ssl.create_default_context()
        self._ca.configure_trust(self.client)

    def server(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    yield Authority()


@pytest.fixture(autouse=True)
async def _clean() -> AsyncIterator[None]:
    async with nothing_left():
        yield


async def silent(peer: Peer) -> None:
    await peer.gone()


async def test_a_connection_by_tls_is_used_again(authority: Authority) -> None:
    tls = authority.server("127.0.0.1")
    async with (
        Upstream(forever(), tls=tls) as up,
        transport(ssl_context=authority.client) as client,
    ):
        for body in (b"{}", b"x" * 3_000_000, b"{}"):
            assert await (await client.send(up.request(body=body), CALM)).read(2) == b"hi"
        assert up.accepted == 1


async def test_a_certificate_of_another_name(authority: Authority) -> None:
    tls = authority.server("other.test")
    async with (
        Upstream(forever(), tls=tls) as up,
        transport(ssl_context=authority.client) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
    assert caught.value.fault is Fault.TLS


async def test_an_unknown_authority_is_refused_by_the_systems_trust(authority: Authority) -> None:
    tls = authority.server("127.0.0.1")
    async with Upstream(forever(), tls=tls) as up, transport() as client:
        with pytest.raises(TransportError) as caught:
            await client.send(up.request(), CALM)
    assert caught.value.fault is Fault.TLS


async def test_a_server_that_speaks_no_tls(authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with Upstream(script) as up, transport(ssl_context=authority.client) as client:
        with pytest.raises(TransportError) as caught:
            await client.send(replace(up.request(), origin=secure(up)), CALM)
    assert caught.value.fault is Fault.TLS


def secure(up: Upstream) -> Origin:
    return Origin("https", "127.0.0.1", up.port)


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_handshake_that_is_cut(authority: Authority, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        if how == "reset":
            peer.reset()

    async with Upstream(script) as up, transport(ssl_context=authority.client) as client:
        with pytest.raises(TransportError) as caught:
            await client.send(replace(up.request(), origin=secure(up)), CALM)
    assert caught.value.fault is Fault.TLS


async def test_a_handshake_that_stalls_times_out(authority: Authority) -> None:
    limits = Timeouts(connect_s=0.05, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S)
    async with Upstream(silent) as up, transport(ssl_context=authority.client) as client:
        started = time.monotonic()
        with pytest.raises(TransportError) as caught:
            await client.send(replace(up.request(), origin=secure(up)), limits)
        assert time.monotonic() - started >= 0.05
    assert caught.value.fault is Fault.CONNECT_TIMEOUT


async def test_cancel_during_the_handshake(authority: Authority) -> None:
    shaking, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.reader.read(1)
        shaking.set()
        await peer.gone()
        gone.set()

    async with Upstream(script) as up, transport(ssl_context=authority.client) as client:
        request = replace(up.request(), origin=secure(up))
        task = asyncio.ensure_future(client.send(request, CALM))
        await shaking.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), PATIENCE_S)


async def test_cancel_while_reading_by_tls(authority: Authority) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        await peer.gone()
        gone.set()

    async with (
        Upstream(script, tls=authority.server("127.0.0.1")) as up,
        transport(ssl_context=authority.client) as client,
    ):
        response = await client.send(up.request(), CALM)
        assert await response.next_chunk() == b"ab"
        task = asyncio.ensure_future(response.next_chunk())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), PATIENCE_S)


@pytest.mark.parametrize("clean", [True, False])
async def test_only_close_notify_ends_a_close_delimited_body(
    authority: Authority, clean: bool
) -> None:
    """RFC 9112, section 9.8: without it the body may have been cut by anyone on the path."""

    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 200 OK\r\n\r\nab")
        await peer.writer.drain()
        await asyncio.sleep(0.01)
        if not clean:
            peer.writer.transport.abort()

    async with (
        Upstream(script, tls=authority.server("127.0.0.1")) as up,
        transport(ssl_context=authority.client) as client,
    ):
        response = await client.send(up.request(), CALM)
        if clean:
            assert await response.read(9) == b"ab"
        else:
            with pytest.raises(TransportError) as caught:
                await response.read(9)
            assert caught.value.fault in (Fault.TRUNCATED, Fault.RESET)


# Proxies. `api.test` exists only behind the proxy, which maps every name to one upstream.


class LittleProxy:
    """CONNECT and absolute-form, to one upstream, whatever the name."""

    def __init__(self, up: Upstream) -> None:
        self.heads: list[bytes] = []
        self._up = up

    async def __call__(self, peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._up.port)
        try:
            head = await peer.reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if head.startswith(b"CONNECT "):
                peer.send(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
            else:
                writer.write(head)
            await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def behind(scheme: str) -> WireRequest:
    head = b"POST /v1 HTTP/1.1\r\nHost: api.test\r\n"
    return WireRequest(Origin(scheme, "api.test", 443 if scheme == "https" else 80), head, b"{}")


def plan(up: Upstream, scheme: str = "http", user: str = "") -> ProxyPlan:
    proxy = Proxy.parse(f"{scheme}://{user}127.0.0.1:{up.port}")
    return ProxyPlan(http=proxy, https=proxy)


@pytest.mark.parametrize("outer", ["http", "https"])
async def test_https_goes_by_connect(authority: Authority, outer: str) -> None:
    outer_tls = authority.server("127.0.0.1") if outer == "https" else None
    async with Upstream(forever(), tls=authority.server("api.test")) as up:
        little = LittleProxy(up)
        async with (
            Upstream(little, tls=outer_tls) as proxy,
            transport(
                ssl_context=authority.client, proxy=plan(proxy, outer, "user:p%40ss@")
            ) as client,
        ):
            for _ in range(2):
                response = await client.send(behind("https"), CALM)
                assert await response.read(2) == b"hi"
        credentials = b64encode(b"user:p@ss")
        assert little.heads == [
            b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n"
            b"Proxy-Authorization: Basic %b\r\n\r\n" % credentials
        ]


async def test_http_goes_in_absolute_form() -> None:
    async with Upstream(forever()) as up:
        little = LittleProxy(up)
        async with (
            Upstream(little) as proxy,
            transport(proxy=plan(proxy, user="user:pass@")) as client,
        ):
            for _ in range(2):
                assert await (await client.send(behind("http"), CALM)).read(2) == b"hi"
            assert proxy.accepted == 1
        assert little.heads == [
            b"POST http://api.test/v1 HTTP/1.1\r\nProxy-Authorization: Basic %b\r\n"
            b"Host: api.test\r\nContent-Length: 2\r\n\r\n" % b64encode(b"user:pass")
        ]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200",
        b"",
        b"HTTP/1.1 200 OK\r\n\r\nbytes of its own",
        b"x" * 20_000,
    ],
)
async def test_a_proxy_that_refuses(authority: Authority, answer: bytes) -> None:
    async with (
        Upstream(once(answer)) as proxy,
        transport(ssl_context=authority.client, proxy=plan(proxy, user="u:canary@")) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.send(behind("https"), CALM)
    assert caught.value.fault is Fault.CONNECT
    assert "canary" not in str(caught.value)
    assert b64encode(b"u:canary").decode() not in str(caught.value)


async def test_no_tls_behind_the_proxy(authority: Authority) -> None:
    async with (
        Upstream(once(OK)) as up,
        Upstream(LittleProxy(up)) as proxy,
        transport(ssl_context=authority.client, proxy=plan(proxy)) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.send(behind("https"), Timeouts(connect_s=0.3))
    assert caught.value.fault in (Fault.TLS, Fault.CONNECT_TIMEOUT)


async def test_a_wrong_certificate_behind_the_proxy(authority: Authority) -> None:
    async with (
        Upstream(forever(), tls=authority.server("other.test")) as up,
        Upstream(LittleProxy(up)) as proxy,
        transport(ssl_context=authority.client, proxy=plan(proxy)) as client,
    ):
        with pytest.raises(TransportError) as caught:
            await client.send(behind("https"), CALM)
    assert caught.value.fault is Fault.TLS


@pytest.mark.parametrize("stage", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
async def test_cancel_while_the_tunnel_opens(authority: Authority, stage: bytes) -> None:
    """While the proxy thinks, and during the handshake inside the tunnel."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.answer(stage)
        if stage:
            await peer.reader.read(1)
        asked.set()
        await peer.gone()
        gone.set()

    async with (
        Upstream(script) as proxy,
        transport(ssl_context=authority.client, proxy=plan(proxy)) as client,
    ):
        task = asyncio.ensure_future(client.send(behind("https"), CALM))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), PATIENCE_S)
