"""Tenants with their teams and users: made, bounded, suspended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.console.page import Action, Done, Page, Visit
from headrace.console.rules_text import list_of, rules_of, rules_text, text_of
from headrace.edge.admin.asked import Refusal

KINDS = ("team", "user")
MOST = "500"
"""Of each kind that a page lists."""


async def show_tenants(visit: Visit) -> Mapping[str, Any]:
    found = await visit.ask("list_tenants", query={"limit": MOST})
    return {"tenants": found.items, "more": found.next is not None,
            "may_create": visit.may("create_tenant")}  # fmt: skip


async def show_tenant(visit: Visit) -> Mapping[str, Any]:
    tenant = visit.path["tenant"]
    unit = await visit.ask("get_tenant", {"tenant": tenant})
    lists = {
        kind: await visit.ask(f"list_{kind}s", {"tenant": tenant}, {"limit": MOST})
        for kind in KINDS
    }
    return {
        "unit": unit,
        "units": {"tenant": [unit], **{kind: found.items for kind, found in lists.items()}},
        "more": any(found.next is not None for found in lists.values()),
        "rules": rules_text,
        "may_change": {kind: visit.may(f"update_{kind}") for kind in ("tenant", *KINDS)},
        "may_create": {kind: visit.may(f"create_{kind}") for kind in KINDS},
    }


async def create_tenant(visit: Visit) -> Done:
    made = await visit.ask("create_tenant", body={"name": visit.form.get("name", "").strip()})
    return Done(f"/teams/{made.name}", f"The tenant {made.name} is made.")


async def create(visit: Visit) -> Done:
    form, tenant, kind = visit.form, visit.path["tenant"], _kind(visit, KINDS)
    body: dict[str, Any] = {"name": form.get("name", "").strip()}
    if kind == "user" and text_of(form, "team") is not None:
        body["team"] = text_of(form, "team")
    made = await visit.ask(f"create_{kind}", {"tenant": tenant}, body=body)
    return Done(f"/teams/{tenant}", f"The {kind} {made.name} is made.")


async def change(visit: Visit) -> Done:
    form = visit.form
    body = {
        "models": list_of(form, "models"),
        "regions": list_of(form, "regions"),
        "limits": rules_of(form, "limits"),
        "budgets": rules_of(form, "budgets"),
    }
    return await _changed(visit, body, "changed")


async def suspend(visit: Visit) -> Done:
    return await _changed(visit, {"suspended": True}, "suspended: all keys under it are refused")


async def resume(visit: Visit) -> Done:
    return await _changed(visit, {"suspended": False}, "working again")


async def _changed(visit: Visit, body: dict[str, Any], word: str) -> Done:
    tenant, kind = visit.path["tenant"], _kind(visit, ("tenant", *KINDS))
    name = visit.path["name"]
    path = {"tenant": tenant} if kind == "tenant" else {"tenant": tenant, kind: name}
    await visit.ask(f"update_{kind}", path, body=body)
    return Done(f"/teams/{tenant}", f"The {kind} {name} is {word}.")


def _kind(visit: Visit, kinds: Sequence[str]) -> str:
    kind = visit.path["kind"]
    if kind not in kinds:
        raise Refusal(404, "not_found", "There is nothing of that kind.")
    return kind


def pages() -> Sequence[Page]:
    one = "/teams/{tenant}/{kind}/{name}"
    return (
        Page(
            path="/teams",
            title="Teams",
            template="tenants.html",
            needs=("list_tenants",),
            show=show_tenants,
            actions=(Action(path="/teams", needs=("create_tenant",), act=create_tenant),),
            group="Steer",
            icon="team",
        ),
        Page(
            path="/teams/{tenant}",
            title="Teams",
            template="tenant.html",
            needs=("get_tenant", "list_teams", "list_users"),
            show=show_tenant,
            # Whether this kind may be changed is for the route of the kind to say.
            actions=(
                Action(path="/teams/{tenant}/{kind}", needs=("create_team",), act=create),
                Action(path=f"{one}/change", needs=("update_team",), act=change),
                Action(path=f"{one}/suspend", needs=("update_team",), act=suspend),
                Action(path=f"{one}/resume", needs=("update_team",), act=resume),
            ),
        ),
    )
