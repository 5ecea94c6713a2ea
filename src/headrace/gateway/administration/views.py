"""What is shown of the registry's records: never a digest. Also the schemas of the admin API."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import instant_of, written_instant
from headrace.data.registry.records import (
    AdminKeyRecord,
    KeyRecord,
    RoleName,
    UnitKind,
    UnitRecord,
    Version,
)

State = Literal["live", "expired", "revoked"]


class VersionView(Struct, frozen=True, kw_only=True):
    """One secret of a key."""

    created: str
    ends: str | None


class KeyView(Struct, frozen=True, kw_only=True):
    """A key, without its secret."""

    id: str
    begins: str
    """The part of the key that is no secret."""
    name: str
    state: State
    tenant: str
    team: str | None
    user: str | None
    models: list[str] | None
    regions: list[str] | None
    ip_ranges: list[str] | None
    operations: list[str] | None
    priority: str
    expires: str | None
    limits: list[LimitRule]
    budgets: list[BudgetRule]
    tags: dict[str, str]
    versions: list[VersionView]
    created: str
    created_by: str
    revoked: str | None


class UnitView(Struct, frozen=True, kw_only=True):
    """A tenant, team or user."""

    kind: UnitKind
    name: str
    tenant: str
    team: str | None
    models: list[str] | None
    regions: list[str] | None
    limits: list[LimitRule]
    budgets: list[BudgetRule]
    suspended: bool
    created: str


class AdminKeyView(Struct, frozen=True, kw_only=True):
    """A key of the admin API, without its secret."""

    id: str
    begins: str
    name: str
    state: State
    role: RoleName
    tenants: list[str] | None
    ip_ranges: list[str] | None
    expires: str | None
    versions: list[VersionView]
    created: str
    created_by: str
    revoked: str | None


def key_view(record: KeyRecord, now: float) -> KeyView:
    terms = record.terms
    ends = None if terms.expires is None else instant_of(terms.expires)
    return KeyView(
        id=record.id,
        begins=f"hr_{record.id}_",
        name=record.name,
        state=_state(record.revoked_unix_s, ends, now),
        tenant=terms.tenant,
        team=terms.team,
        user=terms.user,
        models=terms.models,
        regions=terms.regions,
        ip_ranges=terms.ip_ranges,
        operations=None if terms.operations is None else list(terms.operations),
        priority=terms.priority,
        expires=None if ends is None else written_instant(ends),
        limits=terms.limits,
        budgets=terms.budgets,
        tags=terms.tags,
        versions=_versions(record.versions, now),
        created=written_instant(record.created_unix_s),
        created_by=record.created_by,
        revoked=_written(record.revoked_unix_s),
    )


def unit_view(record: UnitRecord) -> UnitView:
    return UnitView(
        kind=record.kind,
        name=record.name,
        tenant=record.tenant,
        team=record.team,
        models=record.models,
        regions=record.regions,
        limits=record.limits,
        budgets=record.budgets,
        suspended=record.suspended,
        created=written_instant(record.created_unix_s),
    )


def admin_key_view(record: AdminKeyRecord, now: float) -> AdminKeyView:
    return AdminKeyView(
        id=record.id,
        begins=f"hra_{record.id}_",
        name=record.name,
        state=_state(record.revoked_unix_s, record.expires_unix_s, now),
        role=record.role,
        tenants=record.tenants,
        ip_ranges=record.ip_ranges,
        expires=_written(record.expires_unix_s),
        versions=_versions(record.versions, now),
        created=written_instant(record.created_unix_s),
        created_by=record.created_by,
        revoked=_written(record.revoked_unix_s),
    )


def _state(revoked: float | None, ends: float | None, now: float) -> State:
    if revoked is not None:
        return "revoked"
    return "expired" if ends is not None and ends <= now else "live"


def _versions(versions: tuple[Version, ...], now: float) -> list[VersionView]:
    return [
        VersionView(created=written_instant(v.created_unix_s), ends=_written(v.until_unix_s))
        for v in versions
        if v.until_unix_s is None or v.until_unix_s > now
    ]


def _written(unix_s: float | None) -> str | None:
    return None if unix_s is None else written_instant(unix_s)
