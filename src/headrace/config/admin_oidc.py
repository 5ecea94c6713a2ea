"""Who of an identity provider's users administers. The docstrings are the documentation."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from headrace.config.oidc import Claim, Value
from headrace.config.terms import IpRange, Name


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


class AdminTokens(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Access tokens of one identity provider as credentials of administrators."""

    audience: str | list[str] | None = None
    """The `aud` that these tokens must have, in place of the issuer's: with one of its own no token
    for calls opens this port."""
    required: dict[Claim, Value | list[Value]] = field(default_factory=dict)
    """Claims that these tokens must have beside those that the issuer's `required` names."""
    grants: list[RoleGrant]
    """Roles, by what tokens say. Tokens that no grant fits are refused."""
