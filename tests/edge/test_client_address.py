"""Whose address a call has, where proxies stand in front."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from headrace.config.loading import load
from headrace.edge.client_address import AddressWatch, TrustedProxies
from headrace.gateway.by_address import is_by_address, shared_address

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


def test_who_speaks_for_others_without_being_trusted_is_told_once() -> None:
    told: list[str] = []
    proxies = TrustedProxies(["10.0.0.0/8"])
    watch = AddressWatch(proxies, told.append)
    said = [(b"x-forwarded-for", CLIENT.encode())]
    assert watch.client(PROXY, said) == CLIENT
    assert watch.client(LIE, []) == LIE
    assert watch.client("", said) == ""
    assert told == [], "a trusted proxy, nobody's proxy, a socket without an address"
    assert watch.client("2001:db8::9", said) == "2001:db8::9"
    assert watch.client(LIE, said) == LIE
    assert watch.client(PROXY, said) == CLIENT
    assert len(told) == 1
    assert "2001:db8::9 sends x-forwarded-for" in told[0]
    assert "`server: {trusted_proxies: ['2001:db8::9']}`" in told[0]


@pytest.mark.parametrize(
    ("more", "goes"),
    [
        ("limits: [{per: [user, ip], requests: 3}]", True),
        ("limits: [{per: user, requests: 3}]", False),
        ("budgets: [{per: user, tokens: 3, every: day, only: {ip: 192.0.2.7}}]", True),
        ("keys: {k: {secret: env:K, ip_ranges: [10.0.0.0/8]}}", True),
        ("keys: {k: {secret: env:K, limits: [{per: ip, requests: 3}]}}", True),
        ("keys: {k: {secret: env:K}}", False),
        ("tenants: {t: {teams: {u: {limits: [{per: ip, requests: 3}]}}}}", True),
    ],
)
def test_what_goes_by_addresses(more: str, goes: bool, tmp_path: Path) -> None:
    (tmp_path / "headrace.yaml").write_text(
        f'backends: {{up: {{provider: openai, url: "http://127.0.0.1:9/v1"}}}}\n{more}\n'
    )
    assert is_by_address(load(tmp_path / "headrace.yaml").config) is goes


PER_IP = "limits: [{per: ip, requests: 3}]"
IN_RANGES = "keys: {k: {secret: env:K, ip_ranges: [%s]}}"


@pytest.mark.parametrize(
    ("server", "more", "where"),
    [
        ("", "limits: [{per: user, requests: 3}, {per: ip, requests: 3}]", "limits[1]"),
        ("host: localhost", "budgets: [{per: ip, tokens: 3}]", "budgets[0]"),
        ("host: '::1'", IN_RANGES % "10.0.0.0/8", "keys.k.ip_ranges"),
        ("trusted_proxies: [10.0.0.0/8]", PER_IP, "limits[0]"),
        ("trusted_proxies: ['::1']", PER_IP, "limits[0]"),
        ("trusted_proxies: [127.0.0.0/8]", PER_IP, None),
        ("host: localhost, trusted_proxies: ['::1']", PER_IP, None),
        ("", IN_RANGES % "127.0.0.0/8, '::1'", None),
        ("", "limits: [{per: user, requests: 3}]", None),
        ("host: 0.0.0.0", PER_IP, None),
    ],
)
def test_one_address_of_all_clients_is_told_before_a_client_comes(
    server: str, more: str, where: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "headrace.yaml"
    file.write_text(f"server: {{{server}}}\n{more}\nbackends: {{up: {{provider: local}}}}\n")
    loaded = load(file)
    told = map(str, shared_address(loaded, loaded.config.server.host))
    expected = [] if where is None else [f"{file}:2: {where}: it goes by clients' addresses"]
    assert [text.partition(",")[0] for text in told] == expected
    assert shared_address(loaded, "192.0.2.1") == [], "other machines come to it"
