"""What may be asked for, as it is written in a request's body. Unknown members are refused.

The docstrings are the descriptions in the OpenAPI document.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import (
    Instant,
    IpRange,
    KeyTerms,
    Name,
    Operation,
    PriorityName,
    TagValue,
)
from headrace.data.registry.records import RoleName

GraceS = Annotated[float, Meta(ge=0, le=90 * 86_400)]
UnitName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$",
        description="a name of letters, digits and `. _ : @ -`, at most 128 characters",
    ),
]
"""Of what is found by its name: it stands in a path."""
Tenants = Annotated[list[Name], Meta(min_length=1, max_length=1000)]


class NewKey(KeyTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key to be made."""

    name: Name


class KeyChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be different of a key. What is left out stays; null takes it away. A key keeps its
    tenant."""

    name: Name | UnsetType = UNSET
    team: Name | UnsetType | None = UNSET
    user: Name | UnsetType | None = UNSET
    models: list[Name] | UnsetType | None = UNSET
    regions: list[Name] | UnsetType | None = UNSET
    ip_ranges: list[IpRange] | UnsetType | None = UNSET
    operations: list[Operation] | UnsetType | None = UNSET
    priority: PriorityName | UnsetType = UNSET
    expires: Instant | UnsetType | None = UNSET
    limits: list[LimitRule] | UnsetType = UNSET
    budgets: list[BudgetRule] | UnsetType = UNSET
    tags: dict[Name, TagValue] | UnsetType = UNSET


class Rotation(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new secret for a key. The one before goes on working for `grace_s` seconds."""

    grace_s: GraceS = 86_400.0


class NewTenant(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tenant to be made. Models and regions are the most that its keys may use."""

    name: UnitName
    models: list[Name] | None = None
    regions: list[Name] | None = None
    limits: list[LimitRule] = field(default_factory=list)
    budgets: list[BudgetRule] = field(default_factory=list)


class NewTeam(NewTenant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A team to be made. Models and regions are the most that its keys may use."""


class NewUser(NewTenant, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user to be made. Models and regions are the most that its keys may use."""

    team: Name | None = None


class UnitChange(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be different of a tenant, team or user. What is left out stays; null takes it
    away. While one is suspended, all keys under it are refused."""

    models: list[Name] | UnsetType | None = UNSET
    regions: list[Name] | UnsetType | None = UNSET
    limits: list[LimitRule] | UnsetType = UNSET
    budgets: list[BudgetRule] | UnsetType = UNSET
    suspended: bool | UnsetType = UNSET


class NewAdminKey(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A key of the admin API to be made. It can grant no more than whoever makes it has."""

    name: Name
    role: RoleName
    tenants: Tenants | None = None
    ip_ranges: list[IpRange] | None = None
    expires: Instant | None = None
