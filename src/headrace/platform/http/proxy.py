"""Which proxy an origin is reached through: the environment's convention, read once."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from headrace.platform.http.messages import Origin

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Proxy(NamedTuple):
    """One HTTP proxy. `scheme` `https` means TLS to the proxy itself. `authorization` is the value
    of Proxy-Authorization, a secret: never shown by repr."""

    scheme: str
    host: str
    port: int
    authorization: bytes | None = None

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """A proxy from `http://user:password@host:port` or `host:port`. Raises ValueError, whose
        text never holds the URL, since that may hold a password."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("the proxy's address is not a URL") from None
        if parts.scheme not in _DEFAULT_PORTS or not host:
            raise ValueError("a proxy must be an http:// or https:// URL that names a host")
        authorization = None
        if parts.username is not None:
            user_pass = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = b"Basic " + b64encode(user_pass.encode())
        return cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], authorization)

    def __repr__(self) -> str:
        secret = ", with credentials" if self.authorization else ""
        return f"Proxy({self.scheme}://{self.host}:{self.port}{secret})"


class ProxyPlan:
    """Chooses the proxy of an origin, or none.

    `bypass` is NO_PROXY's list, comma-separated: `*` for all; `example.com` or `.example.com` for
    that host and all below it; an address; a CIDR block; each but the last with an optional
    `:port`. As in Go and curl's current practice, loopback (`localhost`, `*.localhost`,
    127.0.0.0/8, ::1) is never proxied: a proxy elsewhere would reach its own loopback, not ours.
    Names are not resolved, so CIDR blocks match literal addresses only.
    """

    def __init__(
        self, *, http: Proxy | None = None, https: Proxy | None = None, bypass: str = ""
    ) -> None:
        self._http = http
        self._https = https
        self._bypass = [rule for part in bypass.split(",") if (rule := part.strip().lower())]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ProxyPlan:
        """Reads HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, the lower-case name first. Under
        CGI (REQUEST_METHOD set), HTTP_PROXY in capitals is a client's header and is ignored
        (CVE-2016-5385). Raises ValueError that names the variable, never its value."""

        def value(name: str) -> str:
            lower = environment.get(name.lower())
            if lower is not None:
                return lower.strip()
            if name == "HTTP_PROXY" and "REQUEST_METHOD" in environment:
                return ""
            return environment.get(name, "").strip()

        def proxy(name: str) -> Proxy | None:
            for each in (name, "ALL_PROXY"):
                if url := value(each):
                    try:
                        return Proxy.parse(url)
                    except ValueError as error:
                        raise ValueError(f"{each}: {error}") from None
            return None

        return cls(http=proxy("HTTP_PROXY"), https=proxy("HTTPS_PROXY"), bypass=value("NO_PROXY"))

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy to reach this origin through, None for a direct connection."""
        proxy = self._https if origin.scheme == "https" else self._http
        if proxy is None or _is_loopback(origin.host) or self._is_bypassed(origin):
            return None
        return proxy

    def _is_bypassed(self, origin: Origin) -> bool:
        host = origin.host.lower().rstrip(".")
        address = _address(host)
        for rule in self._bypass:
            if rule == "*":
                return True
            if "/" in rule:
                if address is not None and _in_block(address, rule):
                    return True
                continue
            name, port = _split_port(rule)
            if port is not None and port != origin.port:
                continue
            if address is not None:
                if _address(name) == address:
                    return True
            elif host == name.lstrip(".") or host.endswith("." + name.lstrip(".")):
                return True
        return False

    def __repr__(self) -> str:
        return f"ProxyPlan(http={self._http!r}, https={self._https!r}, bypass={self._bypass!r})"


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _in_block(address: _Address, block: str) -> bool:
    try:
        return address in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def _split_port(rule: str) -> tuple[str, int | None]:
    """`host:port`, `[v6]:port`, `v6` or `host` apart."""
    if rule.startswith("["):
        name, _, rest = rule[1:].partition("]")
        return name, int(rest[1:]) if rest[1:].isdecimal() else None
    if rule.count(":") == 1:
        name, _, port = rule.partition(":")
        return name, int(port) if port.isdecimal() else None
    return rule, None


def absolute_form(head: bytes, prefix: bytes, lines: bytes) -> bytes:
    """`POST /v1 HTTP/1.1` as `POST http://host/v1 HTTP/1.1`, then the proxy's header lines."""
    method, _, rest = head.partition(b" ")
    target_version, crlf, headers = rest.partition(b"\r\n")
    return b"".join((method, b" ", prefix, target_version, crlf, lines, headers))
