"""Virtual keys: made, seen, changed, rotated, revoked."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from headrace.config.terms import KeyTerms
from headrace.data.registry.key_text import CLIENT, digest, mint, new_id
from headrace.data.registry.records import AdminKeyRecord, KeyRecord, Version, key_of
from headrace.data.registry.rows import Position, Row, Wanted
from headrace.gateway.administration.checks import (
    check_ceiling,
    check_expires,
    check_list,
    check_ranges,
    check_rules,
)
from headrace.gateway.administration.desk import Desk
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant, Role
from headrace.gateway.administration.units import Units
from headrace.gateway.administration.wishes import KeyChange, NewKey
from headrace.platform.secrets import Secret


class Keys:
    """Each method raises Denied. A secret is told once, by what it was made with."""

    def __init__(self, desk: Desk, units: Units) -> None:
        self._desk = desk
        self._units = units

    def create(self, by: Grant, new: NewKey) -> tuple[KeyRecord, Secret]:
        by.need(Role.OPERATOR)
        by.need_tenant(new.tenant)
        terms = KeyTerms(**{name: getattr(new, name) for name in KeyTerms.__struct_fields__})
        self._check(terms)
        check_expires(terms.expires, self._desk.clock())
        key_id = new_id()
        now = self._desk.clock()
        text = mint(CLIENT, key_id)
        record = KeyRecord(
            id=key_id,
            name=new.name,
            terms=terms,
            versions=(Version(digest(text.encode()), now),),
            created_unix_s=now,
            created_by=by.actor,
        )
        self._desk.keep(by, "keys.create", record, 0)
        return record, Secret(text)

    def get(self, by: Grant, key_id: str) -> KeyRecord:
        by.need(Role.VIEWER)
        return key_of(self._find(by, key_id))

    def named(self, by: Grant, name: str) -> KeyRecord:
        """By its id, or by its name if only one that was not revoked has it."""
        by.need(Role.VIEWER)
        rows = self._desk.page(Wanted("key", by.tenants, id=name), None, 1)
        if rows:
            return key_of(rows[0])
        rows = self._desk.page(Wanted("key", by.tenants, label=name), None, 100)
        found = [key for key in map(key_of, rows) if key.revoked_unix_s is None]
        if len(found) > 1:
            ids = ", ".join(key.id for key in found[:5])
            detail = f"{len(found)} keys have the name {name!r}. Name one by its id: {ids}."
            raise Denied(Why.CONFLICT, detail)
        if not found:
            raise Denied(Why.NOT_FOUND, f"There is no key {name!r}.")
        return found[0]

    def page(
        self, by: Grant, wanted: Wanted, after: Position | None, limit: int
    ) -> list[KeyRecord]:
        """`wanted.tenants` is narrowed to those that the administrator may see."""
        by.need(Role.VIEWER)
        tenants = wanted.tenants
        if by.tenants is not None:
            tenants = by.tenants if tenants is None else tenants & by.tenants
            if not tenants:
                return []
        narrowed = msgspec.structs.replace(wanted, kind="key", tenants=tenants)
        return [key_of(row) for row in self._desk.page(narrowed, after, limit)]

    def update(self, by: Grant, key_id: str, change: KeyChange) -> KeyRecord:
        by.need(Role.OPERATOR)
        row, record = self._live(by, key_id)
        asked = msgspec.structs.asdict(change)
        values = {field: value for field, value in asked.items() if value is not UNSET}
        name = values.pop("name", record.name)
        terms = msgspec.structs.replace(record.terms, **values)
        self._check(terms)
        if "expires" in values:
            check_expires(terms.expires, self._desk.clock())
        record = msgspec.structs.replace(record, name=name, terms=terms)
        fields = sorted((*values, "name") if change.name is not UNSET else values)
        self._desk.keep(by, "keys.update", record, row.revision, fields)
        return record

    def rotate(self, by: Grant, key_id: str, grace_s: float) -> tuple[KeyRecord, Secret]:
        """A new secret; the current one ends `grace_s` seconds from now, an older one at once."""
        by.need(Role.OPERATOR)
        row, record = self._live(by, key_id)
        text, versions = rotated(CLIENT, record, self._desk.clock(), grace_s)
        record = msgspec.structs.replace(record, versions=versions)
        self._desk.keep(by, "keys.rotate", record, row.revision)
        return record, text

    def revoke(self, by: Grant, key_id: str) -> KeyRecord:
        """For good. Revoking a revoked key changes nothing."""
        by.need(Role.OPERATOR)
        row = self._find(by, key_id)
        record = key_of(row)
        if record.revoked_unix_s is None:
            record = msgspec.structs.replace(record, revoked_unix_s=self._desk.clock())
            self._desk.keep(by, "keys.revoke", record, row.revision)
        return record

    def _find(self, by: Grant, key_id: str) -> Row:
        return self._desk.find(Wanted("key", by.tenants, id=key_id), f"key {key_id[:64]!r}")

    def _live(self, by: Grant, key_id: str) -> tuple[Row, KeyRecord]:
        row = self._find(by, key_id)
        record = key_of(row)
        if record.revoked_unix_s is not None:
            raise Denied(Why.CONFLICT, f"The key {record.id!r} was revoked. Make a new one.")
        return row, record

    def _check(self, terms: KeyTerms) -> None:
        for param in ("models", "regions", "operations"):
            check_list(param, getattr(terms, param))
        check_ranges(terms.ip_ranges)
        check_rules(terms.limits, terms.budgets, self._desk.counts_apart)
        units = self._units.above(terms)
        check_ceiling("models", terms.models, units)
        check_ceiling("regions", terms.regions, units)


def rotated(
    family: str, record: KeyRecord | AdminKeyRecord, now: float, grace_s: float
) -> tuple[Secret, tuple[Version, ...]]:
    """A new text, and its version before the current one, which then has an end, or without it if
    there is no grace: two live at the most."""
    text = mint(family, record.id)
    new = Version(digest(text.encode()), now)
    if grace_s <= 0:
        return Secret(text), (new,)
    ending = msgspec.structs.replace(record.versions[0], until_unix_s=now + grace_s)
    return Secret(text), (new, ending)
