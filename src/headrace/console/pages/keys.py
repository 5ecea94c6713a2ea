"""Keys of calls: made, changed, rotated, revoked. A secret is shown once, where it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.console.labels import labelled
from headrace.console.page import Action, Done, Page, Shown, Visit
from headrace.console.rules_text import list_of, number_of, rules_of, rules_text, text_of
from headrace.edge.admin.asked import Refusal

GRACES_S = {"0": "at once", "3600": "after an hour", "86400": "after a day",
            "604800": "after a week"}  # fmt: skip
PERIODS = ("day", "week", "month")
LABELS = {
    "name": "Name", "tenant": "Tenant", "team": "Team", "user": "User", "models": "Models",
    "expires": "Expires", "limits.requests": "Requests a minute",
    "limits.tokens": "Tokens a minute", "budgets.usd": "Budget in dollars",
}  # fmt: skip
"""Of the form that makes a key, by what its fields become."""
FILTERS = ("tenant", "team", "user", "name", "after")


async def show_list(visit: Visit) -> Mapping[str, Any]:
    asked = {name: visit.query[name] for name in FILTERS if name in visit.query}
    found = await visit.ask("list_keys", query={**asked, "limit": "50"})
    return {
        "keys": found.items,
        "next": found.next,
        "asked": asked,
        "periods": PERIODS,
        "may_create": visit.may("create_key"),
        "usual_tenant": "default" if visit.by.tenants is None else min(visit.by.tenants),
    }


async def create(visit: Visit) -> Shown:
    form = visit.form
    body: dict[str, Any] = {"name": form.get("name", "").strip()}
    for name in ("tenant", "team", "user", "expires"):
        if text_of(form, name) is not None:
            body[name] = text_of(form, name)
    models = list_of(form, "models")
    if models is not None:
        body["models"] = models
    body["limits"] = [
        {"per": "key", unit: amount}
        for unit in ("requests", "tokens")
        if (amount := number_of(form, unit, LABELS[f"limits.{unit}"])) is not None
    ]
    dollars = text_of(form, "usd")
    if dollars is not None:
        body["budgets"] = [{"per": "key", "usd": dollars, "every": form.get("every", "month")}]
    with labelled(LABELS):
        new = await visit.ask("create_key", body=body)
    return {**await show_list(visit), "made": new.key, "secret": new.secret, "form": {}}


async def show_one(visit: Visit) -> Mapping[str, Any]:
    key = await visit.ask("get_key", {"id": visit.path["id"]})
    return {
        "key": key,
        "limits": rules_text(key.limits),
        "budgets": rules_text(key.budgets),
        "graces": GRACES_S,
        "may_change": visit.may("update_key") and key.state != "revoked",
    }


async def change(visit: Visit) -> Done:
    form, id = visit.form, visit.path["id"]
    body = {
        "name": form.get("name", "").strip(),
        "team": text_of(form, "team"),
        "user": text_of(form, "user"),
        "models": list_of(form, "models"),
        "regions": list_of(form, "regions"),
        "ip_ranges": list_of(form, "ip_ranges"),
        "expires": text_of(form, "expires"),
        "limits": rules_of(form, "limits"),
        "budgets": rules_of(form, "budgets"),
    }
    key = await visit.ask("update_key", {"id": id}, body=body)
    return Done(f"/keys/{id}", f"{key.name} is changed.")


async def rotate(visit: Visit) -> Shown:
    grace_s = number_of(visit.form, "grace_s", "The time of grace") or 0
    new = await visit.ask("rotate_key", {"id": visit.path["id"]}, body={"grace_s": grace_s})
    return {**await show_one(visit), "made": new.key, "secret": new.secret, "form": {}}


async def revoke(visit: Visit) -> Done:
    if visit.form.get("sure") != "yes":
        raise Refusal(400, "not_sure", "Nothing was done: say that you are sure, since a revoked "
                      "key cannot be brought back.")  # fmt: skip
    key = await visit.ask("revoke_key", {"id": visit.path["id"]})
    return Done(f"/keys/{key.id}", f"{key.name} is revoked: its calls are refused.")


def pages() -> Sequence[Page]:
    return (
        Page(
            path="/keys",
            title="Keys",
            template="keys.html",
            needs=("list_keys",),
            show=show_list,
            actions=(Action(path="/keys", needs=("create_key",), act=create),),
            group="Steer",
            icon="key",
        ),
        Page(
            path="/keys/{id}",
            title="Keys",
            template="key.html",
            needs=("get_key",),
            show=show_one,
            actions=(
                Action(path="/keys/{id}/change", needs=("update_key",), act=change),
                Action(path="/keys/{id}/rotate", needs=("rotate_key",), act=rotate),
                Action(path="/keys/{id}/revoke", needs=("revoke_key",), act=revoke),
            ),
        ),
    )
