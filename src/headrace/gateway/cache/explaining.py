"""Why an answer was given again or not, in words and figures. Pure."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from headrace.gateway.cache import guard
from headrace.gateway.cache.asking import partition_name
from headrace.gateway.cache.decisions import Candidate, Decision
from headrace.gateway.cache.reading import read

SENTENCES = {
    "": "the guard finds that both ask the same",
    "far": f"the similarity is under {guard.LEAST_COSINE}",
    "score": "the guard's score is too low",
    "numbers": "their numbers, dates or units differ",
    "signs": "their signs differ",
    "quoted": "what they quote differs",
    "negation": "one denies what the other asks",
    "comparison": "they compare or count in other ways, or say `only` of something else",
    "question": "they are different kinds of question: how, why, may I, must I, a request",
    "tense": "they ask of different times, or of what is done and what is to be done",
    "person": "they ask of different persons, or one does what is done to the other",
    "opposite": "a word of one is the opposite of the other's",
    "words": "a word stands in the place of another that means something else",
    "direction": "their directions differ",
    "joined": "one says `and` where the other says `or`",
    "order": "the order of their words differs",
    "names": "a name, a place or a time of one is not in the other",
    "unproved": "not enough is known of such pairs to keep `max_wrong_rate`",
    "neighbourhood": "too many answers to such questions were wrong, for `max_wrong_rate`",
    "wrong before": "this answer was wrong for a question as near as this",
    "flagged": "this answer was wrong for this question",
}
TIERS = {
    "exact": "the very same request was answered before",
    "semantic": "the same question was answered before in other words",
    "missed": "no kept answer could be given",
    "refreshed": "the client asked for a new answer (`Cache-Control: no-cache`)",
}


class Judged(Struct, frozen=True, kw_only=True):
    """What the guard says of two questions. `features` are those of its score, empty where a rule
    forbids it."""

    kept: str
    call: str | None
    """That paid for the kept answer."""
    similarity: float
    score: float
    least_score: float
    features: dict[str, float]
    verdict: str
    """`same`, or the rule that tells them apart."""
    because: str


class Told(Struct, frozen=True, kw_only=True):
    """One decision. Times are Unix seconds."""

    call: str
    at: float
    tier: str
    because: str
    partition: str
    asked: str
    """The question; empty where there was none to compare."""
    paid_by: str | None
    candidates: list[Judged]
    """Nearest first."""


def told(decision: Decision) -> Told:
    """For whoever asks why."""
    least = decision.least_score
    return Told(
        call=decision.call,
        at=decision.at,
        tier=decision.tier,
        because=TIERS[decision.tier],
        partition=partition_name(decision.partition),
        asked=decision.question,
        paid_by=decision.paid_by,
        candidates=[judged(decision.question, c, least) for c in decision.candidates],
    )


def judged(asked: str, candidate: Candidate, least_score: float | None) -> Judged:
    """With the features, which are reckoned here once more."""
    least = guard.shipped().threshold if least_score is None else least_score
    return Judged(
        kept=candidate.question,
        call=candidate.call or None,
        similarity=round(candidate.cosine, 4),
        score=round(candidate.score, 4),
        least_score=least,
        features=_features(asked, candidate) if candidate.score else {},
        verdict=candidate.reason or "same",
        because=SENTENCES.get(candidate.reason, candidate.reason),
    )


def of_texts(asked: str, kept: str, cosine: float, least_score: float | None = None) -> Judged:
    """Two questions that nobody need have asked."""
    verdict = guard.judge(asked, kept, cosine, threshold=least_score)
    candidate = Candidate("", kept, cosine, verdict.score, verdict.reason)
    return judged(asked, candidate, least_score)


def _features(asked: str, candidate: Candidate) -> dict[str, float]:
    one, other = read(asked), read(candidate.question)
    found = guard.features(one, other, guard.align(one, other), candidate.cosine)
    return {name: round(value, 4) for name, value in found.items()}


def as_json(value: Any) -> Any:
    """Of one of the above: what JSON makes of it."""
    return msgspec.to_builtins(value)
