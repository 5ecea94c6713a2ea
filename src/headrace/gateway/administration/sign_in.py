"""Signing in with an identity provider: from a browser that comes back to what it may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

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
    Tokens,
    authorization_url,
    check_identity,
    check_same_identity,
    code_of,
    new_flow,
    refresh_request,
    token_request,
    tokens_of,
)
from headrace.platform.oidc.jose import Jose
from headrace.platform.oidc.token_rules import Claims, Parsed, Rejected, parse
from headrace.platform.secrets import Secret

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
    recheck_s: float
    """How often the provider is asked again, by whose refresh token that can be done."""


class SignedIn(Struct, frozen=True):
    """Who came, what they may do, and by what the provider can be asked again."""

    grant: Grant
    subject: object
    """The ID token's `sub`."""
    refresh: Secret | None
    """None if the provider gave none: then its word stands as long as the session."""


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
    ) -> SignedIn:
        """Who came back. Raises Denied, whose cause is for the log."""
        endpoints, client = await self._discovered(), self.terms.client
        try:
            code = code_of(answer, flow, endpoints)
            request = token_request(endpoints, client, flow, code, redirect_url)
            tokens = await self._tokens(endpoints, request)
            claims = await self._claims(tokens)
            check_identity(claims, client.id, flow)
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
        return SignedIn(self._granted(claims, ip), claims.get("sub"), _secret(tokens))

    async def again(self, before: SignedIn, ip: str) -> SignedIn:
        """Who that is now, by their refresh token. Where the provider takes it and says no more,
        all stays as it was. Raises Denied, whose cause is for the log."""
        assert before.refresh is not None
        endpoints, client = await self._discovered(), self.terms.client
        try:
            request = refresh_request(endpoints, client, before.refresh)
            tokens = await self._tokens(endpoints, request)
            refresh = _secret(tokens) or before.refresh
            if tokens.id_token is None:
                return replace(before, refresh=refresh)
            claims = await self._claims(tokens)
            check_same_identity(claims, before.subject, client.id)
        except Rejected as rejected:
            raise Denied(
                Why.UNAUTHENTICATED, "Your identity provider no longer vouches for you."
            ) from rejected
        except Refused as refused:
            raise Denied(Why.UNAVAILABLE, refused.detail) from refused
        return SignedIn(self._granted(claims, ip), before.subject, refresh)

    def _granted(self, claims: Claims, ip: str) -> Grant:
        """Raises Denied."""
        try:
            return granted(self.terms.issuer, claims, ip)
        except Rejected as rejected:
            raise Denied(Why.UNAUTHENTICATED, "Your identity provider names no user that can "
                         "stand in the audit log.") from rejected  # fmt: skip

    async def _claims(self, tokens: Tokens) -> Claims:
        """Of a good ID token. Raises Rejected, Refused."""
        if tokens.id_token is None:
            raise Rejected("its provider gave no ID token")
        parsed = parse(tokens.id_token.encode())
        await with_keys(lambda: self._check(parsed))
        return parsed.claims

    def _check(self, parsed: Parsed) -> None:
        """Raises Rejected, Refused."""
        rules, keys = self.terms.issuer.rules, self.terms.issuer.keys
        check_token(parsed, rules, keys, self._jose, self._wall(), self._clock())

    async def _tokens(
        self, endpoints: Endpoints, request: tuple[dict[str, str], bytes | None]
    ) -> Tokens:
        """Raises Rejected, Denied(UNAVAILABLE)."""
        form, header = request
        try:
            async with asyncio.timeout(ASKED_S):
                status, data = await self._documents.post_form(
                    endpoints.token_endpoint, form, DOCUMENT_BYTES, header
                )
        except (DocumentError, TimeoutError) as error:
            raise _away() from error
        if status >= 500 or status == 429:
            raise _away() from DocumentError(f"the token endpoint answered {status}")
        return tokens_of(status, data)

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


def _secret(tokens: Tokens) -> Secret | None:
    return None if tokens.refresh_token is None else Secret(tokens.refresh_token)


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
