"""T21: every route, every role, other tenants' ids, fields and grants. Made from the route table,
so that a new route is in the matrix by being there."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from headrace.config.terms import is_within, networks_of, written_instant
from headrace.data.registry.key_text import ADMIN, mint, new_id
from headrace.edge.admin.cached import PurgeWish, TextPair, Verdict
from headrace.edge.admin.route import Route
from headrace.edge.admin.scores import NewScores
from headrace.edge.admin.table import routes
from headrace.gateway.administration.grants import ROLES, Role
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
from support.admin_thread import AdminThread, admin_thread
from support.admin_tokens import grants as grants_of
from support.admin_tokens import group, tokens_of
from support.identity_provider import IdentityProvider, identity_provider

TENANTS = ("acme", "bolt")
OWN = "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"
ALL = group(Role.ADMIN, None)


class Actor(NamedTuple):
    """Who asks. `role` None: nobody that is known."""

    name: str
    key: str | None
    role: Role | None
    tenants: frozenset[str] | None


class World:
    def __init__(self, admin: AdminThread, provider: IdentityProvider) -> None:
        self.admin = admin
        registry = admin.registry
        for tenant in TENANTS:
            registry.units.create_tenant(registry.by, NewTenant(name=tenant))
        self.count = itertools.count()
        self.actors = [
            Actor(f"{role.word} of {'all' if tenants is None else ', '.join(tenants)}",
                  self.admin_key(role, tenants), role,
                  None if tenants is None else frozenset(tenants))
            for role in Role for tenants in (None, ["acme"])
        ]  # fmt: skip
        self.actors += [
            Actor(f"a token of {group(role, tenants)}",
                  provider.token(groups=[group(role, tenants)]), role,
                  None if tenants is None else frozenset(tenants))
            for role in Role for tenants in (None, ["acme"])
        ]  # fmt: skip
        revoked, revoked_text = self.made_admin_key(Role.ADMIN, None)
        registry.admin_keys.revoke(registry.by, revoked)
        rotated, rotated_text = self.made_admin_key(Role.ADMIN, None)
        registry.admin_keys.rotate(registry.by, rotated, 0)
        self.strangers = [
            Actor("nobody", None, None, None),
            Actor("an unknown key", mint(ADMIN, new_id()), None, None),
            Actor("a wrong secret", mint(ADMIN, revoked), None, None),
            Actor("a revoked key", revoked_text, None, None),
            Actor("a replaced secret", rotated_text, None, None),
            Actor("a client's key", self.client_key("acme")[1], None, None),
            Actor("the kept form", "0" * 64, None, None),
            Actor("another word", "x", None, None),
            Actor("a token that has expired", provider.token(groups=[ALL], exp=1), None, None),
            Actor(
                "a token for another audience", provider.token(groups=[ALL], aud="x"), None, None
            ),
            Actor(
                "a token signed by a stranger",
                provider.token(groups=[ALL], key=provider.keys["ec"], signed_as="ES256"),
                None,
                None,
            ),
        ]
        self.actors += self.strangers
        self.actors.append(Actor("the configured key", OWN, Role.ADMIN, None))

    def name(self) -> str:
        return f"n{next(self.count)}"

    def made_admin_key(self, role: Role, tenants: list[str] | None) -> tuple[str, str]:
        registry = self.admin.registry
        new = NewAdminKey(name="actor", role=role.word, tenants=tenants)
        record, secret = registry.admin_keys.create(registry.by, new)
        return record.id, secret.reveal()

    def admin_key(self, role: Role, tenants: list[str] | None) -> str:
        return self.made_admin_key(role, tenants)[1]

    def client_key(self, tenant: str) -> tuple[str, str]:
        registry = self.admin.registry
        record, secret = registry.keys.create(registry.by, NewKey(name="shop", tenant=tenant))
        return record.id, secret.reveal()

    def target(self, route: Route, tenant: str) -> str:
        """A path of this route to something of that tenant, made for this request alone."""
        registry, by = self.admin.registry, self.admin.registry.by
        path = route.path.replace("{tenant}", tenant)
        if path.startswith("/v1/keys/"):
            path = path.replace("{id}", self.client_key(tenant)[0])
        elif path.startswith("/v1/admin-keys/"):
            path = path.replace("{id}", self.made_admin_key(Role.VIEWER, [tenant])[0])
        if "{team}" in path:
            name = registry.units.create_team(by, tenant, NewTeam(name=self.name())).name
            path = path.replace("{team}", name)
        if "{user}" in path:
            name = registry.units.create_user(by, tenant, NewUser(name=self.name())).name
            path = path.replace("{user}", name)
        return path.replace("{backend}", "up").replace("{call}", "call-12345678")

    def body(self, route: Route, tenant: str) -> Any:
        wishes: dict[type, Any] = {
            TextPair: {"asked": "How?", "kept": "Why?"},
            PurgeWish: {"tag": "a"},
            NewScores: {"scores": [{"model": "a", "measure": "fluency", "points": 4}]},
            Verdict: {"verdict": "wrong"},
            NewKey: {"name": "k", "tenant": tenant},
            KeyChange: {"tags": {"a": self.name()}},
            Rotation: {},
            NewTenant: {"name": self.name()},
            NewTeam: {"name": self.name()},
            NewUser: {"name": self.name()},
            UnitChange: {"models": ["a"]},
            NewAdminKey: {"name": "other", "role": "viewer", "tenants": [tenant]},
        }
        return None if route.body is None else wishes[route.body]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("store")
    with identity_provider(folder) as provider:
        tokens = tokens_of(provider, grants=grants_of(None, ["acme"]))
        with admin_thread(folder, OWN, tokens=tokens) as admin:
            yield World(admin, provider)


def expected(route: Route, actor: Actor, tenant: str) -> set[int]:
    """By the rules, written down here once more. `tenant` is whose thing is asked for."""
    done = {200, 201}
    if route.role is None:
        return done
    if actor.role is None:
        return {401}
    if actor.role < route.role or (route.whole and actor.tenants is not None):
        return {403}
    if route.path.startswith(("/v1/backends/", "/v1/calls/", "/v1/cache/calls/")):
        return {404}  # no worker runs here
    if route.name in ("judge_texts", "purge_cache", "take_scores", "config", "list_alerts"):
        return {404}
    foreign = actor.tenants is not None and tenant not in actor.tenants
    if foreign and "{" in route.path:
        return {404}
    if foreign and route.name in ("create_key", "create_admin_key"):
        return {403}
    return done


ROUTES = routes()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_route_gives_each_role_what_it_may(world: World, route: Route) -> None:
    for actor in world.actors:
        for tenant in TENANTS:
            path = world.target(route, tenant)
            before = world.admin.registry.revision()
            answer = world.admin.ask(
                route.method, path, actor.key, world.body(route, tenant),
                {"content-type": "application/json"} if route.body else None,
            )  # fmt: skip
            told = (actor.name, route.name, tenant, answer.status_code, answer.text)
            assert answer.status_code in expected(route, actor, tenant), told
            if answer.status_code >= 400:
                assert world.admin.registry.revision() == before, told
                error = answer.json()["error"]
                assert error["request_id"] == answer.headers["x-request-id"]
                assert error["message"] and error["code"]
                if actor.key is not None and len(actor.key) > 1:
                    assert actor.key not in answer.text


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_no_list_shows_what_is_another_tenants(world: World, route: Route) -> None:
    for tenant in TENANTS:
        for template in ROUTES:
            if template.method == "GET" and "{" in template.path:
                world.target(template, tenant)
    if route.method != "GET" or not route.name.startswith("list_") or route.query is None:
        return
    for actor in world.actors:
        if (
            actor.tenants != frozenset({"acme"})
            or actor.role is None
            or actor.role < (route.role or 0)
        ):
            continue
        answer = world.admin.ask("GET", route.path.replace("{tenant}", "acme"), actor.key)
        assert answer.status_code == 200
        for item in answer.json()["items"]:
            whose = item.get("tenants", [item.get("tenant")])
            assert whose == ["acme"], (route.name, item)
        if route.name == "list_keys":
            narrowed = world.admin.ask("GET", route.path, actor.key, params={"tenant": "bolt"})
            assert narrowed.json()["items"] == []


FORBIDDEN_FIELDS = (
    "id", "digest", "versions", "secret", "created", "created_by", "created_unix_s", "revoked",
    "revoked_unix_s", "state", "kind", "begins", "__proto__", "actor",
)  # fmt: skip


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.body is not None], ids=lambda route: route.name
)
def test_no_field_but_those_that_are_known_is_taken(world: World, route: Route) -> None:
    actor = next(a for a in world.actors if a.role is Role.ADMIN and a.tenants is None)
    assert route.body is not None
    known = {field.encode_name for field in msgspec.structs.fields(route.body)}
    more = {"tenant", "role", "tenants", "suspended", "name", "grace_s", "team"} - known
    for field in {*FORBIDDEN_FIELDS, *more}:
        path = world.target(route, "acme")
        before = world.admin.registry.revision()
        answer = world.admin.ask(
            route.method, path, actor.key, {**world.body(route, "acme"), field: "bolt"}
        )
        assert answer.status_code == 400, (route.name, field, answer.text)
        assert world.admin.registry.revision() == before


def test_a_list_of_routes_is_kept(world: World) -> None:
    """A new route is looked at by somebody: its line is written here."""
    assert {f"{r.method} {r.path} {'-' if r.role is None else r.role.word}" for r in ROUTES} == {
        "GET /healthz -", "GET /v1/health viewer",
        "GET /v1/keys viewer", "POST /v1/keys operator", "GET /v1/keys/{id} viewer",
        "PATCH /v1/keys/{id} operator", "POST /v1/keys/{id}/rotate operator",
        "POST /v1/keys/{id}/revoke operator",
        "GET /v1/tenants viewer", "POST /v1/tenants admin", "GET /v1/tenants/{tenant} viewer",
        "PATCH /v1/tenants/{tenant} admin",
        "GET /v1/tenants/{tenant}/teams viewer", "POST /v1/tenants/{tenant}/teams admin",
        "GET /v1/tenants/{tenant}/teams/{team} viewer",
        "PATCH /v1/tenants/{tenant}/teams/{team} admin",
        "GET /v1/tenants/{tenant}/users viewer", "POST /v1/tenants/{tenant}/users admin",
        "GET /v1/tenants/{tenant}/users/{user} viewer",
        "PATCH /v1/tenants/{tenant}/users/{user} admin",
        "GET /v1/admin-keys admin", "POST /v1/admin-keys admin", "GET /v1/admin-keys/{id} admin",
        "POST /v1/admin-keys/{id}/rotate admin", "POST /v1/admin-keys/{id}/revoke admin",
        "GET /v1/backends viewer", "POST /v1/backends/{backend}/isolate operator",
        "POST /v1/backends/{backend}/restore operator", "GET /v1/calls/{call} viewer",
        "GET /v1/usage viewer", "GET /v1/calls viewer", "GET /v1/savings viewer",
        "POST /v1/scores operator", "GET /v1/config admin",
        "GET /metrics viewer", "GET /v1/alerts viewer",
        "GET /v1/cache viewer", "GET /v1/cache/misses operator", "GET /v1/cache/tuning viewer",
        "GET /v1/cache/calls/{call} operator", "POST /v1/cache/judge operator",
        "POST /v1/cache/purge operator", "POST /v1/cache/calls/{call}/feedback operator",
    }  # fmt: skip


# --- grants

TENANT_SETS: tuple[list[str] | None, ...] = (None, ["acme"], ["bolt"], ["acme", "bolt"])
RANGE_SETS: tuple[list[str] | None, ...] = (None, ["127.0.0.0/8"], ["127.0.0.1"], ["0.0.0.0/0"])
ENDS: tuple[float | None, ...] = (None, 3600.0, 7200.0)


def exceeds(new: dict[str, Any], by: dict[str, Any]) -> bool:
    """Whether a grant is more than its grantor's, by the meaning of each part."""
    if ROLES[new["role"]] > ROLES[by["role"]]:
        return True
    if by["tenants"] is not None and not set(new["tenants"] or ["*"]) <= set(by["tenants"]):
        return True
    if by["ends"] is not None and (new["ends"] is None or new["ends"] > by["ends"]):
        return True
    if by["ip_ranges"] is None:
        return False
    outer = networks_of(by["ip_ranges"])
    return new["ip_ranges"] is None or not all(
        is_within(one, outer) for one in networks_of(new["ip_ranges"])
    )


def wish(grant: dict[str, Any], now: float) -> dict[str, Any]:
    made = {name: grant[name] for name in ("role", "tenants", "ip_ranges")}
    ends = grant["ends"]
    made["expires"] = None if ends is None else written_instant(now + ends)
    return {"name": "granted", **made}


def grants() -> list[dict[str, Any]]:
    """All there are in the soak, else one in four."""
    found = [
        {"role": role, "tenants": tenants, "ip_ranges": ranges, "ends": ends}
        for role in ROLES for tenants in TENANT_SETS for ranges in RANGE_SETS for ends in ENDS
    ]  # fmt: skip
    return found if os.environ.get("HEADRACE_SOAK") == "1" else found[1::4] + found[:1]


def test_no_grant_exceeds_its_grantors(world: World) -> None:
    """All grants by a choice of grantors: made if they are within, refused if not."""
    now = time.time()
    grantors = [
        {"role": "admin", "tenants": tenants, "ip_ranges": ranges, "ends": ends}
        for tenants, ranges, ends in (
            (None, None, None), (["acme"], None, None), (["acme", "bolt"], None, 3600.0),
            (None, ["127.0.0.0/8"], None), (["bolt"], ["127.0.0.1"], 3600.0), (None, None, 3600.0),
        )
    ]  # fmt: skip
    registry, made, refused = world.admin.registry, 0, 0
    for by in grantors:
        new = msgspec.convert(wish(by, now), NewAdminKey)
        key = registry.admin_keys.create(registry.by, new)[1].reveal()
        for grant in grants():
            answer = world.admin.ask("POST", "/v1/admin-keys", key, wish(grant, now))
            if exceeds(grant, by):
                assert answer.status_code == 403, (by, grant, answer.text)
                refused += 1
            else:
                assert answer.status_code == 201, (by, grant, answer.text)
                made += 1
    assert made > 30 and refused > 80


def test_roles_below_admin_grant_nothing(world: World) -> None:
    for role in (Role.VIEWER, Role.OPERATOR):
        key = world.admin_key(role, None)
        for grant in grants():
            answer = world.admin.ask("POST", "/v1/admin-keys", key, wish(grant, time.time()))
            assert answer.status_code == 403


def test_nobody_takes_over_a_key_that_may_do_more(world: World) -> None:
    """A new secret for another's key would be a grant."""
    key = world.admin_key(Role.ADMIN, ["acme"])
    for tenants in (None, ["bolt"], ["acme", "bolt"]):
        more = world.made_admin_key(Role.VIEWER, tenants)[0]
        for verb in ("rotate", "revoke"):
            body: Any = {} if verb == "rotate" else None
            path = f"/v1/admin-keys/{more}/{verb}"
            assert world.admin.ask("POST", path, key, body).status_code == 404
        assert world.admin.ask("GET", f"/v1/admin-keys/{more}", key).status_code == 404
    registry = world.admin.registry
    new = NewAdminKey(name="ends", role="admin", expires=written_instant(time.time() + 3600))
    ending = registry.admin_keys.create(registry.by, new)[1].reveal()
    lasting = world.made_admin_key(Role.VIEWER, None)[0]
    for verb in ("rotate", "revoke"):
        body = {} if verb == "rotate" else None
        answer = world.admin.ask("POST", f"/v1/admin-keys/{lasting}/{verb}", ending, body)
        assert answer.status_code == 403


def test_a_key_is_bound_to_its_addresses_and_its_end(world: World) -> None:
    registry = world.admin.registry
    for terms in ({"ip_ranges": ["203.0.113.0/24"]}, {"expires": None, "ip_ranges": ["::1"]}):
        new = msgspec.convert({"name": "far", "role": "admin", **terms}, NewAdminKey)
        key = registry.admin_keys.create(registry.by, new)[1].reveal()
        assert world.admin.ask("GET", "/v1/keys", key).status_code == 401
        forged = {"x-forwarded-for": "203.0.113.7", "forwarded": "for=203.0.113.7"}
        assert world.admin.ask("GET", "/v1/keys", key, headers=forged).status_code == 401


def test_nobody_lifts_the_own_ceiling(world: World) -> None:
    registry = world.admin.registry
    registry.units.create_tenant(
        registry.by, NewTenant(name="bounded", models=["a"], regions=["eu"])
    )
    key = world.admin_key(Role.ADMIN, ["bounded"])
    ask = world.admin.ask
    assert ask("PATCH", "/v1/tenants/bounded", key, {"models": None}).status_code == 403
    for terms in ({"models": ["a", "b"]}, {"regions": ["us"]}):
        new = {"name": "k", "tenant": "bounded", **terms}
        assert ask("POST", "/v1/keys", key, new).status_code == 400
        team = {"name": "t", **terms}
        assert ask("POST", "/v1/tenants/bounded/teams", key, team).status_code == 400
    made = ask("POST", "/v1/keys", key, {"name": "k", "tenant": "bounded", "models": ["a"]})
    path = f"/v1/keys/{made.json()['key']['id']}"
    assert ask("PATCH", path, key, {"models": ["b"]}).status_code == 400


# --- hosts and paths

HOSTS = (
    "evil.example", "localhost.evil.example", "evil.example:8081", "127.0.0.1.evil.example",
    "localhost@evil.example", "evil.example#localhost", "evil.example/localhost", "", " ",
    "localhost/healthz?", "localhost:80:80", "[::1", "localhost, evil.example", "localhost\tx",
    "xn--localhost-", "localhost.", "127.1.evil", "0x7f.evil", "%6cocalhost", "LOCALHOST.evil",
    "localhost:99999999", "127.0.0.1/../healthz", "healthz", "?localhost", "#", "*", "null",
)  # fmt: skip
PATHS = (
    "//v1/keys", "/v1//keys", "/healthz/../v1/keys", "/healthz/..%2fv1/keys", "/v1/keys/",
    "/healthz;/v1/keys", "/./v1/keys", "/V1/KEYS", "/%76%31/keys", "/v1/keys%20", "/v1/keys%00",
    "/v1/keys?key=x", "/healthz%2f..%2fv1%2fkeys", "/v1/keys#/healthz", "http://x/v1/keys",
    "http://127.0.0.1/v1/keys", "*", "/v1/keys\\", "/v1/keys;jsessionid=1",
)  # fmt: skip
HEADERS = (
    "x-original-url: /healthz", "x-rewrite-url: /healthz", "x-forwarded-host: localhost",
    "x-http-method-override: GET", "x-forwarded-for: 127.0.0.1", "authorization: Basic eDp5",
    "authorization: Bearer", "authorization:", "api-key: {key}", "cookie: key={key}",
    "authorization: Bearer x\r\nauthorization: Bearer {key}",
)  # fmt: skip


def raw(admin: AdminThread, line: str, lines: list[str]) -> int:
    """The status of a request that is sent as it is written."""
    port = int(admin.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        head = "\r\n".join([line, *lines, "connection: close", "", ""])
        connection.sendall(head.encode("latin-1"))
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    match = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(match[1]) if match else 0


@pytest.mark.parametrize("host", HOSTS)
def test_no_page_of_another_name_gets_an_answer(world: World, host: str) -> None:
    key = f"authorization: Bearer {world.actors[4].key}"
    for path in ("/v1/keys", "/healthz", "/openapi.json"):
        status = raw(world.admin, f"GET {path} HTTP/1.1", [f"host: {host}", key])
        assert status == 400, (host, path, status)


def test_the_right_hosts_are_answered(world: World) -> None:
    key = f"authorization: Bearer {world.actors[4].key}"
    for host in ("localhost", "LocalHost:8081", "127.0.0.1", "127.0.0.1:1", "[::1]:8081"):
        assert raw(world.admin, "GET /v1/keys HTTP/1.1", [f"host: {host}", key]) == 200
    assert raw(world.admin, "GET /v1/keys HTTP/1.1", [key]) == 400
    two = ["host: localhost", "host: evil.example", key]
    assert raw(world.admin, "GET /v1/keys HTTP/1.1", two) == 400


@pytest.mark.parametrize("path", PATHS)
def test_no_other_spelling_of_a_path_leads_past_the_key(world: World, path: str) -> None:
    for host in ("localhost", "localhost/healthz?", "healthz"):
        status = raw(world.admin, f"GET {path} HTTP/1.1", [f"host: {host}"])
        assert status in (400, 401, 404, 405), (path, host, status)


@pytest.mark.parametrize("header", HEADERS)
def test_no_header_stands_for_the_key(world: World, header: str) -> None:
    line = header.replace("{key}", world.actors[4].key or "")
    for path in ("/v1/keys", "/v1/admin-keys", "/openapi.json"):
        status = raw(world.admin, f"GET {path} HTTP/1.1", ["host: localhost", line])
        assert status in (400, 401), (header, status)


def test_refused_keys_are_told_to_the_audit_log(tmp_path: Path) -> None:
    with admin_thread(tmp_path) as admin:
        wrong = mint(ADMIN, new_id())
        assert admin.ask("GET", "/v1/keys", wrong).status_code == 401
        log = (tmp_path / "audit.jsonl").read_text()
        assert '"auth.refused"' in log
        assert wrong not in log
