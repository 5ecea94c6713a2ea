"""Keys of the admin API: who may administer."""

from __future__ import annotations

import msgspec

from headrace.data.registry.key_text import ADMIN, digest, mint, new_id
from headrace.data.registry.records import AdminKeyRecord, Version, admin_key_of
from headrace.data.registry.rows import Position, Row, Wanted
from headrace.gateway.administration.checks import check_expires, check_list, check_ranges
from headrace.gateway.administration.desk import Desk
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import ROLES, Grant, Role
from headrace.gateway.administration.keys import rotated
from headrace.gateway.administration.wishes import NewAdminKey
from headrace.platform.secrets import Secret


class AdminKeys:
    """Each method raises Denied. Who may not grant what a key holds does not see it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def create(self, by: Grant, new: NewAdminKey) -> tuple[AdminKeyRecord, Secret]:
        by.need(Role.ADMIN)
        check_list("tenants", new.tenants)
        check_ranges(new.ip_ranges)
        now = self._desk.clock()
        key_id = new_id()
        text = mint(ADMIN, key_id)
        record = AdminKeyRecord(
            id=key_id,
            name=new.name,
            role=new.role,
            tenants=new.tenants,
            ip_ranges=new.ip_ranges,
            expires_unix_s=check_expires(new.expires, now),
            versions=(Version(digest(text.encode()), now),),
            created_unix_s=now,
            created_by=by.actor,
        )
        by.need_cover(grant_of(record))
        self._desk.keep(by, "admin_keys.create", record, 0)
        return record, Secret(text)

    def get(self, by: Grant, key_id: str) -> AdminKeyRecord:
        by.need(Role.ADMIN)
        return self._find(by, key_id)[1]

    def page(
        self, by: Grant, after: Position | None, limit: int
    ) -> tuple[list[AdminKeyRecord], str | None]:
        """Those of the next `limit` that may be seen, and the id of the last of them all; None at
        the end."""
        by.need(Role.ADMIN)
        rows = self._desk.page(Wanted("admin_key"), after, limit)
        seen = [key for key in map(admin_key_of, rows) if _is_seen(by, key)]
        return seen, rows[-1].id if len(rows) == limit else None

    def rotate(self, by: Grant, key_id: str, grace_s: float) -> tuple[AdminKeyRecord, Secret]:
        by.need(Role.ADMIN)
        row, record = self._find(by, key_id)
        by.need_cover(grant_of(record))
        if record.revoked_unix_s is not None:
            raise Denied(Why.CONFLICT, f"The key {record.id!r} was revoked. Make a new one.")
        text, versions = rotated(ADMIN, record, self._desk.clock(), grace_s)
        record = msgspec.structs.replace(record, versions=versions)
        self._desk.keep(by, "admin_keys.rotate", record, row.revision)
        return record, text

    def revoke(self, by: Grant, key_id: str) -> AdminKeyRecord:
        by.need(Role.ADMIN)
        row, record = self._find(by, key_id)
        by.need_cover(grant_of(record))
        if record.revoked_unix_s is None:
            record = msgspec.structs.replace(record, revoked_unix_s=self._desk.clock())
            self._desk.keep(by, "admin_keys.revoke", record, row.revision)
        return record

    def any_live(self) -> bool:
        """Whether anybody could use the admin API by a registered key."""
        now = self._desk.clock()
        return any(
            key.revoked_unix_s is None and (key.expires_unix_s is None or key.expires_unix_s > now)
            for key in map(admin_key_of, self._desk.all(Wanted("admin_key")))
        )

    def _find(self, by: Grant, key_id: str) -> tuple[Row, AdminKeyRecord]:
        what = f"admin key {key_id[:64]!r}"
        row = self._desk.find(Wanted("admin_key", id=key_id), what)
        record = admin_key_of(row)
        if not _is_seen(by, record):
            raise Denied(Why.NOT_FOUND, f"There is no {what}.")
        return row, record


def grant_of(record: AdminKeyRecord, ip: str = "") -> Grant:
    """What a key holds."""
    return Grant(
        actor=f"key:{record.id}",
        role=ROLES[record.role],
        tenants=None if record.tenants is None else frozenset(record.tenants),
        expires_unix_s=record.expires_unix_s,
        ip_ranges=None if record.ip_ranges is None else tuple(record.ip_ranges),
        ip=ip,
    )


def _is_seen(by: Grant, record: AdminKeyRecord) -> bool:
    """Keys for tenants of others are not there."""
    if by.tenants is None:
        return True
    return record.tenants is not None and by.tenants.issuperset(record.tenants)
