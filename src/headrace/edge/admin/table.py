"""The routes of the admin API: all there are."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from headrace import __version__
from headrace.config.terms import Name
from headrace.data.registry.records import AdminKeyRecord, KeyRecord, UnitKind, UnitRecord
from headrace.data.registry.rows import NO_TENANT, Position, Wanted
from headrace.edge.admin import cached
from headrace.edge.admin.called import CallPage, CallQuery, calls
from headrace.edge.admin.configured import ConfigView, configured
from headrace.edge.admin.live import (
    BackendChange,
    BackendView,
    CallStory,
    HealthView,
    alerts,
    backends,
    health,
    isolate,
    metrics,
    restore,
    story,
)
from headrace.edge.admin.route import Ask, Route
from headrace.edge.admin.saved import SavingsView, saved
from headrace.edge.admin.scores import NewScores, ScoresTaken, take_scores
from headrace.edge.admin.used import UsageQuery, UsageView, used
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Role
from headrace.gateway.administration.views import (
    AdminKeyView,
    KeyView,
    UnitView,
    admin_key_view,
    key_view,
    unit_view,
)
from headrace.gateway.administration.wishes import (
    KeyChange,
    NewAdminKey,
    NewKey,
    NewTeam,
    NewTenant,
    NewUser,
    Rotation,
    UnitChange,
)
from headrace.gateway.telemetry.alert_board import AlertBoard
from headrace.gateway.telemetry.exposition import CONTENT_TYPE

Limit = Annotated[int, Meta(ge=1, le=500)]
Cursor = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_-]{1,1000}$", description="the `next` of the page before")
]


class Alive(Struct, frozen=True):
    """The admin API answers."""

    status: Literal["alive"]
    version: str


class NewSecret(Struct, frozen=True):
    """A key that was made or rotated. `secret` is the key's text, shown this once."""

    key: KeyView
    secret: str


class NewAdminSecret(Struct, frozen=True):
    """An admin key that was made or rotated. `secret` is its text, shown this once."""

    key: AdminKeyView
    secret: str


class KeyPage(Struct, frozen=True):
    """Some keys. `next` is what to send as `after` for more; null at the end."""

    items: list[KeyView]
    next: str | None


class UnitPage(Struct, frozen=True):
    """Some tenants, teams or users. `next` is what to send as `after` for more."""

    items: list[UnitView]
    next: str | None


class AdminKeyPage(Struct, frozen=True):
    """Some admin keys. `next` is what to send as `after` for more."""

    items: list[AdminKeyView]
    next: str | None


class PageQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which part of a list."""

    after: Cursor | None = None
    limit: Limit = 100


class KeyQuery(PageQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which keys."""

    tenant: Name | None = None
    team: Name | None = None
    user: Name | None = None
    name: Name | None = None


def _position(cursor: str | None) -> Position | None:
    if cursor is None:
        return None
    try:
        data = base64.urlsafe_b64decode(cursor.encode() + b"==")
        tenant, key_id = msgspec.json.decode(data, type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise Denied(
            Why.INVALID, "`after` is not what a list gave as `next`.", param="after"
        ) from error
    return tenant, key_id


def _next(found: Sequence[Any], limit: int, at: Callable[[Any], Position]) -> str | None:
    if len(found) < limit:
        return None
    return base64.urlsafe_b64encode(msgspec.json.encode(at(found[-1]))).decode().rstrip("=")


# --- keys


def _list_keys(ask: Ask) -> KeyPage:
    query: KeyQuery = ask.query
    wanted = Wanted(
        "key",
        None if query.tenant is None else frozenset((query.tenant,)),
        label=query.name,
        team=query.team,
        user=query.user,
    )
    found = ask.parts.keys.page(ask.by, wanted, _position(query.after), query.limit)
    return KeyPage([_key(ask, key) for key in found], _next(found, query.limit, _key_position))


def _key_position(key: KeyRecord) -> Position:
    return key.terms.tenant, key.id


def _key(ask: Ask, record: KeyRecord) -> KeyView:
    return key_view(record, ask.parts.desk.clock())


def _create_key(ask: Ask) -> NewSecret:
    record, secret = ask.parts.keys.create(ask.by, ask.body)
    return NewSecret(_key(ask, record), secret.reveal())


def _get_key(ask: Ask) -> KeyView:
    return _key(ask, ask.parts.keys.get(ask.by, ask.path["id"]))


def _update_key(ask: Ask) -> KeyView:
    return _key(ask, ask.parts.keys.update(ask.by, ask.path["id"], ask.body))


def _rotate_key(ask: Ask) -> NewSecret:
    record, secret = ask.parts.keys.rotate(ask.by, ask.path["id"], ask.body.grace_s)
    return NewSecret(_key(ask, record), secret.reveal())


def _revoke_key(ask: Ask) -> KeyView:
    return _key(ask, ask.parts.keys.revoke(ask.by, ask.path["id"]))


# --- tenants, teams, users


def _list_units(kind: UnitKind) -> Callable[[Ask], UnitPage]:
    def act(ask: Ask) -> UnitPage:
        query: PageQuery = ask.query
        tenant = ask.path.get("tenant")
        found = ask.parts.units.page(ask.by, kind, tenant, _position(query.after), query.limit)
        return UnitPage([unit_view(u) for u in found], _next(found, query.limit, _unit_position))

    return act


def _unit_position(unit: UnitRecord) -> Position:
    return unit.tenant, unit.name


def _create_tenant(ask: Ask) -> UnitView:
    return unit_view(ask.parts.units.create_tenant(ask.by, ask.body))


def _create_team(ask: Ask) -> UnitView:
    return unit_view(ask.parts.units.create_team(ask.by, ask.path["tenant"], ask.body))


def _create_user(ask: Ask) -> UnitView:
    return unit_view(ask.parts.units.create_user(ask.by, ask.path["tenant"], ask.body))


def _get_unit(kind: UnitKind) -> Callable[[Ask], UnitView]:
    def act(ask: Ask) -> UnitView:
        tenant = ask.path["tenant"]
        return unit_view(ask.parts.units.get(ask.by, kind, tenant, ask.path.get(kind, tenant)))

    return act


def _update_unit(kind: UnitKind) -> Callable[[Ask], UnitView]:
    def act(ask: Ask) -> UnitView:
        tenant = ask.path["tenant"]
        name = ask.path.get(kind, tenant)
        return unit_view(ask.parts.units.update(ask.by, kind, tenant, name, ask.body))

    return act


# --- admin keys


def _admin_key(ask: Ask, record: AdminKeyRecord) -> AdminKeyView:
    return admin_key_view(record, ask.parts.desk.clock())


def _list_admin_keys(ask: Ask) -> AdminKeyPage:
    query: PageQuery = ask.query
    found, last = ask.parts.admin_keys.page(ask.by, _position(query.after), query.limit)
    after = None if last is None else _next([last], 1, lambda key_id: (NO_TENANT, key_id))
    return AdminKeyPage([_admin_key(ask, key) for key in found], after)


def _create_admin_key(ask: Ask) -> NewAdminSecret:
    record, secret = ask.parts.admin_keys.create(ask.by, ask.body)
    return NewAdminSecret(_admin_key(ask, record), secret.reveal())


def _get_admin_key(ask: Ask) -> AdminKeyView:
    return _admin_key(ask, ask.parts.admin_keys.get(ask.by, ask.path["id"]))


def _rotate_admin_key(ask: Ask) -> NewAdminSecret:
    record, secret = ask.parts.admin_keys.rotate(ask.by, ask.path["id"], ask.body.grace_s)
    return NewAdminSecret(_admin_key(ask, record), secret.reveal())


def _revoke_admin_key(ask: Ask) -> AdminKeyView:
    return _admin_key(ask, ask.parts.admin_keys.revoke(ask.by, ask.path["id"]))


def _alive(ask: Ask) -> Alive:
    return Alive("alive", __version__)


def _route(
    method: str,
    path: str,
    name: str,
    role: Role | None,
    act: Callable[[Ask], Any],
    summary: str,
    answer: Any,
    **more: Any,
) -> Route:
    if method == "POST" and "status" not in more and name.startswith("create"):
        more["status"] = 201
    return Route(
        method=method, path=path, name=name, role=role, act=act, summary=summary, answer=answer,
        **more,
    )  # fmt: skip


def routes() -> list[Route]:
    """In the order of the document."""
    see, act, admin = Role.VIEWER, Role.OPERATOR, Role.ADMIN
    tenant, team = "/v1/tenants/{tenant}", "/v1/tenants/{tenant}/teams"
    user, key, other = "/v1/tenants/{tenant}/users", "/v1/keys/{id}", "/v1/admin-keys/{id}"
    lists: dict[str, Any] = {"query": PageQuery, "faults": (404,)}
    changed: dict[str, Any] = {"faults": (404, 409)}
    return [
        _route("GET", "/healthz", "alive", None, _alive, "Whether this answers.", Alive),
        _route("GET", "/v1/health", "health", see, health, "How the gateway fares.", HealthView,
               whole=True),
        _route("GET", "/v1/keys", "list_keys", see, _list_keys, "List keys.", KeyPage,
               query=KeyQuery),
        _route("POST", "/v1/keys", "create_key", act, _create_key,
               "Make a key; its secret is in this answer alone.", NewSecret, body=NewKey,
               faults=(409,)),
        _route("GET", key, "get_key", see, _get_key, "Show a key.", KeyView, faults=(404,)),
        _route("PATCH", key, "update_key", act, _update_key, "Change what a key may do.", KeyView,
               body=KeyChange, **changed),
        _route("POST", f"{key}/rotate", "rotate_key", act, _rotate_key,
               "Give a key a new secret, which is in this answer alone.", NewSecret,
               body=Rotation, **changed),
        _route("POST", f"{key}/revoke", "revoke_key", act, _revoke_key, "Refuse a key for good.",
               KeyView, **changed),
        _route("GET", "/v1/tenants", "list_tenants", see, _list_units("tenant"), "List tenants.",
               UnitPage, query=PageQuery),
        _route("POST", "/v1/tenants", "create_tenant", admin, _create_tenant, "Make a tenant.",
               UnitView, body=NewTenant, whole=True, faults=(409,)),
        _route("GET", tenant, "get_tenant", see, _get_unit("tenant"), "Show a tenant.", UnitView,
               faults=(404,)),
        _route("PATCH", tenant, "update_tenant", admin, _update_unit("tenant"),
               "Change or suspend a tenant.", UnitView, body=UnitChange, whole=True, **changed),
        _route("GET", team, "list_teams", see, _list_units("team"), "List a tenant's teams.",
               UnitPage, **lists),
        _route("POST", team, "create_team", admin, _create_team, "Make a team.", UnitView,
               body=NewTeam, **changed),
        _route("GET", f"{team}/{{team}}", "get_team", see, _get_unit("team"), "Show a team.",
               UnitView, faults=(404,)),
        _route("PATCH", f"{team}/{{team}}", "update_team", admin, _update_unit("team"),
               "Change or suspend a team.", UnitView, body=UnitChange, **changed),
        _route("GET", user, "list_users", see, _list_units("user"), "List a tenant's users.",
               UnitPage, **lists),
        _route("POST", user, "create_user", admin, _create_user, "Make a user.", UnitView,
               body=NewUser, **changed),
        _route("GET", f"{user}/{{user}}", "get_user", see, _get_unit("user"), "Show a user.",
               UnitView, faults=(404,)),
        _route("PATCH", f"{user}/{{user}}", "update_user", admin, _update_unit("user"),
               "Change or suspend a user.", UnitView, body=UnitChange, **changed),
        _route("GET", "/v1/admin-keys", "list_admin_keys", admin, _list_admin_keys,
               "List keys of this API.", AdminKeyPage, query=PageQuery),
        _route("POST", "/v1/admin-keys", "create_admin_key", admin, _create_admin_key,
               "Make a key of this API that may do no more than yours.", NewAdminSecret,
               body=NewAdminKey, faults=(409,)),
        _route("GET", other, "get_admin_key", admin, _get_admin_key, "Show a key of this API.",
               AdminKeyView, faults=(404,)),
        _route("POST", f"{other}/rotate", "rotate_admin_key", admin, _rotate_admin_key,
               "Give a key of this API a new secret.", NewAdminSecret, body=Rotation, **changed),
        _route("POST", f"{other}/revoke", "revoke_admin_key", admin, _revoke_admin_key,
               "Refuse a key of this API for good.", AdminKeyView, **changed),
        _route("GET", "/v1/backends", "list_backends", see, backends,
               "How each backend fares, by worker.", list[BackendView], whole=True),
        _route("POST", "/v1/backends/{backend}/isolate", "isolate_backend", act, isolate,
               "Take a backend out of use.", BackendChange, whole=True, faults=(404,)),
        _route("POST", "/v1/backends/{backend}/restore", "restore_backend", act, restore,
               "Bring a backend back.", BackendChange, whole=True, faults=(404,)),
        _route("GET", "/v1/alerts", "list_alerts", see, alerts,
               "What is watched, and what is an alert just now.", AlertBoard, whole=True,
               faults=(404,)),
        _route("GET", "/metrics", "metrics", see, metrics,
               "What was counted, in the text format of Prometheus.", str, whole=True,
               media=CONTENT_TYPE),
        _route("GET", "/v1/usage", "usage", see, used, "What was used, by any dimension.",
               UsageView, query=UsageQuery),
        _route("GET", "/v1/config", "config", admin, configured,
               "The configuration in force, and how the file differs.", ConfigView, whole=True,
               faults=(404,)),
        _route("POST", "/v1/scores", "take_scores", act, take_scores,
               "Count what an evaluation thinks of answers.", ScoresTaken, body=NewScores,
               whole=True, faults=(404,)),
        _route("GET", "/v1/savings", "savings", see, saved,
               "What each pattern saved, by any dimension.", SavingsView, query=UsageQuery),
        _route("GET", "/v1/calls", "list_calls", see, calls, "Search calls, the newest first.",
               CallPage, query=CallQuery),
        _route("GET", "/v1/calls/{call}", "explain_call", see, story,
               "Why a call was refused, or how it met with trouble.", CallStory, whole=True,
               faults=(404,)),
        *cached.routes(),
    ]  # fmt: skip
