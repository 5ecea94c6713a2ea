"""Who of an identity provider's users administers. The docstrings are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.config.oidc import Claim, Value
from headrace.config.references import SecretRef
from headrace.config.terms import IpRange, Name

Scope = Annotated[str, Meta(pattern=r"^[!#-\[\]-~]{1,256}$")]


class RoleGrant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What administrators get whose token says something. The first grant that fits counts."""

    when: dict[Claim, Value | list[Value]]
    """Claims, and a value or values of which the token must have one: groups, roles. All must
    fit."""
    role: Literal["viewer", "operator", "admin"]
    """What they may do."""
    tenants: list[Name] | None = None
    """Whose keys, teams and users they may see and change; leave out for those of all, and for the
    gateway's own."""
    ip_ranges: list[IpRange] | None = None
    """Addresses that they may come from, such as `10.0.0.0/8`; leave out for everywhere."""


class SignIn(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Signing in to the console with this identity provider. Register the console there as a web
    application with the redirect URL `https://HOST:PORT/console/sign-in/back`."""

    client_id: Annotated[str, Meta(min_length=1, max_length=256)]
    """Under which the console is registered: what its ID tokens' `aud` must be."""
    client_secret: SecretRef | None = None
    """Where the client's secret is, `env:NAME` or `file:PATH`; leave out for a public client, which
    the proof of the code (PKCE) protects alone."""
    scopes: list[Scope] = field(default_factory=lambda: ["openid", "profile"])
    """What is asked for. `openid` must be among them; some providers put groups into ID tokens only
    for a scope of their own."""
    redirect_url: str | None = None
    """Where the provider sends browsers back, as it is registered there; leave out for the address
    that the browser called. To be written if something before this port ends TLS."""
    session_s: Annotated[float, Meta(ge=1, le=43_200)] = 3600.0
    """For how long somebody stays signed in before they are sent to the provider again. Where it
    gives no refresh token, who has left a group there is out after that."""
    recheck_s: Annotated[float, Meta(ge=1, le=43_200)] = 300.0
    """How often the provider is asked again for whom it gave a refresh token, as most do for the
    scope `offline_access`: who has left a group there, or the company, is out after that."""


class AdminTokens(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Access tokens of one identity provider as credentials of administrators."""

    audience: str | list[str] | None = None
    """The `aud` that these tokens must have, in place of the issuer's: with one of its own no token
    for calls opens this port."""
    required: dict[Claim, Value | list[Value]] = field(default_factory=dict)
    """Claims that these tokens must have beside those that the issuer's `required` names."""
    grants: list[RoleGrant]
    """Roles, by what tokens say. Tokens that no grant fits are refused."""
    sign_in: SignIn | None = None
    """Lets people sign in to the console with this provider, by the same grants. `required` here
    and of the issuer holds for their ID tokens too."""
