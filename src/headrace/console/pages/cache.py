"""The cache of answers: how it fares, what other thresholds would do, why; and dropping answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.console import charts
from headrace.console.figures import instant
from headrace.console.page import Action, Done, Page, Visit
from headrace.edge.admin.asked import Refusal
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.cache.operating import Point

LISTED = 20


async def _show(visit: Visit) -> Mapping[str, Any]:
    may_act = visit.may("cache_misses", "purge_cache")
    points: list[Point] = await visit.ask("cache_tuning")
    call, decision, unknown = visit.query.get("call", ""), None, None
    if call and visit.may("cache_decision"):
        try:
            decision = await visit.ask("cache_decision", path={"call": call})
        except Denied as denied:
            if denied.why is not Why.NOT_FOUND:
                raise
            unknown = denied.detail
    return {
        "cache": await visit.ask("cache"),
        "curve": curve(points),
        "misses": (await visit.ask("cache_misses"))[:LISTED] if may_act else [],
        "may_act": may_act,
        "call": call,
        "decision": decision,
        "unknown": unknown,
        "judged": None,
        "instant": instant,
    }


def curve(points: Sequence[Point]) -> charts.Chart | None:
    """The share of look-ups that would be hits, and of those that would be wrong, over the least
    score. None if nothing is remembered."""
    known = [point for point in points if point.lookups]
    if len(known) < 2:
        return None
    at = [point.least_score for point in known]
    chart = charts.lines(
        "Share of hits, and of wrong ones expected, by the least score",
        at,
        [("calls", [point.hits / point.lookups for point in known]),
         ("failed", [point.wrong_expected / point.lookups for point in known])],
        (at[0], at[-1]),
    )  # fmt: skip
    labels = (f"score {at[0]:g}", f"{at[-1]:g}")
    return charts.Chart(chart.svg, chart.top, labels)


async def _judge(visit: Visit) -> Mapping[str, Any]:
    wish = {"asked": visit.form.get("asked", ""), "kept": visit.form.get("kept", "")}
    judged = await visit.ask("judge_texts", body=wish)
    return {**await _show(visit), "judged": judged}


async def _purge(visit: Visit) -> Done:
    wish = {
        name: value
        for name in ("partition", "tag", "call")
        if (value := visit.form.get(name, "").strip())
    }
    if not wish and visit.form.get("all") != "yes":
        raise Refusal(
            400, "invalid_request", "Say which answers are dropped, or tick that all of them are."
        )
    done = await visit.ask("purge_cache", body=wish)
    return Done("/cache", f"Dropped: {done.answers} answer{'' if done.answers == 1 else 's'}.")


async def _feedback(visit: Visit) -> Done:
    call, verdict = visit.form.get("call", ""), visit.form.get("verdict", "")
    await visit.ask("cache_feedback", path={"call": call}, body={"verdict": verdict})
    return Done(f"/cache?call={call}", f"Noted: the kept answer was {verdict}.")


def page() -> Page:
    return Page(
        path="/cache",
        title="Cache",
        template="cache.html",
        needs=("cache", "cache_tuning"),
        show=_show,
        actions=(
            Action(path="/cache/judge", needs=("judge_texts",), act=_judge),
            Action(path="/cache/purge", needs=("purge_cache",), act=_purge),
            Action(path="/cache/feedback", needs=("cache_feedback",), act=_feedback),
        ),
        group="Steer",
        icon="layers",
    )
