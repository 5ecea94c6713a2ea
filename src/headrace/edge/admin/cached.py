"""The cache of answers, as the workers that run keep it."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from headrace.edge.admin.live import workers_say
from headrace.edge.admin.route import Ask, Route
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Role
from headrace.gateway.cache.explaining import Judged, Told
from headrace.gateway.cache.operating import CacheStats, Point, added, merged

Words = Annotated[str, Meta(min_length=1, max_length=2_000)]
Label = Annotated[str, Meta(min_length=1, max_length=400)]


class CacheView(Struct, frozen=True, kw_only=True):
    """How the cache fares: the sums of all workers on this machine since each began."""

    workers: int
    """That keep answers."""
    hit_rate: float | None
    """Of calls that asked; null if none did."""
    wrong_rate: tuple[float, float] | None
    """Bounds of the share of wrong hits (Clopper-Pearson, 95 %), by those that were checked; null
    if none was."""
    sums: CacheStats


class TextPair(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A question that is asked, and one whose answer is kept."""

    asked: Words
    kept: Words


class PurgeWish(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which answers are dropped: those for which all that is said is true. `{}` means all.
    `partition` is `shared`, `tenant/NAME`, `team/TENANT/NAME` or `key/TENANT/ID`; `call` is the
    request id of a call that paid for an answer, or was given one."""

    partition: Label | None = None
    tag: Label | None = None
    call: Label | None = None


class Verdict(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """On the kept answer that a call was given."""

    verdict: Literal["right", "wrong"]


class Noted(Struct, frozen=True, kw_only=True):
    """`no hit` where the call was given no kept answer."""

    noted: Literal["noted", "no hit"]


class Purged(Struct, frozen=True, kw_only=True):
    """So many answers were dropped in so many workers."""

    answers: int
    workers: int


def cache(ask: Ask) -> CacheView:
    found = [
        msgspec.convert(told, CacheStats)
        for status, told in workers_say(ask, "GET", "/cache")
        if status == 200
    ]
    sums = added(found)
    return CacheView(workers=len(found), hit_rate=sums.hit_rate, wrong_rate=sums.wrong_rate,
                     sums=sums)  # fmt: skip


def misses(ask: Ask) -> list[Any]:
    return [row for told in _told(ask, "GET", "/cache/misses") for row in told]


def tuning(ask: Ask) -> list[Point]:
    return merged(msgspec.convert(_told(ask, "GET", "/cache/tuning"), list[list[Point]]))


def decision(ask: Ask) -> Told:
    call = ask.path["call"]
    for told in _told(ask, "GET", f"/cache/calls/{quote(call, safe='')}"):
        return msgspec.convert(told, Told)
    raise Denied(
        Why.NOT_FOUND,
        f"No worker remembers a decision of the cache for {call[:64]!r}. The last 2,000 calls of "
        "models whose answers are given again are remembered, by each worker.",
    )


def judge(ask: Ask) -> Judged:
    for told in _told(ask, "POST", "/cache/judge", ask.body):
        return msgspec.convert(told, Judged)
    raise Denied(Why.NOT_FOUND, "No worker has a model with `cache: {answers: semantic}`.")


def purge(ask: Ask) -> Purged:
    detail = {name: value for name, value in msgspec.to_builtins(ask.body).items() if value}
    ask.parts.desk.tell(ask.by, "cache.purge", "answers", None, detail)
    done = _told(ask, "POST", "/cache/purge", ask.body)
    if not done:
        raise Denied(Why.NOT_FOUND, "No worker runs here that keeps answers.")
    return Purged(answers=sum(told["purged"] for told in done), workers=len(done))


def feedback(ask: Ask) -> Noted:
    call, right = ask.path["call"], ask.body.verdict == "right"
    ask.parts.desk.tell(ask.by, "cache.feedback", call, None, {"verdict": ask.body.verdict})
    for told in _told(ask, "POST", "/cache/feedback", _Said(call=call, right=right)):
        return msgspec.convert(told, Noted)
    raise Denied(Why.NOT_FOUND, f"No worker remembers a decision of the cache for {call[:64]!r}.")


class _Said(Struct, frozen=True):
    call: str
    right: bool


def _told(ask: Ask, method: str, target: str, body: Struct | None = None) -> list[Any]:
    """What workers say that know."""
    sent = None if body is None else msgspec.json.encode(body)
    return [told for status, told in workers_say(ask, method, target, sent) if status == 200]


def routes() -> list[Route]:
    """Those that show what was asked need more than to see."""
    see, act = Role.VIEWER, Role.OPERATOR
    return [
        Route(method="GET", path="/v1/cache", name="cache", role=see, whole=True, act=cache,
              summary="How many calls got an earlier answer, and what that saved.",
              answer=CacheView),
        Route(method="GET", path="/v1/cache/misses", name="cache_misses", role=act, whole=True,
              act=misses, answer=list[Told],
              summary="Calls whose question was nearest to a kept one, and why it was not given."),
        Route(method="GET", path="/v1/cache/tuning", name="cache_tuning", role=see, whole=True,
              act=tuning, answer=list[Point],
              summary="What other thresholds would have done to the calls remembered."),
        Route(method="GET", path="/v1/cache/calls/{call}", name="cache_decision", role=act,
              whole=True, act=decision, answer=Told, faults=(404,),
              summary="Why a call got a kept answer or none."),
        Route(method="POST", path="/v1/cache/calls/{call}/feedback", name="cache_feedback",
              role=act, whole=True, act=feedback, body=Verdict, answer=Noted, faults=(404,),
              summary="Say that the kept answer of a call was right or wrong."),
        Route(method="POST", path="/v1/cache/judge", name="judge_texts", role=act, whole=True,
              act=judge, body=TextPair, answer=Judged, faults=(404,),
              summary="What the guard says of two questions."),
        Route(method="POST", path="/v1/cache/purge", name="purge_cache", role=act, whole=True,
              act=purge, body=PurgeWish, answer=Purged, faults=(404,),
              summary="Drop kept answers."),
    ]  # fmt: skip
