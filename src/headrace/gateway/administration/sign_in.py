"""Signing in with an identity provider: from a browser that comes back to what it may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from headrace.errors import Refused
from headrace.gateway.administration.admin_tokens import AdminIssuer, granted
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant
from headrace.gateway.tokens import check_token, with_keys
from headrace.platform.http.documents import DocumentError, Documents
from headrace.platform.oidc.code_flow import (
    Client,
    Endpoints,
    Flow,
    NotSignedIn,
    authorization_url,
    check_identity,
    code_of,
    id_token_of,
    new_flow,
    token_request,
)
from headrace.platform.oidc.jose import Jose
from headrace.platform.oidc.token_rules import Parsed, Rejected, parse

DOCUMENT_BYTES = 512 * 1024
DISCOVERED_S = 3600.0
ASKED_S = 12.0
"""Discovery, or a code's token."""
AGAIN_S = 5.0
"""A provider that could not be asked is let alone for so long, whoever wants to sign in."""


class Terms(Struct, frozen=True):
    """How one provider lets people in."""

    issuer: AdminIssuer
    """Its rules are of ID tokens: their audience is the client."""
    client: Client
    redirect_url: str | None
    """None: the address that the browser called."""
    session_s: float


class SignIn:
    """One provider's. For the loop's thread. `now` is monotonic seconds."""

    def __init__(
        self,
        terms: Terms,
        documents: Documents,
        jose: Jose,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.terms = terms
        self._documents = documents
        self._jose = jose
        self._wall = wall
        self._clock = clock
        self._endpoints: Endpoints | None = None
        self._discovered_at = float("-inf")
        self._failed_at = float("-inf")

    @property
    def name(self) -> str:
        return self.terms.issuer.name

    async def begin(self, redirect_url: str) -> tuple[str, Flow]:
        """Where to send the browser, and what it must come back with. Raises
        Denied(UNAVAILABLE)."""
        endpoints, flow = await self._discovered(), new_flow()
        return authorization_url(endpoints, self.terms.client, flow, redirect_url), flow

    async def finish(
        self, answer: Mapping[str, str], flow: Flow, redirect_url: str, ip: str
    ) -> Grant:
        """Who came back, and what they may do. Raises Denied, whose cause is for the log."""
        endpoints = await self._discovered()
        try:
            code = code_of(answer, flow, endpoints)
            parsed = parse((await self._token(endpoints, flow, code, redirect_url)).encode())
            await with_keys(lambda: self._check(parsed))
            check_identity(parsed.claims, self.terms.client.id, flow)
        except NotSignedIn as refused:
            raise Denied(
                Why.FORBIDDEN, f"Your identity provider did not sign you in: {refused.error}."
            ) from refused
        except Rejected as rejected:
            raise Denied(
                Why.UNAUTHENTICATED,
                "What your identity provider sent is not accepted here. Try once more; if it stays "
                "so, the log tells why under this request's id.",
            ) from rejected
        except Refused as refused:
            raise Denied(Why.UNAVAILABLE, refused.detail) from refused
        try:
            return granted(self.terms.issuer, parsed.claims, ip)
        except Rejected as rejected:
            raise Denied(Why.UNAUTHENTICATED, "Your identity provider names no user that can "
                         "stand in the audit log.") from rejected  # fmt: skip

    def _check(self, parsed: Parsed) -> None:
        """Raises Rejected, Refused."""
        rules, keys = self.terms.issuer.rules, self.terms.issuer.keys
        check_token(parsed, rules, keys, self._jose, self._wall(), self._clock())

    async def _token(self, endpoints: Endpoints, flow: Flow, code: str, redirect_url: str) -> str:
        """Raises Rejected, Denied(UNAVAILABLE)."""
        form, header = token_request(endpoints, self.terms.client, flow, code, redirect_url)
        try:
            async with asyncio.timeout(ASKED_S):
                status, data = await self._documents.post_form(
                    endpoints.token_endpoint, form, DOCUMENT_BYTES, header
                )
        except (DocumentError, TimeoutError) as error:
            raise _away() from error
        if status >= 500:
            raise _away() from DocumentError(f"the token endpoint answered {status}")
        return id_token_of(status, data)

    async def _discovered(self) -> Endpoints:
        """Raises Denied(UNAVAILABLE)."""
        now, place = self._clock(), self.terms.issuer.keys.place
        if self._endpoints is not None and now - self._discovered_at < DISCOVERED_S:
            return self._endpoints
        if now - self._failed_at < AGAIN_S:
            raise _away()
        try:
            async with asyncio.timeout(ASKED_S):
                data = await self._documents.get(place.discovery_url, DOCUMENT_BYTES)
            found = msgspec.json.decode(data, type=Endpoints)
            _check_endpoints(found, place.issuer, plain=place.allow_private)
        except (DocumentError, TimeoutError, msgspec.MsgspecError) as error:
            self._failed_at = self._clock()
            raise _away() from error
        self._endpoints, self._discovered_at = found, now
        return found


def _check_endpoints(found: Endpoints, issuer: str, *, plain: bool) -> None:
    """Raises DocumentError."""
    if found.issuer != issuer:
        raise DocumentError("the discovery document is another issuer's")
    for url in (found.authorization_endpoint, found.token_endpoint):
        if not url.startswith("https://") and not (plain and url.startswith("http://")):
            raise DocumentError("the discovery document names an endpoint without TLS")


def _away() -> Denied:
    return Denied(
        Why.UNAVAILABLE,
        "The identity provider cannot be reached just now. Try again shortly, or sign in with an "
        "admin key.",
    )
