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
from headrace.console.key_names import key_id_of, names_of
from headrace.console.page import BASE, Page, Visit
from headrace.data.ledger_calls import CallRow
from headrace.edge.admin.asked import Refusal
from headrace.edge.admin.called import CallPage
from headrace.edge.admin.live import CallStory
from headrace.errors import Reason
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.step_words import IN_WORDS

PERIODS = {"1": "The last hour", "24": "The last day", "168": "7 days", "720": "30 days"}
TEXTS = {"call": "Request id", "key": "Key", "model": "Model", "team": "Team", "tenant": "Tenant",
         "user": "User", "backend": "Backend"}  # fmt: skip
ENDS = ("complete", "incomplete", "refused", "client_gone", "orphan")
"""As the ledger's `finish` has it; all else that can be looked for is its `reason`."""
CODES = tuple(sorted(reason.value for reason in Reason))
PAGE = 50
KEPT_DAYS = 90
"""A call's own page looks back so far."""


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
    asked = {name: query[name].strip() for name in (*TEXTS, "status", "ended") if name in query}
    found, fault = CallPage(items=[], next=None), None
    try:
        wanted = await _wanted(visit, asked)
        found = await visit.ask(
            "list_calls",
            query={
                **wanted,
                "since": written_instant(since.timestamp()),
                "limit": str(PAGE),
                **({"after": query["after"]} if "after" in query else {}),
            },
        )
    except Denied as denied:
        if denied.why is not Why.INVALID:
            raise
        fault = denied.detail
    except Refusal as refusal:
        fault = refusal.message
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
        "ends": ENDS,
        "codes": CODES,
        "names": await names_of(visit, (call.key_id for call in found.items)),
        "level": level_of,
        "fault": fault,
    }


async def _wanted(visit: Visit, asked: Mapping[str, str]) -> dict[str, str]:
    """What the API is asked. Raises Denied, Refusal."""
    wanted = dict(asked)
    ended = wanted.pop("ended", None)
    if ended is not None:
        wanted["finish" if ended in ENDS else "reason"] = ended
    if "key" in wanted:
        wanted["key"] = await key_id_of(visit, wanted["key"])
    return wanted


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
        "names": await names_of(visit, (call.key_id for call in found.items[:1])),
        "others": found.items[1:],
        "steps": steps,
        "remembered": story is not None,
        "sees_stories": visit.may("explain_call"),
        "sees_cache": visit.may("cache", "cache_tuning", "cache_decision"),
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
        Step(0.0, call.latency_us / 1e6, "asked", call.backend,
             (call.reason or call.finish).replace("_", " "), "good" if good else "bad")
    ]  # fmt: skip


def _step(told: Mapping[str, Any]) -> Step:
    did, why = told["did"], told.get("why", "")
    attempted = did in IN_WORDS
    level = "warn"
    if attempted:
        level = "good" if why in ("ok", "answered", "success", "running") else "bad"
    if did != "refused":  # that is a sentence, which may name a parameter
        why = why.replace("_", " ")
    return Step(told["at_s"], told.get("took_s"), IN_WORDS.get(did, did), told.get("backend"), why,
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
