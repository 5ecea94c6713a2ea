"""Fetches small documents from URLs that are not wholly the operator's: identity providers'.

HTTPS only, by addresses that the guard allows, without redirects, bounded in bytes and time.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode, urlsplit

from headrace.platform.http.client import HttpTransport
from headrace.platform.http.guard import AddressGuard
from headrace.platform.http.messages import (
    Origin,
    Timeouts,
    TransportError,
    WireRequest,
    encode_head,
)
from headrace.platform.http.proxy import ProxyPlan

_TIMEOUTS = Timeouts(connect_s=4.0, first_byte_s=4.0, idle_s=4.0)


class DocumentError(Exception):
    """A document could not be had. `str()` is for the log."""


class Documents:
    """`allow_private`: this machine and private ranges may be asked, and over plain HTTP too."""

    def __init__(
        self,
        proxy: ProxyPlan | None,
        *,
        allow_private: bool = False,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._transport = HttpTransport(
            max_idle_per_origin=0,  # asked seldom: a kept one would be stale the next time
            proxy=proxy,
            ssl_context=ssl_context,
            guard=AddressGuard(allow_private=allow_private),
        )

    async def get(self, url: str, limit_bytes: int) -> bytes:
        """Raises DocumentError."""
        status, data = await self._ask(b"GET", url, (), b"", limit_bytes)
        if status != 200:
            raise DocumentError(f"{urlsplit(url).netloc} answered {status}")
        return data

    async def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        limit_bytes: int,
        authorization: bytes | None = None,
    ) -> tuple[int, bytes]:
        """The answer's status and body. `authorization` is the header's value. Raises
        DocumentError."""
        headers = [(b"Content-Type", b"application/x-www-form-urlencoded")]
        if authorization is not None:
            headers.append((b"Authorization", authorization))
        return await self._ask(b"POST", url, headers, urlencode(fields).encode(), limit_bytes)

    async def _ask(
        self,
        method: bytes,
        url: str,
        more: Sequence[tuple[bytes, bytes]],
        body: bytes,
        limit_bytes: int,
    ) -> tuple[int, bytes]:
        try:
            origin = Origin.of(url)
            parts = urlsplit(url)
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            headers = [
                (b"Host", origin.authority.encode("idna")),
                (b"Accept", b"application/json"),
                (b"Accept-Encoding", b"identity"),
                *more,
            ]
            head = encode_head(method, target.encode("ascii"), headers)
        except (ValueError, UnicodeError):
            raise DocumentError("its URL cannot be used") from None
        if origin.scheme != "https" and not self._allow_private:
            raise DocumentError("its URL is not https")
        try:
            response = await self._transport.send(WireRequest(origin, head, body), _TIMEOUTS)
            try:
                return response.status, await response.read(limit_bytes)
            finally:
                response.close()
        except TransportError as error:
            raise DocumentError(str(error)) from error

    async def close(self) -> None:
        await self._transport.close()
