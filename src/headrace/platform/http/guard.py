"""Which addresses the gateway may connect to for URLs that others have a say in: the documents of
identity providers, webhooks. Pure.

Checked is the address that a socket is about to be connected to, never a name or a URL: names
resolve to anything, and resolvers read `0177.0.0.1`, `2130706433` and `127.1` as 127.0.0.1.
Python 3.11's `is_global` does not do: it lets 64:ff9b::a9fe:a9fe pass, which is a cloud's metadata
service behind NAT64. So the ranges are written out, after IANA's special-purpose registries (RFC
6890 and its updates) and the documentation of the clouds.
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_METADATA = (
    "169.254.0.0/16",  # AWS, Azure, GCP and most others; all of link-local
    "168.63.129.16/32",  # Azure's wire server
    "100.100.100.200/32",  # Alibaba Cloud
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::/32",  # AWS
    "fd20:ce::/32",  # GCP
    "fe80::/10",
)
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # carrier-grade NAT, and many clusters
    "fc00::/7",
)
_NOT_PUBLIC = (
    "0.0.0.0/8",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "2001::/23",  # Teredo, ORCHID, benchmarking and other protocols
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "2620:4f:8000::/48",
    "3fff::/20",
)
_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def _networks(texts: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_GROUPS = (
    ("the metadata service of a cloud, or link-local", False, _networks(_METADATA)),
    ("an address of this machine", True, _networks(_LOOPBACK)),
    ("a private address", True, _networks(_PRIVATE)),
    ("no public address", False, _networks(_NOT_PUBLIC)),
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
        return self._objection(_inner(parsed))

    def _objection(self, address: IPv4 | IPv6) -> str | None:
        for what, may_be_allowed, networks in _GROUPS:
            if any(address in network for network in networks):
                if not may_be_allowed:
                    return what
                return None if self.allow_private else f"{what}, which takes `allow_private: true`"
        if isinstance(address, IPv6):
            if address not in _PUBLIC_IPV6:
                return "no public address"
            if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
                return self._objection(IPv4(int(address) & 0xFFFFFFFF))
        return None


def _inner(address: IPv4 | IPv6) -> IPv4 | IPv6:
    """The IPv4 address that is meant by an IPv6 one, if one is."""
    if isinstance(address, IPv6):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4(int(address) & 0xFFFFFFFF)
    return address
