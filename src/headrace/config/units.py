"""Tenants, teams and users. The docstrings under the fields are the documentation."""

from __future__ import annotations

from msgspec import Struct, field

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import Name

DEFAULT_TENANT = "default"
"""Of whatever names no tenant. It is there without being made."""


class UnitTerms(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What holds for all calls under a tenant, a team or a user, whatever key or token they are
    made with."""

    models: list[Name] | None = None
    """The most that keys under it may use, whatever they say themselves; leave out for all."""
    regions: list[Name] | None = None
    """The only regions that may answer keys under it; leave out for all."""
    limits: list[LimitRule] = field(default_factory=list)
    """Limits for all calls under it together, or for each team, user or key under it, as `per`
    says."""
    budgets: list[BudgetRule] = field(default_factory=list)
    """Budgets for all calls under it together, or for each team, user or key under it, as `per`
    says."""
    suspended: bool = False
    """Refuse all calls under it."""


class Team(UnitTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A team: callers with its name as `team`."""


class User(UnitTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A user: callers with its name as `user`."""


class Tenant(UnitTerms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tenant: callers with its name as `tenant`."""

    teams: dict[Name, Team] = field(default_factory=dict)
    """Its teams, by name."""
    users: dict[Name, User] = field(default_factory=dict)
    """Its users, by name."""
