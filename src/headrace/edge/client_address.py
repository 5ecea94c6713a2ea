"""The client's address where proxies stand in front. Pure.

What a header says is believed only of proxies that the operator named: each of them adds the
address that it saw to the right end, so the right-most one that is not of a trusted proxy is the
client's. What stands further left a client may have written itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, Protocol

from headrace.platform.http.guard import unwrapped

_KNOWN_LIMIT = 4096
_HOPS_LIMIT = 32
_FORWARDED_FOR = b"x-forwarded-for"
_SPOKEN_BY = (_FORWARDED_FOR, b"forwarded")
_FOR = re.compile(rb"(?:^|;)\s*for=(\"[^\"]*\"|[^;]*)", re.IGNORECASE)


class ClientAddress(Protocol):
    """Who knows a client's address."""

    def client(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The client's address. `peer` is the socket's; `headers` have lower-case names."""
        ...


class TrustedProxies:
    """`ranges` are CIDR texts. One header counts, for a proxy that writes one of them passes the
    other on as its client sent it. Raises ValueError for what is no range."""

    def __init__(
        self,
        ranges: Iterable[str],
        header: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
    ) -> None:
        self._networks = [ipaddress.ip_network(text) for text in ranges]
        self._header = header.encode()
        self._reads = _forwarded if header == "forwarded" else bytes.strip
        self._known: dict[str, bool] = {}
        """Whether an address is of a trusted proxy: there are few, and parsing takes its time."""

    def client(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The client's address. `peer` is the socket's; `headers` have lower-case names."""
        if not self.trusts(peer):
            return peer
        hops = [
            hop
            for name, value in headers
            if name == self._header
            for hop in value.split(b",")
            if hop.strip()
        ]
        address = peer
        for hop in reversed(hops[-_HOPS_LIMIT:]):
            said = _address(self._reads(hop))
            if said is None:
                break  # not an address: who stands behind it is not known
            address = said
            if not self.trusts(said):
                break
        return address

    def trusts(self, address: str) -> bool:
        """Whether it is the address of a proxy that is believed."""
        trusted = self._known.get(address)
        if trusted is None:
            trusted = self._is_within(address)
            if len(self._known) >= _KNOWN_LIMIT:
                self._known.clear()
            self._known[address] = trusted
        return trusted

    def _is_within(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self._networks)


class AddressWatch:
    """Where limits or keys go by the client's address: beside finding it, notices a peer that
    speaks for others without being trusted, for all whom it speaks for then have one address."""

    def __init__(self, proxies: TrustedProxies | None, tell: Callable[[str], None]) -> None:
        """`tell` is called once, with what is the matter and what to write."""
        self._proxies = proxies
        self._tell: Callable[[str], None] | None = tell

    def client(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """As of `TrustedProxies`."""
        if self._tell is not None and peer and not self._trusts(peer):
            named = {name for name, _ in headers if name in _SPOKEN_BY}
            if named:
                tell, self._tell = self._tell, None
                tell(untrusted(peer, "x-forwarded-for" if _FORWARDED_FOR in named else "forwarded"))
        return peer if self._proxies is None else self._proxies.client(peer, headers)

    def _trusts(self, peer: str) -> bool:
        return self._proxies is not None and self._proxies.trusts(peer)


def untrusted(peer: str, header: str) -> str:
    """What an operator is told of a peer that sends this header."""
    written = f"'{peer}'" if ":" in peer else peer
    more = ", client_address_header: forwarded" if header == "forwarded" else ""
    return (
        f"{peer} sends {header} but is not among server.trusted_proxies, so limits by address and "
        f"keys' ip_ranges take {peer} for the address of all its clients. If it is a proxy of "
        f"yours, write `server: {{trusted_proxies: [{written}]{more}}}`; if not, all is well"
    )


def _forwarded(hop: bytes) -> bytes:
    """The `for` of one element of `Forwarded` (RFC 7239), without its quotes."""
    found = _FOR.search(hop)
    return b"" if found is None else found[1].strip().strip(b'"')


def _address(hop: bytes) -> str | None:
    """An address as text, without a port or brackets; None for what is none."""
    text = hop.decode("latin-1")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]  # 192.0.2.1:4711, as Azure's gateways write
    try:
        return unwrapped(str(ipaddress.ip_address(text)))
    except ValueError:
        return None
