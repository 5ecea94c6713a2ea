"""`headrace tenants`, `teams`, `users`, `admin`: on the registry itself."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from rich.table import Column, Table

from headrace.config.loading import Loaded
from headrace.data.registry.records import UnitKind
from headrace.data.registry.rows import Position
from headrace.gateway.administration.desk import PAGE_LIMIT
from headrace.gateway.administration.views import UnitView, admin_key_view, unit_view
from headrace.gateway.administration.wishes import (
    NewAdminKey,
    NewTeam,
    NewTenant,
    NewUser,
    UnitChange,
)
from headrace.operate.registry import Registry
from headrace.operate.registry_commands import instant, made, note
from headrace.operate.tables import wide_console
from headrace.operate.unknown_names import unknown_names


def create_unit(
    loaded: Loaded, kind: UnitKind, tenant: str, options: dict[str, Any], *, as_json: bool
) -> int:
    with Registry.of(loaded) as registry:
        match kind:
            case "tenant":
                unit = registry.units.create_tenant(registry.by, made(NewTenant, options))
            case "team":
                unit = registry.units.create_team(registry.by, tenant, made(NewTeam, options))
            case "user":
                unit = registry.units.create_user(registry.by, tenant, made(NewUser, options))
    if as_json:
        print(msgspec.json.encode(unit_view(unit)).decode())
    else:
        print(f"The {kind} {unit.name} is made.")
    for warning in unknown_names(loaded, unit.models, unit.regions):
        note(warning)
    return 0


def list_units(loaded: Loaded, kind: UnitKind, tenant: str | None, *, as_json: bool) -> int:
    units: list[UnitView] = []
    with Registry.of(loaded) as registry:
        after: Position | None = None
        while found := registry.units.page(registry.by, kind, tenant, after, PAGE_LIMIT):
            units += map(unit_view, found)
            after = found[-1].tenant, found[-1].name
    if as_json:
        print(msgspec.json.encode(units).decode())
        return 0
    above = {"tenant": [], "team": ["Tenant"], "user": ["Tenant", "Team"]}[kind]
    table = Table(kind.capitalize(), *above, "Suspended", "Models", "Regions", "Made")
    for unit in units:
        table.add_row(
            unit.name,
            *(unit.tenant, unit.team or "")[: len(above)],
            "yes" if unit.suspended else "no",
            "all" if unit.models is None else ", ".join(unit.models),
            "all" if unit.regions is None else ", ".join(unit.regions),
            unit.created,
        )
    wide_console().print(
        table if units else f"There are none. Make one: headrace {kind}s create NAME"
    )
    return 0


def set_suspended(
    loaded: Loaded, kind: UnitKind, tenant: str, name: str, suspended: bool, *, as_json: bool
) -> int:
    with Registry.of(loaded) as registry:
        change = UnitChange(suspended=suspended)
        unit = registry.units.update(registry.by, kind, tenant, name, change)
    if as_json:
        print(msgspec.json.encode(unit_view(unit)).decode())
    else:
        told = "suspended, its keys are refused" if suspended else "back in use"
        print(f"The {kind} {name}: {told}.")
    return 0


def create_admin_key(loaded: Loaded, options: dict[str, Any], *, as_json: bool) -> int:
    options["expires"] = instant(options.get("expires"))
    with Registry.of(loaded) as registry:
        record, secret = registry.admin_keys.create(registry.by, made(NewAdminKey, options))
        unknown = [name for name in record.tenants or () if not registry.units.has_tenant(name)]
    view = admin_key_view(record, time.time())
    if as_json:
        print(msgspec.json.encode({"key": view, "secret": secret.reveal()}).decode())
    else:
        print(secret.reveal())
        note(f"Role {view.role}. It is shown this once: keep it in a safe place now.")
    for name in unknown:
        note(
            f"Warning: there is no tenant {name!r}, so this key sees nothing of it. Make it: "
            f"`headrace tenants create {name}`."
        )
    return 0


def list_admin_keys(loaded: Loaded, *, as_json: bool) -> int:
    now = time.time()
    with Registry.of(loaded) as registry:
        views = [
            admin_key_view(key, now)
            for key in registry.admin_keys.page(registry.by, None, PAGE_LIMIT)[0]
        ]
    if as_json:
        print(msgspec.json.encode(views).decode())
        return 0
    table = Table(Column("Key", no_wrap=True), "Name", "State", "Role", "Tenants", "Expires")
    for view in views:
        tenants = "all" if view.tenants is None else ", ".join(view.tenants)
        table.add_row(view.id, view.name, view.state, view.role, tenants, view.expires or "never")
    wide_console().print(table if views else "There are none. Make one: headrace admin key")
    return 0


def revoke_admin_key(loaded: Loaded, key_id: str, *, as_json: bool) -> int:
    with Registry.of(loaded) as registry:
        record = registry.admin_keys.revoke(registry.by, key_id)
    if as_json:
        print(msgspec.json.encode(admin_key_view(record, time.time())).decode())
    else:
        print(f"{record.id} ({record.name}) is revoked.")
    return 0
