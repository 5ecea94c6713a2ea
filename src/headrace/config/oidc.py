"""What the operator may write under `oidc`: whose access tokens are credentials."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.config.terms import KeyTerms, Name

Algorithm = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
]
Claim = Annotated[str, Meta(min_length=1, max_length=256)]
Value = Annotated[str, Meta(min_length=1, max_length=512)]


class Grant(KeyTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What callers get whose token says something. The first grant that fits counts."""

    when: dict[Claim, Value | list[Value]] = field(default_factory=dict)
    """Claims, and a value or values of which the token must have one: groups, roles, scopes,
    client ids. `realm_access.roles` is what stands as `roles` within the claim `realm_access`. All
    must fit; without any the grant fits every good token of the issuer."""


class Issuer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An identity provider whose access tokens clients may send as `Authorization: Bearer`."""

    issuer: str
    """The `iss` of its tokens, to the letter. For Microsoft Entra ID
    `https://login.microsoftonline.com/DIRECTORY/v2.0`, where `DIRECTORY` is the directory's id:
    the tokens' `tid` must then be the same."""
    audience: str | list[str]
    """The `aud` that tokens must have, or several of which they must have one: the client id or
    application URI under which this gateway is registered."""
    jwks_url: str | None = None
    """Where its keys are; leave out to look in the discovery document."""
    discovery_url: str | None = None
    """The discovery document; leave out for the issuer with
    `/.well-known/openid-configuration`."""
    algorithms: list[Algorithm] = field(default_factory=lambda: ["RS256"])
    """Signatures that count. What a token says of its own is never trusted."""
    token_type: str | None = None
    """What `typ` in a token's header must be, such as `at+jwt` (RFC 9068), to tell access tokens
    from others of the same issuer. Entra writes `JWT` in all."""
    leeway_s: Annotated[float, Meta(ge=0, le=300)] = 30.0
    """By how much clocks may differ."""
    allow_private: bool = False
    """Fetch its keys from this machine or a private network, and over plain HTTP. Without it only
    public addresses are connected to. Metadata services of clouds never are."""
    user_claim: Claim = "sub"
    """The claim that names the user. In Entra `oid` is the same for all applications."""
    tenant_claim: Claim | None = None
    """The claim whose value is the tenant, in place of the grant's."""
    team_claim: Claim | None = None
    """The claim whose value is the team, in place of the grant's."""
    tag_claims: dict[Name, Claim] = field(default_factory=dict)
    """Tags, and the claims that they are taken from."""
    required: dict[Claim, Value | list[Value]] = field(default_factory=dict)
    """Claims, and a value or values of which each token must have one, such as
    `scp: Models.Use`."""
    grants: list[Grant]
    """What callers get, by what their tokens say. Tokens that no grant fits are refused. A single
    `{}` lets in every token of the issuer that is meant for this gateway."""


class Oidc(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Access tokens of OpenID Connect providers, such as Microsoft Entra ID, as credentials.
    Needs `pip install 'headrace[oidc]'`."""

    issuers: dict[Name, Issuer] = field(default_factory=dict)
    """Identity providers, by a name of your choice."""
