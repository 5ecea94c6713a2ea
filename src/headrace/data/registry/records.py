"""What the registry's rows mean."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec
from msgspec import Struct, field

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import KeyTerms
from headrace.data.registry.rows import NO_TENANT, Kind, Row

RoleName = Literal["viewer", "operator", "admin"]
UnitKind = Literal["tenant", "team", "user"]


class Version(Struct, frozen=True):
    """One secret of a key."""

    digest: bytes
    """SHA-256 of the key's whole text."""
    created_unix_s: float
    until_unix_s: float | None = None
    """When a secret that was replaced ends; None for the current one."""


class KeyRecord(Struct, frozen=True, kw_only=True):
    """A virtual key."""

    id: str
    name: str
    terms: KeyTerms
    versions: tuple[Version, ...]
    """The current one, and at most one that was replaced."""
    created_unix_s: float
    created_by: str
    revoked_unix_s: float | None = None


class UnitRecord(Struct, frozen=True, kw_only=True):
    """A tenant, a team or a user: what holds for all keys under it."""

    kind: UnitKind
    name: str
    tenant: str
    """A tenant's own name, if it is one."""
    team: str | None = None
    """Of a user."""
    models: list[str] | None = None
    """The most that keys under it may use; None for all."""
    regions: list[str] | None = None
    """The only ones that may answer keys under it; None for all."""
    limits: list[LimitRule] = field(default_factory=list)
    budgets: list[BudgetRule] = field(default_factory=list)
    suspended: bool = False
    """Keys under it are refused."""
    created_unix_s: float = 0.0


class AdminKeyRecord(Struct, frozen=True, kw_only=True):
    """A key of the admin API."""

    id: str
    name: str
    role: RoleName
    tenants: list[str] | None
    """Whose keys, teams and users it may see and change; None for those of all."""
    ip_ranges: list[str] | None
    expires_unix_s: float | None
    versions: tuple[Version, ...]
    created_unix_s: float
    created_by: str
    revoked_unix_s: float | None = None


Record = KeyRecord | UnitRecord | AdminKeyRecord
AnyRecord = TypeVar("AnyRecord", KeyRecord, UnitRecord, AdminKeyRecord)

_encode = msgspec.json.Encoder().encode
_key = msgspec.json.Decoder(KeyRecord)
_unit = msgspec.json.Decoder(UnitRecord)
_admin_key = msgspec.json.Decoder(AdminKeyRecord)


def key_of(row: Row) -> KeyRecord:
    """Raises msgspec.MsgspecError."""
    return _key.decode(row.body)


def unit_of(row: Row) -> UnitRecord:
    """Raises msgspec.MsgspecError."""
    return _unit.decode(row.body)


def admin_key_of(row: Row) -> AdminKeyRecord:
    """Raises msgspec.MsgspecError."""
    return _admin_key.decode(row.body)


def row_of(record: Record, revision: int = 0) -> Row:
    """`revision` is the one it was read with, 0 for a new one."""
    match record:
        case KeyRecord(terms=terms):
            return _row("key", terms.tenant, record, terms.team, terms.user, revision)
        case UnitRecord():
            user = record.name if record.kind == "user" else None
            body = _encode(record)
            return Row(
                record.kind, record.tenant, record.name, record.name, record.team, user, body,
                revision,
            )  # fmt: skip
        case AdminKeyRecord():
            return _row("admin_key", NO_TENANT, record, None, None, revision)


def _row(
    kind: Kind,
    tenant: str,
    record: KeyRecord | AdminKeyRecord,
    team: str | None,
    user: str | None,
    revision: int,
) -> Row:
    return Row(kind, tenant, record.id, record.name, team, user, _encode(record), revision)
