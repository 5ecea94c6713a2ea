"""Single calls: searched, and the story of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup
from msgspec import Struct

from headrace.config.terms import written_instant
from headrace.console.charts import spans
from headrace.console.page import BASE, Page, Visit
from headrace.data.ledger_calls import CallRow
from headrace.edge.admin.called import CallPage
from headrace.edge.admin.live import CallStory
from headrace.gateway.administration.faults import Denied, Why

PERIODS = {"1": "The last hour", "24": "The last day", "168": "7 days", "720": "30 days"}
TEXTS = {"call": "Request id", "key": "Key", "model": "Model", "team": "Team", "tenant": "Tenant",
         "user": "User", "backend": "Backend"}  # fmt: skip
PAGE = 50
KEPT_DAYS = 90
"""A call's own page looks back so far."""
STEPS = {
    "first": "asked first",
    "retry": "asked again",
    "failover": "asked instead",
    "probe": "asked to see whether it is well",
    "context_fallback": "asked for its larger window",
    "resume": "asked to go on",
    "hedge": "asked beside",
}


class Step(Struct, frozen=True):
    """One line of a call's story. Times are seconds from the call's plan."""

    at_s: float
    took_s: float | None
    did: str
    backend: str | None
    why: str
    level: str
    """good, bad or warn; the class of its bar."""


async def _show(visit: Visit) -> Mapping[str, Any]:
    query = visit.query
    period = query.get("period", "24")
    period = period if period in PERIODS else "24"
    since = datetime.now(UTC) - timedelta(hours=int(period))
    asked = {name: query[name].strip() for name in (*TEXTS, "status", "finish") if name in query}
    found: CallPage = await visit.ask(
        "list_calls",
        query={
            **asked,
            "since": written_instant(since.timestamp()),
            "limit": str(PAGE),
            **({"after": query["after"]} if "after" in query else {}),
        },
    )
    older = None
    if found.next is not None:
        older = f"{BASE}/calls?{urlencode({**asked, 'period': period, 'after': found.next})}"
    return {
        "calls": found.items,
        "older": older,
        "asked": asked,
        "period": period,
        "periods": PERIODS,
        "texts": TEXTS,
        "level": level_of,
    }


def level_of(call: CallRow) -> str:
    if call.finish == "complete":
        return "good"
    return "bad" if call.status == 429 or call.status >= 500 else "warn"


async def _show_one(visit: Visit) -> Mapping[str, Any]:
    name = visit.path["call"]
    since = datetime.now(UTC) - timedelta(days=KEPT_DAYS)
    found: CallPage = await visit.ask(
        "list_calls", query={"call": name, "since": written_instant(since.timestamp())}
    )
    story = await _story(visit, name)
    if not found.items and story is None:
        raise Denied(
            Why.NOT_FOUND,
            f"No call {name[:64]!r} is in the ledger's last {KEPT_DAYS} days. One that has just "
            "ended is there in a second; one that was refused before it began never is.",
        )
    call = found.items[0] if found.items else None
    steps = steps_of(call, story)
    return {
        "name": name,
        "call": call,
        "others": found.items[1:],
        "steps": steps,
        "remembered": story is not None,
        "sees_stories": visit.may("explain_call"),
        "timeline": timeline(call, steps),
        "tags": dict(msgspec.json.decode(call.tags)) if call is not None and call.tags else {},
        "level": level_of,
    }


async def _story(visit: Visit, name: str) -> CallStory | None:
    """None if no worker remembers it, or this person may not see it."""
    if not visit.may("explain_call"):
        return None
    try:
        story: CallStory = await visit.ask("explain_call", path={"call": name})
    except Denied as denied:
        if denied.why in (Why.NOT_FOUND, Why.UNAVAILABLE):
            return None
        raise
    return story


def steps_of(call: CallRow | None, story: CallStory | None) -> list[Step]:
    """From what was decided; or, of a call that met with no trouble, from its row alone."""
    if story is not None:
        return [_step(told) for told in story.decisions]
    if call is None or call.backend is None:
        return []
    good = call.finish == "complete"
    return [
        Step(0.0, call.latency_us / 1e6, "asked", call.backend, call.reason or call.finish,
             "good" if good else "bad")
    ]  # fmt: skip


def _step(told: Mapping[str, Any]) -> Step:
    did, why = told["did"], told.get("why", "")
    attempted = did in STEPS
    level = "warn"
    if attempted:
        level = "good" if why in ("ok", "answered", "success", "running") else "bad"
    return Step(told["at_s"], told.get("took_s"), STEPS.get(did, did), told.get("backend"), why,
                level)  # fmt: skip


def timeline(call: CallRow | None, steps: Sequence[Step]) -> Markup | None:
    """Attempts below each other, over the call's whole time; None if nothing took time."""
    ended = max((step.at_s + (step.took_s or 0.0) for step in steps), default=0.0)
    whole = max(ended, 0.0 if call is None else call.latency_us / 1e6)
    if not steps or whole <= 0:
        return None
    bars = [
        (step.at_s / whole, (step.at_s + (step.took_s or 0.0)) / whole, step.level,
         f"{step.backend or ''} {step.did}: {step.why}")
        for step in steps
    ]  # fmt: skip
    first = None
    if call is not None and call.ttft_us is not None:
        first = call.ttft_us / 1e6 / whole
    return spans("The call's attempts over its time", bars, first)


def pages() -> tuple[Page, Page]:
    """The search, and one call."""
    search = Page(
        path="/calls",
        title="Calls",
        template="calls.html",
        needs=("list_calls",),
        show=_show,
        group="Watch",
        icon="list",
    )
    one = Page(
        path="/calls/{call}",
        title="Calls",
        template="call.html",
        needs=("list_calls",),
        show=_show_one,
    )
    return search, one
