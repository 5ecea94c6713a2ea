"""Addresses that are not the public internet's, by what they are. Pure.

After IANA's special-purpose registries (RFC 6890 and its updates) and the documentation of the
clouds. Python 3.11's `is_global` does not do: it lets 64:ff9b::a9fe:a9fe pass, which is a cloud's
metadata service behind NAT64.
"""

from __future__ import annotations

import ipaddress

from headrace.config.terms import IpNetwork

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address


def _networks(*texts: str) -> tuple[IpNetwork, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


METADATA = _networks(
    "169.254.0.0/16",  # AWS, Azure, GCP and most others; all of link-local
    "168.63.129.16/32",  # Azure's wire server
    "100.100.100.200/32",  # Alibaba Cloud
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::/32",  # AWS
    "fd20:ce::/32",  # GCP
    "fe80::/10",
)
"""Within other groups too, so they are looked at first."""
LOOPBACK = _networks("127.0.0.0/8", "::1/128")
PRIVATE = _networks(
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",  # carrier-grade NAT, and many clusters
    "fc00::/7",
)
NOT_PUBLIC = _networks(
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
PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_in(address: IPv4 | IPv6, networks: tuple[IpNetwork, ...]) -> bool:
    return any(address in network for network in networks)


def inner(address: IPv4 | IPv6) -> IPv4 | IPv6:
    """The IPv4 address that is meant by an IPv6 one, if one is."""
    if isinstance(address, IPv6):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4(int(address) & 0xFFFFFFFF)
    return address
