"""Access tokens as credentials: from a good token to the caller that it proves.

A token that was found good is known by its digest for a minute, or until it expires or its issuer's
keys change if that comes first: the usual call costs one look-up.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from headrace.errors import Reason, Refused
from headrace.gateway.callers import Known, under
from headrace.gateway.keyring import Keyring
from headrace.platform.oidc.issuer_keys import IssuerKeys
from headrace.platform.oidc.jose import Jose
from headrace.platform.oidc.token_rules import (
    Claims,
    Parsed,
    Rejected,
    Rules,
    check_claims,
    check_header,
    claim_of,
    parse,
    values_of,
)

BEGINS = b"eyJ"
"""Of every signed token: it starts with a JSON object in base64."""
VERIFIED_S = 60.0
VERIFIED_LIMIT = 20_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}\Z")
_USER = re.compile(r"[!-~]([ -~]{0,126}[!-~])?\Z")


class KeysAwaited(Refused):
    """The token's key is not known and is being fetched: wait for it, then ask again. Who does
    not wait refuses."""

    def __init__(self, keys: IssuerKeys, kid: str | None, fetch: asyncio.Task[None]) -> None:
        super().__init__(
            Reason.IDENTITY_UNAVAILABLE,
            "The keys of this token's issuer are being fetched. Please try again.",
            retry_after_s=1.0,
            cause="its key is being fetched",
        )
        self._keys = keys
        self._kid = kid
        self._fetch = fetch

    async def fetched(self) -> None:
        """Cancelling it cancels the wait alone. Raises nothing."""
        await asyncio.wait({self._fetch})
        self._keys.looked_for(self._kid)


T = TypeVar("T")


async def with_keys(check: Callable[[], T]) -> T:
    """What `check` gives, once more if it has to wait for keys. Raises what it raises."""
    try:
        return check()
    except KeysAwaited as awaited:
        await awaited.fetched()
        return check()


class TokenGrant(Struct, frozen=True):
    """What callers get whose claims fit."""

    when: tuple[tuple[str, frozenset[str]], ...]
    known: Known

    def fits(self, claims: Claims) -> bool:
        return not any(values.isdisjoint(values_of(claims, name)) for name, values in self.when)


class TokenIssuer(Struct, frozen=True):
    """One issuer, and how its claims become a caller."""

    name: str
    rules: Rules
    keys: IssuerKeys
    grants: tuple[TokenGrant, ...]
    user_claim: str
    tenant_claim: str | None = None
    team_claim: str | None = None
    tag_claims: tuple[tuple[str, str], ...] = ()


class Verified(Struct, frozen=True):
    """A token that was found good."""

    known: Known
    until_unix_s: float
    keys: IssuerKeys
    generation: int
    """Of the keys."""
    revision: int
    """Of the registry, whose tenants, teams and users hold for tokens too."""


class Tokens:
    """The tokens of all issuers. `issuers` are by their `iss`."""

    def __init__(
        self,
        issuers: Mapping[str, TokenIssuer],
        jose: Jose,
        registered: Keyring,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = dict(issuers)
        self._jose = jose
        self._registered = registered
        self._wall = wall
        self._clock = clock
        self._verified: dict[bytes, Verified] = {}

    def prove(self, credential: bytes, digest: bytes) -> Verified:
        """`digest` is a cryptographic one of the whole credential. Raises Refused, and
        KeysAwaited."""
        now = self._wall()
        found = before = self._verified.get(digest)
        if (
            found is not None
            and now < found.until_unix_s
            and found.generation == found.keys.set.generation
            and found.revision == self._registered.revision
        ):
            return found
        try:
            found = self._verify(parse(credential), now)
        except Rejected as rejected:
            raise Refused(
                Reason.UNAUTHENTICATED,
                "This access token is not accepted here: it may have expired, or be meant for "
                "another audience. Get a new one from your identity provider.",
                cause=f"access token: {rejected}",
            ) from None
        if len(self._verified) >= VERIFIED_LIMIT:
            del self._verified[next(iter(self._verified))]
        if before is not None and before.known == found.known:
            # The same object, not its twin: what is kept by caller finds it at a glance.
            found = replace(found, known=before.known)
        self._verified[digest] = found
        return found

    def _verify(self, parsed: Parsed, now: float) -> Verified:
        issuer = self._issuer(parsed)
        keys = issuer.keys
        until = check_token(parsed, issuer.rules, keys, self._jose, now, self._clock())
        known = _caller(issuer, parsed.claims)
        caller, registered = known.caller, self._registered
        known = under(known, registered.units(caller.tenant, caller.team, caller.user))
        return Verified(
            known=known,
            until_unix_s=min(until, now + VERIFIED_S),
            keys=keys,
            generation=keys.set.generation,
            revision=registered.revision,
        )

    def _issuer(self, parsed: Parsed) -> TokenIssuer:
        name = parsed.claims.get("iss")
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise Rejected("its issuer is not known")
        return issuer


def check_token(
    parsed: Parsed, rules: Rules, keys: IssuerKeys, jose: Jose, now_unix_s: float, clock: float
) -> float:
    """Returns the Unix second from which it is refused. `clock` is monotonic seconds. Raises
    Rejected, Refused(IDENTITY_UNAVAILABLE), and KeysAwaited."""
    check_header(parsed, rules)
    until = check_claims(parsed.claims, rules, now_unix_s)  # no fetch for what is no good
    key = keys.find(parsed.kid, parsed.algorithm, clock)
    if key is None:
        _without_key(keys, parsed, clock)
    elif not jose.signed(parsed.token, parsed.algorithm, key):
        raise Rejected("its signature is wrong")
    return until


def _without_key(keys: IssuerKeys, parsed: Parsed, clock: float) -> None:
    """Always raises."""
    fetch = keys.fetch_for(parsed.kid, clock)
    if fetch is not None:
        raise KeysAwaited(keys, parsed.kid, fetch)
    if keys.set.empty:
        raise Refused(
            Reason.IDENTITY_UNAVAILABLE,
            "The identity provider of this access token cannot be reached just now. Please "
            "try again shortly.",
            retry_after_s=max(1.0, keys.set.slot_in_s(clock)),
            cause="access token: no key of its issuer is known",
        )
    raise Rejected("its key is none of its issuer's")


def _caller(issuer: TokenIssuer, claims: Claims) -> Known:
    grant = next((grant for grant in issuer.grants if grant.fits(claims)), None)
    if grant is None:
        raise Refused(
            Reason.ACCESS_NOT_GRANTED,
            "Your access token is good, but nothing here is granted to its groups or roles. "
            "Whoever runs this gateway can change that.",
            cause="access token: no grant fits",
        )
    user = _text(claims, issuer.user_claim, _USER)
    caller = grant.known.caller
    tags = dict(caller.tags)
    for tag, claim in issuer.tag_claims:
        if claim in claims or claim_of(claims, claim) is not None:
            tags[tag] = _text(claims, claim, _USER)
    tenant, team = caller.tenant, caller.team
    if issuer.tenant_claim is not None:
        tenant = _text(claims, issuer.tenant_claim, _NAME)
    if issuer.team_claim is not None:
        team = _text(claims, issuer.team_claim, _NAME)
    caller = replace(
        caller,
        key_id=f"{issuer.name}:{user}",
        user=user,
        tenant=tenant,
        team=team,
        tags=tuple(sorted(tags.items())),
    )
    return Known(caller, grant.known.conditions)


def _text(claims: Claims, name: str, shape: re.Pattern[str]) -> str:
    value = claim_of(claims, name)
    if not isinstance(value, str) or not shape.match(value):
        raise Rejected(f"its `{name}` is no name")
    return value
