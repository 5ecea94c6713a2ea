"""T22: no connection to a blocked address, however it is written or resolved."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from client_lab import CALM, OK, Upstream, once

from headrace.platform.http.client import HttpTransport
from headrace.platform.http.guard import AddressGuard, unwrapped
from headrace.platform.http.messages import Fault, Origin, TransportError, WireRequest, encode_head
from headrace.platform.http.proxy import ProxyPlan


def _words(text: str) -> list[str]:
    return text.split()


LOOPBACK = _words("""
127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.254 127.255.255.255 127.0.1.1 localhost localhost.
LOCALHOST 0177.0.0.1 0177.0.0.01 0x7f.0.0.1 0x7f.1 0x7F000001 2130706433 017700000001 127.1
127.0.1 0x7f.0x0.0x0.0x1 0177.0.1 127.0.0.0x1 127.0.0.01 0x7f.0.1 127.00.00.01 127。0。0。1
127．0．0．1 １２７.０.０.１ ①②⑦.⓪.⓪.① 127.0.0.１ 0 0.0.0.0 0x0 00 0.0 0.0.0 0.1.2.3 0x00000000
[::1]
[0:0:0:0:0:0:0:1] [0000:0000:0000:0000:0000:0000:0000:0001] [::0001] [0::1] [::]
[::ffff:127.0.0.1] [::ffff:7f00:1] [::FFFF:127.0.0.1] [0:0:0:0:0:ffff:7f00:0001]
[::ffff:0.0.0.0] [::127.0.0.1] [::7f00:1] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1]
[64:ff9b::7f00:1] [2002:7f00:1::] [2002:7f00:0001::1] [2001:0:7f00:1::] [2001::80ff:fffe]
[64:ff9b:1::7f00:1] [2001:0:4136:e378:8000:63bf:80ff:fffe] [2a00::5efe:127.0.0.1]
[2a00::200:5efe:7f00:1]
""")
METADATA = _words("""
169.254.169.254 169.254.169.253 169.254.170.2 169.254.170.23 169.254.0.1 169.254.255.255
0xa9fea9fe 2852039166 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.254.43518 169.16689662
0xA9.0376.43518 169.254.0xa9.0376 025177524776 168.63.129.16 0xa83f8110 2822734096
100.100.100.200 0x646464c8 1684301000 192.0.0.192 3221225664 [::ffff:169.254.169.254]
[::ffff:a9fe:a9fe] [64:ff9b::169.254.169.254] [64:ff9b::a9fe:a9fe] [2002:a9fe:a9fe::]
[::169.254.169.254] [::ffff:168.63.129.16] [64:ff9b::a83f:8110] [::ffff:100.100.100.200]
[fd00:ec2::254] [fd00:ec2::23] [fd20:ce::254] [fe80::a9fe:a9fe] [fe80::1] [febf::1]
[64:ff9b::192.0.0.192] [2a00::5efe:169.254.169.254] [::ffff:0:a9fe:a9fe] [2001:0:a9fe:a9fe::1]
[2002:a83f:8110::1]
""")
PRIVATE = _words("""
10.0.0.0 10.0.0.1 10.255.255.255 10.1 0x0a000001 167772161 012.0.0.1 172.16.0.1 172.31.255.255
192.168.0.1 192.168.255.255 0xc0a80001 3232235521 0300.0250.0.1 192.168.1 100.64.0.1
100.127.255.254 [fc00::1] [fdff:ffff::1] [fd12:3456:789a::1] [::ffff:10.0.0.1] [::ffff:c0a8:1]
[64:ff9b::10.0.0.1] [64:ff9b::c0a8:1] [2002:a00:1::] [2002:c0a8:1::1] [::10.0.0.1]
[2001:0:a00:1::1] [2a00::5efe:10.0.0.1] [::ffff:172.16.0.1] [64:ff9b::ac10:1]
[::ffff:100.64.0.1]
""")
NOT_PUBLIC = _words("""
192.0.0.1 192.0.0.8 192.0.0.170 192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1
192.88.99.1 192.31.196.1 192.52.193.1 192.175.48.1 224.0.0.1 224.0.0.251 239.255.255.250
240.0.0.1 255.255.255.255 0xffffffff 4294967295 [ff02::1] [ff0e::1] [100::1] [2001:db8::1]
[2001:2::1] [2001:10::1] [2001:20::1] [3fff::1] [5f00::1] [fec0::1] [4000::1] [e000::1]
[2620:4f:8000::1] [::ffff:224.0.0.1] [64:ff9b::e000:1] [64:ff9b:1::1] [64:ff9b:1:fffe::8.8.8.8]
[::2] [::8.8.8.8] [1::1] [2002:808:808::1] [2001:0:808:808::1]
""")
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "20.190.128.1", "9.255.255.255", "11.0.0.1", "172.15.255.255",
    "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.255.255", "169.255.0.1",
    "168.63.129.15", "192.0.1.1", "192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1",
    "223.255.255.255", "2606:4700:4700::1111", "2001:4860:4860::8888", "2603:1006::1",
    "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8", "2001:200::1", "2003::1",
]  # fmt: skip
CORPUS = [*LOOPBACK, *METADATA, *PRIVATE, *NOT_PUBLIC]


def test_the_corpus_is_large() -> None:
    assert len(set(CORPUS)) == len(CORPUS) >= 150


def get(host: str, port: int) -> WireRequest:
    origin = Origin("http", host.strip("[]"), port)
    return WireRequest(origin, encode_head(b"GET", b"/", [(b"Host", b"x")]), b"")


@asynccontextmanager
async def canary() -> AsyncIterator[tuple[int, list[str]]]:
    """A server on all of this machine's addresses: its port, and who came."""
    came: list[str] = []

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(str(writer.get_extra_info("peername")))
        writer.close()

    sock = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("", 0))
    server = await asyncio.start_server(take, sock=sock)
    try:
        yield sock.getsockname()[1], came
    finally:
        server.close()
        await server.wait_closed()


async def test_no_connection_to_a_blocked_address() -> None:
    """Each through the real resolver and a real dial, to a port where somebody listens."""
    guarded = HttpTransport(guard=AddressGuard())
    blocked = 0
    async with canary() as (port, came):
        for host in CORPUS:
            with pytest.raises(TransportError) as caught:
                await guarded.send(get(host, port), CALM)
            # What this machine's resolver does not read as an address is no address either.
            assert caught.value.fault in (Fault.BLOCKED, Fault.CONNECT), (host, caught.value)
            blocked += caught.value.fault is Fault.BLOCKED
        await asyncio.sleep(0.05)
        assert came == []
        with pytest.raises(TransportError) as reached:
            await HttpTransport().send(get("127.1", port), CALM)
        assert reached.value.fault is not Fault.BLOCKED
        assert len(came) >= 1, "the canary hears nobody"
    assert blocked >= 150
    await guarded.close()


@pytest.mark.parametrize("host", [*METADATA, *NOT_PUBLIC])
def test_private_does_not_allow_metadata(host: str) -> None:
    try:
        found = socket.getaddrinfo(host.strip("[]"), 80, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        pytest.fail(f"{host} is not read here")
    for _, _, _, _, address in found:
        assert AddressGuard(allow_private=True).objection(str(address[0])) is not None


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert AddressGuard().objection(address) is None


@pytest.mark.parametrize("text", ["", "example.com", "1.2.3", "127.0.0.1:80", "::g", "%", "0x7f.1"])
def test_what_is_no_address_is_not_allowed(text: str) -> None:
    assert AddressGuard().objection(text) == "no address"


async def test_private_may_be_allowed() -> None:
    async with Upstream(once(OK)) as upstream:
        allowing = HttpTransport(guard=AddressGuard(allow_private=True))
        response = await allowing.send(get("127.0.0.1", upstream.origin.port), CALM)
        assert response.status == 200
        response.close()
        await allowing.close()


async def test_one_blocked_address_of_a_name_blocks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is resolved once: to rebind a name after the check gains nothing."""
    asked = []
    answers = [["93.184.215.14", "127.0.0.1"], ["127.0.0.1"]]

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in answers[min(len(asked) - 1, 1)]
        ]

    async with canary() as (port, came):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
        guarded = HttpTransport(guard=AddressGuard())
        with pytest.raises(TransportError) as caught:
            await guarded.send(get("rebound.example", port), CALM)
        assert caught.value.fault is Fault.BLOCKED
        assert len(asked) == 1
        assert came == []
        await guarded.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::1]", "localhost", "169.254.169.254"])
async def test_addresses_are_checked_behind_a_proxy_too(host: str) -> None:
    """The proxy is the operator's own, so its address is not."""
    async with canary() as (port, came):
        plan = ProxyPlan.from_environment({"http_proxy": f"http://127.0.0.1:{port}"})
        guarded = HttpTransport(guard=AddressGuard(), proxy=plan)
        with pytest.raises(TransportError) as caught:
            await guarded.send(get(host, 80), CALM)
        assert caught.value.fault is Fault.BLOCKED
        assert came == []
        with pytest.raises(TransportError):
            await guarded.send(get("example.com", 80), CALM)
        assert len(came) == 2 or len(came) == 1
        await guarded.close()


async def test_a_redirect_is_not_followed() -> None:
    async with canary() as (port, came):
        to = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\nContent-Length: 0\r\n\r\n"
        async with Upstream(once(to % port)) as upstream:
            transport = HttpTransport(guard=AddressGuard(allow_private=True))
            response = await transport.send(get("127.0.0.1", upstream.origin.port), CALM)
            assert response.status == 302
            response.close()
            await transport.close()
        assert came == []


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:0:0:1", "::ffff:0:0:1"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_mapped_addresses_are_shown_as_ipv4(address: str, plain: str) -> None:
    assert unwrapped(address) == plain
