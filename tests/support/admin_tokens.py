"""Access tokens that administer, as a configuration lets them in."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.config.admin_oidc import AdminTokens as AdminRules
from headrace.config.oidc import Oidc
from headrace.gateway.administration.admin_tokens import AdminTokens
from headrace.gateway.administration.grants import Role
from headrace.gateway.token_assembly import KeyStore, admin_tokens
from support.identity_provider import AUDIENCE, IdentityProvider

ADMIN_AUDIENCE = "api://headrace-admin"


def group(role: Role, tenants: list[str] | None) -> str:
    """The group whose members have this role."""
    return f"g-{role.word}-{'all' if tenants is None else '-'.join(tenants)}"


def grants(*tenants: list[str] | None) -> list[dict[str, Any]]:
    """One for each role and each of these sets of tenants."""
    return [
        {"when": {"groups": group(role, some)}, "role": role.word, "tenants": some}
        for role in Role
        for some in tenants
    ]


def oidc_of(provider: IdentityProvider) -> dict[str, Any]:
    return {
        "issuer": provider.issuer,
        "audience": AUDIENCE,
        "algorithms": ["RS256", "ES256", "EdDSA"],
        "allow_private": True,
        "grants": [{}],
    }


def tokens_of(provider: IdentityProvider, **rules: Any) -> AdminTokens:
    oidc = msgspec.convert({"issuers": {"idp": oidc_of(provider)}}, Oidc)
    written = msgspec.convert({"idp": rules}, dict[str, AdminRules])
    made = admin_tokens(written, oidc, KeyStore({}, provider.trust()))
    assert made is not None
    return made
