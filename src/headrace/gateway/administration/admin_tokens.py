"""Access tokens of an identity provider as credentials of administrators."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from headrace.config.terms import networks_of
from headrace.errors import Refused
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant, Role
from headrace.gateway.callers import is_from
from headrace.gateway.tokens import check_token, with_keys
from headrace.platform.oidc.issuer_keys import IssuerKeys
from headrace.platform.oidc.jose import Jose
from headrace.platform.oidc.token_rules import (
    Claims,
    Parsed,
    Rejected,
    Rules,
    claim_of,
    parse,
    values_of,
)

BEGINS = "eyJ"
"""Of every signed token: it starts with a JSON object in base64. No admin key does."""
_USER = re.compile(r"[!-~]([ -~]{0,126}[!-~])?\Z")


class RoleGrant(Struct, frozen=True):
    """What administrators get whose claims fit."""

    when: tuple[tuple[str, frozenset[str]], ...]
    role: Role
    tenants: frozenset[str] | None
    ip_ranges: tuple[str, ...] | None

    def fits(self, claims: Claims) -> bool:
        return not any(values.isdisjoint(values_of(claims, name)) for name, values in self.when)


class AdminIssuer(Struct, frozen=True):
    """An issuer, and whom of its users it lets in."""

    name: str
    rules: Rules
    keys: IssuerKeys
    user_claim: str
    grants: tuple[RoleGrant, ...]
    """The first that fits counts."""


class AdminTokens:
    """Nothing is remembered of a token: each request proves itself anew. For the loop's thread."""

    def __init__(
        self,
        issuers: Mapping[str, AdminIssuer],
        jose: Jose,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        *,
        on_close: Callable[[], Awaitable[None]],
    ) -> None:
        """`issuers` are by their `iss`. `wall` gives Unix seconds, `clock` monotonic ones.
        `on_close` ends the fetching of keys."""
        self.close = on_close
        self._issuers = dict(issuers)
        self._jose = jose
        self._wall = wall
        self._clock = clock

    async def prove(self, credential: str, ip: str) -> Grant:
        """Raises Denied(UNAUTHENTICATED, FORBIDDEN, UNAVAILABLE)."""
        data = credential.encode("utf-8", "surrogatepass")
        try:
            return await with_keys(lambda: self._proved(parse(data), ip))
        except Rejected as rejected:
            raise Denied(
                Why.UNAUTHENTICATED,
                "This access token is not accepted here: it may have expired, or be meant for "
                "another audience. Get a new one from your identity provider.",
            ) from rejected
        except Refused as refused:
            raise Denied(Why.UNAVAILABLE, refused.detail) from refused

    def _proved(self, parsed: Parsed, ip: str) -> Grant:
        name = parsed.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise Rejected("its issuer is not known")
        check_token(
            parsed, issuer.rules, issuer.keys, self._jose, self._wall(), self._clock()
        )  # fmt: skip
        return granted(issuer, parsed.claims, ip)


def granted(issuer: AdminIssuer, claims: Claims, ip: str) -> Grant:
    """What a good token of the issuer gives. Raises Rejected, Denied(UNAUTHENTICATED,
    FORBIDDEN)."""
    user = claim_of(claims, issuer.user_claim)
    if not isinstance(user, str) or not _USER.match(user):
        raise Rejected(f"its `{issuer.user_claim}` is no name")
    grant = next((grant for grant in issuer.grants if grant.fits(claims)), None)
    if grant is None:
        raise Denied(
            Why.FORBIDDEN,
            "Your identity provider knows you, but your groups or roles administer nothing here. "
            "Whoever runs this gateway can change that under `admin.oidc`.",
        )
    if grant.ip_ranges is not None and not is_from(ip, networks_of(grant.ip_ranges)):
        raise Denied(Why.UNAUTHENTICATED, "You may not administer from your address.")
    return Grant(
        actor=f"token:{issuer.name}:{user}",
        role=grant.role,
        tenants=grant.tenants,
        ip_ranges=grant.ip_ranges,
        ip=ip,
    )
