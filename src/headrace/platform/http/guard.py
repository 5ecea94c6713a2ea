"""Which addresses the gateway may connect to for URLs that others have a say in: the documents of
identity providers, webhooks. Pure.

Checked is the address that a socket is about to be connected to, never a name or a URL: names
resolve to anything, and resolvers read `0177.0.0.1`, `2130706433` and `127.1` as 127.0.0.1.
The ranges are in `config/address_ranges.py`.
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct

from headrace.config.address_ranges import (
    LOOPBACK,
    METADATA,
    NOT_PUBLIC,
    PRIVATE,
    PUBLIC_IPV6,
    IPv4,
    IPv6,
    inner,
    is_in,
)

_ISATAP = (0x00005EFE, 0x02005EFE)
_GROUPS = (
    ("the metadata service of a cloud, or link-local", False, METADATA),
    ("an address of this machine", True, LOOPBACK),
    ("a private address", True, PRIVATE),
    ("no public address", False, NOT_PUBLIC),
)
"""In order of the look-up: what it is, whether `allow_private` allows it, the ranges."""


def unwrapped(address: str) -> str:
    """An IPv4 address in IPv6's clothes (`::ffff:192.0.2.1`, as sockets that serve both families
    show it) as IPv4; any other as it is."""
    if not address.startswith("::ffff:"):
        return address
    try:
        mapped = IPv6(address).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


class AddressGuard(Struct, frozen=True):
    """`allow_private`: this machine's own addresses and private ranges are allowed; the clouds'
    metadata services never are."""

    allow_private: bool = False

    def objection(self, address: str) -> str | None:
        """What is wrong with the address of a socket, None if nothing is."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "no address"
        return self._objection(inner(parsed))

    def _objection(self, address: IPv4 | IPv6) -> str | None:
        for what, may_be_allowed, networks in _GROUPS:
            if is_in(address, networks):
                if not may_be_allowed:
                    return what
                return None if self.allow_private else f"{what}, which takes `allow_private: true`"
        if isinstance(address, IPv6):
            if address not in PUBLIC_IPV6:
                return "no public address"
            if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
                return self._objection(IPv4(int(address) & 0xFFFFFFFF))
        return None
