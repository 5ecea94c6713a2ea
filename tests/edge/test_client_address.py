"""Whose address a call has, where proxies stand in front."""

from __future__ import annotations

from typing import Literal

import pytest

from headrace.edge.client_address import TrustedProxies

PROXY, OUTER, CLIENT, LIE = "10.0.0.1", "10.0.0.2", "192.0.2.7", "203.0.113.66"


def of(
    *values: str,
    peer: str = PROXY,
    ranges: tuple[str, ...] = ("10.0.0.0/8",),
    header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
) -> str:
    headers = [(b"host", b"x"), *((header.encode(), value.encode("latin-1")) for value in values)]
    return TrustedProxies(ranges, header).client(peer, headers)


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ((), PROXY),
        (("",), PROXY),
        ((CLIENT,), CLIENT),
        ((f"{LIE}, {CLIENT}",), CLIENT),
        ((f"{LIE},{CLIENT} , {OUTER}",), CLIENT),
        ((LIE, CLIENT), CLIENT),
        ((LIE, f"{CLIENT}, {OUTER}"), CLIENT),
        ((f"{OUTER}, 10.0.0.3",), OUTER),
        ((f"{CLIENT}:4711",), CLIENT),
        (("[2001:db8::7]:4711",), "2001:db8::7"),
        (("[2001:db8::7]",), "2001:db8::7"),
        (("2001:DB8:0::7",), "2001:db8::7"),
        ((f"::ffff:{CLIENT}",), CLIENT),
        ((f"{LIE}, ::ffff:{OUTER}",), LIE),
        # Behind what is no address nobody is known: the last that is stands.
        (("unknown",), PROXY),
        ((f"{LIE}, unknown",), PROXY),
        ((f"{LIE}, unknown, {OUTER}",), OUTER),
        ((f"{LIE}, _hidden",), PROXY),
        ((f"{LIE}, 999.1.1.1",), PROXY),
        ((f"{LIE}, 0x7f.1",), PROXY),
        ((f"{LIE}, 192.0.2.7/24",), PROXY),
        ((f"{LIE}, \xe9\xff",), PROXY),
        ((f"{LIE}, ' or 1=1 --",), PROXY),
        ((f"{LIE}, <script>",), PROXY),
        ((f"{CLIENT},,",), CLIENT),
    ],
)
def test_the_right_most_that_is_not_trusted(values: tuple[str, ...], address: str) -> None:
    assert of(*values) == address


def test_nobody_else_is_believed() -> None:
    assert of(LIE, peer=CLIENT) == CLIENT
    assert of(LIE, peer="") == ""
    assert of(LIE, peer="fe80::1%eth0") == "fe80::1%eth0"
    assert of(CLIENT, peer="fe80::1%eth0", ranges=("fe80::/10",)) == CLIENT


def test_one_header_counts() -> None:
    forwarded = [(b"forwarded", f"for={LIE}".encode())]
    assert TrustedProxies(["10.0.0.0/8"]).client(PROXY, forwarded) == PROXY
    other = [(b"x-forwarded-for", LIE.encode())]
    assert TrustedProxies(["10.0.0.0/8"], "forwarded").client(PROXY, other) == PROXY


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (f"for={CLIENT}", CLIENT),
        (f"For={CLIENT};proto=https;by={PROXY}", CLIENT),
        (f"proto=https; for={CLIENT}", CLIENT),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        (f'for="{CLIENT}:4711"', CLIENT),
        (f"for={LIE}, for={CLIENT}", CLIENT),
        (f"for={LIE}, for={CLIENT};by=x, for={OUTER}", CLIENT),
        (f"for={LIE}, for=unknown", PROXY),
        (f"for={LIE}, for=_secret", PROXY),
        (f"for={LIE}, by={OUTER}", PROXY),
        (f"for={LIE}, xfor={CLIENT}", PROXY),
        ("for=", PROXY),
        ('for="', PROXY),
    ],
)
def test_forwarded(value: str, address: str) -> None:
    assert of(value, header="forwarded") == address


def test_long_headers_are_cheap_and_many_peers_bounded() -> None:
    proxies = TrustedProxies(["10.0.0.0/8"])
    assert proxies.client(PROXY, [(b"x-forwarded-for", b"10.0.0.9," * 3000)]) == "10.0.0.9"
    for i in range(10_000):
        proxies.client(f"192.0.{i // 256}.{i % 256}", [])
    assert len(proxies._known) <= 4096
    assert proxies.client(PROXY, [(b"x-forwarded-for", CLIENT.encode())]) == CLIENT


def test_a_range_that_is_none() -> None:
    with pytest.raises(ValueError, match="999"):
        TrustedProxies(["999.0.0.0/8"])
