"""The client's address where proxies stand in front. Pure.

What a header says is believed only of proxies that the operator named: each of them adds the
address that it saw to the right end, so the right-most one that is not of a trusted proxy is the
client's. What stands further left a client may have written itself.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from headrace.platform.http.guard import unwrapped

_KNOWN_LIMIT = 4096
_HOPS_LIMIT = 32
_FOR = re.compile(rb"(?:^|;)\s*for=(\"[^\"]*\"|[^;]*)", re.IGNORECASE)


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
        if not self._trusts(peer):
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
            if not self._trusts(said):
                break
        return address

    def _trusts(self, address: str) -> bool:
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
