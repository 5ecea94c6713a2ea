"""What operators ask of the cache: how it fares, which of its answers to drop, and what other
thresholds would have done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from headrace.gateway.cache import guard
from headrace.gateway.cache.asking import partition_name
from headrace.gateway.cache.decisions import Decision
from headrace.gateway.cache.entries import Entry
from headrace.gateway.cache.explaining import Told, told
from headrace.gateway.cache.intervals import clopper_pearson

if TYPE_CHECKING:
    from headrace.gateway.cache.given_again import GivenAgain

THRESHOLDS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
NEAREST = 10


class CacheStats(Struct, frozen=True, kw_only=True):
    """Of one worker, since it began; of all, when they are added up."""

    answers: int
    kept_bytes: int
    exact: int
    semantic: int
    missed: int
    guarded: int
    """Near questions that the guard told apart."""
    skipped: int
    """Questions that were not embedded, because too many waited."""
    saved_microusd: int
    flagged_right: int = 0
    """By somebody. These and the next are of all workers, over restarts, where wrong answers are
    bounded."""
    flagged_wrong: int = 0
    checked_right: int = 0
    """Hits that a second call was made for: those whose answers agreed."""
    checked_wrong: int = 0
    compared_right: int = 0
    """Calls that were given nothing, whose answer was compared with what might have been given."""
    compared_wrong: int = 0

    @property
    def wrong_rate(self) -> tuple[float, float] | None:
        """Bounds of the share of wrong hits, 95 of 100 times: of those that were checked, which
        nobody chose. None while none was."""
        checked = self.checked_right + self.checked_wrong
        if not checked:
            return None
        low, high = clopper_pearson(self.checked_wrong, checked)
        return round(low, 5), round(high, 5)

    @property
    def hit_rate(self) -> float | None:
        """Of calls that asked; None if none did."""
        hits = self.exact + self.semantic
        asked = hits + self.missed
        return round(hits / asked, 4) if asked else None


class Purge(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which answers are dropped: those for which all that is said is true. Nothing said is all."""

    partition: str | None = None
    """`shared`, `tenant/acme`, `team/acme/red`, `key/acme/ID`."""
    tag: str | None = None
    call: str | None = None
    """That paid for the answer, or was given it."""


class Point(Struct, frozen=True, kw_only=True):
    """What a threshold on the guard's score would have done to the lookups remembered."""

    least_score: float
    lookups: int
    hits: int
    wrong_expected: float
    """Of those hits, by the guard's own score."""

    def with_more(self, other: Point) -> Point:
        """Of this worker and another."""
        return msgspec.structs.replace(
            self,
            lookups=self.lookups + other.lookups,
            hits=self.hits + other.hits,
            wrong_expected=round(self.wrong_expected + other.wrong_expected, 3),
        )


def stats(cache: GivenAgain) -> CacheStats:
    counts = cache.counts
    known = {} if cache.learning is None else cache.learning.found_out
    return CacheStats(
        flagged_right=known.get(("flag", True), 0),
        flagged_wrong=known.get(("flag", False), 0),
        checked_right=known.get(("shadow", True), 0),
        checked_wrong=known.get(("shadow", False), 0),
        compared_right=known.get(("compared", True), 0),
        compared_wrong=known.get(("compared", False), 0),
        answers=len(cache),
        kept_bytes=cache.kept_bytes,
        exact=counts.exact,
        semantic=counts.semantic,
        missed=counts.missed,
        guarded=counts.guarded,
        skipped=cache.skipped,
        saved_microusd=counts.saved_microusd,
    )


def added(found: Iterable[CacheStats]) -> CacheStats:
    """Of all workers."""
    rows = [msgspec.structs.asdict(row) for row in found]
    each = {name: [row[name] for row in rows] for name in _STATS}
    return CacheStats(
        **{name: (max(v, default=0) if name in _SHARED else sum(v)) for name, v in each.items()}
    )


_STATS = tuple(field.name for field in msgspec.structs.fields(CacheStats))
_SHARED = tuple(name for name in _STATS if name.startswith(("flagged", "checked", "compared")))
"""Which each worker knows of all."""


def nearest_misses(cache: GivenAgain, most: int = NEAREST) -> list[Told]:
    """Calls whose question was near to a kept one, and which got an answer of their own: the
    nearest first, each question once."""
    missed = {
        d.question: d for d in cache.decisions if d.tier == "missed" and d.candidates
    }.values()
    return [told(d) for d in sorted(missed, key=_nearest, reverse=True)[:most]]


def _nearest(decision: Decision) -> float:
    return decision.candidates[0].cosine


def purged(cache: GivenAgain, purge: Purge) -> int:
    """Drops answers; returns how many they were."""
    if purge.tag is None and purge.call is None:
        return sum(map(cache.purge, _partitions(cache, purge.partition)))
    return cache.drop(list(_chosen(cache, purge)))


def _partitions(cache: GivenAgain, name: str | None) -> set[str | None]:
    """All that are called so: also one of which other workers alone may have answers."""
    if name is None:
        return {None}
    known = {entry.key[0] for entry in cache.entries()}
    written = msgspec.json.encode(name.split("/")).decode()
    return {written, *(one for one in known if partition_name(one) == name)}


def _chosen(cache: GivenAgain, purge: Purge) -> Iterator[Entry]:
    call = purge.call
    decision = None if call is None else cache.decisions.of(call)
    payers = {call, None if decision is None else decision.paid_by}
    for entry in cache.entries():
        if purge.partition is not None and partition_name(entry.key[0]) != purge.partition:
            continue
        if purge.tag is not None and purge.tag not in entry.tags:
            continue
        if call is not None and entry.call not in payers:
            continue
        yield entry


def tuning(decisions: Iterable[Decision]) -> list[Point]:
    """For each threshold; what rules forbid is no hit at any."""
    lookups = [d for d in decisions if d.question and d.tier in ("missed", "semantic")]
    scores = []
    for decision in lookups:
        allowed = [c.score for c in decision.candidates if c.reason in ("", "score")]
        if allowed:
            scores.append(max(allowed))
    thresholds = sorted({*THRESHOLDS, guard.shipped().threshold})
    return [_point(least, scores, len(lookups)) for least in thresholds]


def merged(found: Iterable[list[Point]]) -> list[Point]:
    """Of all workers, lowest threshold first."""
    points: dict[float, Point] = {}
    for point in (point for row in found for point in row):
        before = points.get(point.least_score)
        points[point.least_score] = point if before is None else before.with_more(point)
    return [points[least] for least in sorted(points)]


def _point(least: float, scores: list[float], lookups: int) -> Point:
    hits = [score for score in scores if score >= least]
    return Point(
        least_score=least,
        lookups=lookups,
        hits=len(hits),
        wrong_expected=round(sum(1 - score for score in hits), 3),
    )
