"""From `oidc` in the configuration to the tokens that are credentials."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from headrace.config.admin_oidc import AdminTokens as AdminRules
from headrace.config.oidc import Issuer, Oidc
from headrace.gateway.administration.admin_tokens import AdminIssuer, AdminTokens, RoleGrant
from headrace.gateway.administration.grants import ROLES
from headrace.gateway.administration.sign_in import SignIn, Terms
from headrace.gateway.callers import known_by_terms
from headrace.gateway.keyring import Keyring
from headrace.gateway.tokens import TokenGrant, TokenIssuer, Tokens
from headrace.platform.http.documents import Documents
from headrace.platform.http.proxy import ProxyPlan
from headrace.platform.oidc.code_flow import Client
from headrace.platform.oidc.issuer_keys import IssuerKeys, KeyPlace
from headrace.platform.oidc.jose import Jose
from headrace.platform.oidc.token_rules import Rules
from headrace.platform.secrets import Secret

_ENTRA = re.compile(
    r"https://(?:login\.microsoftonline\.[a-z]+|sts\.windows\.net)/([0-9a-f-]{36})/"
)


class KeyStore:
    """The issuers' keys, which outlive a configuration: a reload while a provider is away must not
    lose them."""

    def __init__(
        self,
        environ: Mapping[str, str],
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        proxy = ProxyPlan.from_environment(environ)
        self._documents = {
            allowed: Documents(proxy, allow_private=allowed, ssl_context=ssl_context)
            for allowed in (False, True)
        }
        self._kept: dict[KeyPlace, IssuerKeys] = {}
        self._jose: Jose | None = None

    def jose(self) -> Jose:
        """Raises Setup if the extra is not installed."""
        if self._jose is None:
            self._jose = Jose()
        return self._jose

    def documents(self, place: KeyPlace) -> Documents:
        """For what else is asked of that issuer."""
        return self._documents[place.allow_private]

    def keys(self, place: KeyPlace) -> IssuerKeys:
        kept = self._kept.get(place)
        if kept is None:
            fetch = self._documents[place.allow_private].get
            kept = self._kept[place] = IssuerKeys(place, self.jose(), fetch, self.clock)
        return kept

    async def close(self) -> None:
        for keys in self._kept.values():
            await keys.close()
        for documents in self._documents.values():
            await documents.close()


def tokens(
    oidc: Oidc,
    store: KeyStore,
    registered: Keyring,
    wall: Callable[[], float] = time.time,
) -> Tokens | None:
    """None if no issuer is written. Raises Setup if the extra is not installed."""
    if not oidc.issuers:
        return None
    made = {issuer.issuer: _issuer(name, issuer, store) for name, issuer in oidc.issuers.items()}
    return Tokens(made, store.jose(), registered, wall, store.clock)


def admin_tokens(
    written: Mapping[str, AdminRules],
    oidc: Oidc,
    store: KeyStore,
    wall: Callable[[], float] = time.time,
) -> AdminTokens | None:
    """`written` is by names of issuers. None if it is empty. Raises Setup if the extra is not
    installed."""
    if not written:
        return None
    issuers = {}
    for name, rules in written.items():
        issuer = oidc.issuers[name]
        good = _rules(issuer, rules.audience or issuer.audience, rules.required)
        issuers[issuer.issuer] = _admin_issuer(name, rules, issuer, good, store)
    return AdminTokens(issuers, store.jose(), wall, store.clock, on_close=store.close)


def sign_ins(
    written: Mapping[str, AdminRules],
    oidc: Oidc,
    store: KeyStore,
    secrets: Mapping[str, Secret],
    wall: Callable[[], float] = time.time,
) -> dict[str, SignIn]:
    """By names of issuers; `secrets` are the clients' own by the same names. Raises Setup if the
    extra is not installed."""
    made = {}
    for name, rules in written.items():
        if rules.sign_in is None:
            continue
        issuer, asked = oidc.issuers[name], rules.sign_in
        # An ID token is for the client that asked for it, and its `typ` is not an access token's.
        good = replace(_rules(issuer, asked.client_id, rules.required), token_type=None)
        terms = Terms(
            _admin_issuer(name, rules, issuer, good, store),
            Client(asked.client_id, secrets.get(name), tuple(asked.scopes)),
            asked.redirect_url,
            asked.session_s,
            asked.recheck_s,
        )
        documents = store.documents(key_place(issuer))
        made[name] = SignIn(terms, documents, store.jose(), wall, store.clock)
    return made


def _admin_issuer(
    name: str, rules: AdminRules, issuer: Issuer, good: Rules, store: KeyStore
) -> AdminIssuer:
    return AdminIssuer(
        name=name,
        rules=good,
        keys=store.keys(key_place(issuer)),
        user_claim=issuer.user_claim,
        grants=tuple(
            RoleGrant(
                _conditions(grant.when),
                ROLES[grant.role],
                None if grant.tenants is None else frozenset(grant.tenants),
                None if grant.ip_ranges is None else tuple(grant.ip_ranges),
            )
            for grant in rules.grants
        ),
    )


def _rules(issuer: Issuer, audience: str | list[str], more: Mapping[str, str | list[str]]) -> Rules:
    entra = _ENTRA.match(issuer.issuer)
    return Rules(
        issuer=issuer.issuer,
        audiences=frozenset([audience] if isinstance(audience, str) else audience),
        algorithms=frozenset(issuer.algorithms),
        token_type=None if issuer.token_type is None else _plain_type(issuer.token_type),
        leeway_s=issuer.leeway_s,
        directory=None if entra is None else entra[1],
        required=(*_conditions(issuer.required), *_conditions(more)),
    )


def _issuer(name: str, issuer: Issuer, store: KeyStore) -> TokenIssuer:
    return TokenIssuer(
        name=name,
        rules=_rules(issuer, issuer.audience, {}),
        keys=store.keys(key_place(issuer)),
        grants=tuple(
            TokenGrant(_conditions(grant.when), known_by_terms(name, grant))
            for grant in issuer.grants
        ),
        user_claim=issuer.user_claim,
        tenant_claim=issuer.tenant_claim,
        team_claim=issuer.team_claim,
        tag_claims=tuple(issuer.tag_claims.items()),
    )


def key_place(issuer: Issuer) -> KeyPlace:
    """Where an issuer's keys are."""
    found = issuer.discovery_url or f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration"
    return KeyPlace(issuer.issuer, issuer.jwks_url, found, issuer.allow_private)


def _plain_type(text: str) -> str:
    return text.lower().removeprefix("application/")


def _conditions(
    written: Mapping[str, str | list[str]],
) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple(
        (claim, frozenset([values] if isinstance(values, str) else values))
        for claim, values in written.items()
    )
