"""Which of the nearest kept questions asks the same, if one does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headrace.config.caching import CachePolicy
from headrace.gateway.cache import guard
from headrace.gateway.cache.asking import Asked
from headrace.gateway.cache.decisions import Candidate, Decision
from headrace.gateway.cache.entries import Entry
from headrace.gateway.cache.learning import Learning
from headrace.gateway.cache.reading import read

_IN_DOUBT = frozenset({"unproved", "neighbourhood", "wrong before"})


class Near(NamedTuple):
    """An entry whose question is the same in other words."""

    entry: Entry
    cosine: float
    score: float


def chosen(
    asked: Asked,
    found: Iterable[tuple[Entry, float]],
    policy: CachePolicy,
    learning: Learning | None,
    decision: Decision,
) -> Near | None:
    """The best of those that may be given; `found` are entries with their cosines, nearest first.
    Notes in `decision` what was looked at, and the pair that something can be learned of: the one
    chosen, else the nearest in doubt."""
    reading, looked = read(asked.question), []
    shipped = guard.shipped().threshold
    decision.least_score = shipped if policy.least_score is None else policy.least_score
    most_wrong = policy.max_wrong_rate
    best: Near | None = None
    for entry, cosine in found:
        if cosine < guard.LEAST_COSINE:
            looked.append(Candidate(entry.call, entry.question, cosine, 0.0, "far"))
            break
        verdict = guard.judge(reading, entry.read(), cosine, threshold=policy.least_score)
        reason, allowed, pair = verdict.reason, verdict.allowed, None
        if learning is not None and most_wrong is not None:
            reason = guard.narrowed(reason, reading, entry.read())
            pair, opinion = learning.opinion(asked, entry, reason, cosine, most_wrong)
            allowed = opinion.allowed
            if allowed:
                reason = ""
            elif opinion.why != "never":
                reason = reason or opinion.why
                if decision.pair is None and opinion.why in _IN_DOUBT:
                    decision.pair, decision.doubtful = pair, entry.key
        looked.append(Candidate(entry.call, entry.question, cosine, verdict.score, reason))
        if allowed and (best is None or (verdict.score, cosine) > (best.score, best.cosine)):
            best, chosen_pair = Near(entry, cosine, verdict.score), pair
    decision.candidates = tuple(looked)
    if best is not None:
        decision.pair, decision.doubtful = chosen_pair, None
    if decision.pair is not None:
        decision.vector = asked.vector
    return best
