"""Which kept answers may be given so that no more than a set share of them is wrong.

What was found out about earlier pairs of questions, right or wrong, is counted by what the guard
said of them (a kind), by how near they are (a step of the cosine), by partition, and within it by
the neighbourhood of the question that was asked. The threshold is the lowest step such that, of all
pairs of the kind that are at least as near, the share of wrong ones is below the bound in 95 of 100
cases. A pair may be served if it is above the threshold

- of its partition, where what the guard was measured to do counts in before there is other data,
  and no larger share of those as near as it was wrong, in its partition and its neighbourhood;
- or of its neighbourhood, by its own data alone.

Kinds that the guard lets pass begin with the shipped measurement. Kinds that it refuses for a
reason that people often mean nothing by (another word, another person) begin with nothing and
are served once the partition's own data shows that they may. Those that change what is asked
(numbers, names, negations, directions) are never served.

The manner is vCache's (Schroeder and others 2025, vCache: Verified Semantic Prompt Caching,
arXiv 2502.03771): thresholds that each neighbourhood learns online, and a bound that is kept with
confidence. Two things differ. Its bound is on wrong answers among all calls, which a stream of
hard questions can spend on nothing but wrong hits; here it is on hits, and what is in doubt is
never served to find out: the model answers, and the two answers are compared. And instead of a
logistic curve the share above each threshold is bounded (in the way of Angelopoulos and others
2021, Learn then Test), so that no form of the curve has to be believed. It is bounded by the beta
posterior with Jeffreys' prior (Brown, Cai and DasGupta 2001, Interval Estimation for a Binomial
Proportion).

Pure: `now` is Unix seconds.
"""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from importlib import resources
from typing import NamedTuple

import msgspec
from msgspec import Struct

from headrace.gateway.cache.guard import LEAST_COSINE
from headrace.gateway.cache.intervals import beta_quantile, beta_share

CONFIDENCE = 0.95
STEPS = 10
LEAST_SEEN = 8
"""Pairs of a step, before it can be the threshold: what is nearer says nothing of it."""
LOWEST = LEAST_COSINE
"""Nothing is served below it: what the guard lets pass must have counts."""
HALF_LIFE_S = 30 * 86_400.0
"""After which what was found out counts half: questions and models change."""
MOST_TABLES = 20_000
MOST_PAIRS = 100_000
SAME = "same"
KINDS = {"": SAME, "score": "score", "words": "words", "question": "question",
         "person": "person", "tense": "tense"}  # fmt: skip
"""By the guard's reasons. What is not here is never served."""


class Sighting(NamedTuple):
    """A pair of questions, of which the kept one's answer might be given to the other."""

    partition: str
    neighbourhood: int
    """Of the question asked; negative where it is in none."""
    asked: bytes
    kept: bytes
    """Digests of the two requests."""
    kind: str
    cosine: float


class Opinion(NamedTuple):
    """Whether a pair may be served, and what says so."""

    allowed: bool
    why: str
    """`partition` or `neighbourhood`: whose data; `unproved`: there is not enough; `flagged`: this
    pair was wrong; `wrong before`: so was one with this answer that was as near; `never`: pairs of
    this kind are not served."""


class Calibration(Struct, frozen=True):
    """What the guard was measured to do before there was any feedback, by steps."""

    measured_on: str
    right: list[int]
    wrong: list[int]


class _Counts(Struct):
    """Of one kind, by steps, nearest last. They fade; what was measured before does not."""

    right: list[float]
    wrong: list[float]
    at: float
    before: Calibration | None = None
    found: dict[tuple[int, float], bool] = {}
    """By step and bound: what these counts say of it."""

    def add(self, step: int, right: bool, now: float) -> None:
        keep = 0.5 ** (max(0.0, now - self.at) / HALF_LIFE_S)
        self.right = [count * keep for count in self.right]
        self.wrong = [count * keep for count in self.wrong]
        self.at = max(self.at, now)
        (self.right if right else self.wrong)[step] += 1
        self.found = {}

    def of(self, step: int, end: int = STEPS) -> tuple[float, float]:
        """Right and wrong ones of this step and those up to `end`: all that are as near."""
        right, wrong = sum(self.right[step:end]), sum(self.wrong[step:end])
        if self.before is None:
            return right, wrong
        return (right + sum(self.before.right[step:end]), wrong + sum(self.before.wrong[step:end]))

    def seen(self, step: int) -> bool:
        """Whether there are enough pairs of this very step for it to be a threshold."""
        return sum(self.of(step, step + 1)) >= LEAST_SEEN

    def holds(self, step: int, most_wrong: float) -> bool:
        """Whether a threshold at this step or a lower one keeps the bound. About 20 µs for each
        the first time, nothing after that until something is learned."""
        key = (step, most_wrong)
        found = self.found.get(key)
        if found is None:
            found = step > 0 and self.holds(step - 1, most_wrong)
            if not found:
                right, wrong = self.of(step)
                sure = beta_share(wrong + 0.5, right + 0.5, most_wrong) >= CONFIDENCE
                found = sure and self.seen(step)
            self.found[key] = found
        return found

    def upper(self, step: int) -> float:
        """What the share of wrong ones is below in 95 of 100 cases, by the best threshold at this
        step or lower. Slow: to be shown."""
        tails = [self.of(low) for low in range(step + 1) if self.seen(low)] or [self.of(step)]
        return min(
            beta_quantile(CONFIDENCE, wrong + 0.5, right + 0.5) if right + wrong else 1.0
            for right, wrong in tails
        )

    def exceeds(self, step: int, most_wrong: float) -> bool:
        """Whether more of those as near, or at least as near, were wrong, however few they are."""
        here = self.right[step], self.wrong[step]
        return any(
            wrong > 0 and wrong > most_wrong * (right + wrong)
            for right, wrong in (here, self.of(step))
        )


@functools.cache
def shipped() -> Calibration:
    """The measurement that the package ships, read once."""
    file = resources.files("headrace.gateway.cache") / "calibration.json"
    return msgspec.json.decode(file.read_bytes(), type=Calibration)


class Bound:
    """What is known of pairs, and what may be served for it."""

    def __init__(self, prior: Calibration | None = None) -> None:
        self._prior = shipped() if prior is None else prior
        self._partitions: OrderedDict[tuple[str, str], _Counts] = OrderedDict()
        self._neighbourhoods: OrderedDict[tuple[str, int, str], _Counts] = OrderedDict()
        self._right_pairs: OrderedDict[tuple[str, bytes, bytes], None] = OrderedDict()
        self._wrong_pairs: OrderedDict[tuple[str, bytes, bytes], None] = OrderedDict()
        self._limits: OrderedDict[tuple[str, bytes, str], int] = OrderedDict()
        """By kept question and kind: the nearest step at which it was wrong."""

    def opinion(self, pair: Sighting, most_wrong: float) -> Opinion:
        """`most_wrong` is the share of hits that may be wrong."""
        step = step_of(pair.cosine)
        if pair.kind not in KINDS.values() or step < 0:
            return Opinion(False, "never")
        if (pair.partition, pair.asked, pair.kept) in self._wrong_pairs:
            return Opinion(False, "flagged")
        if step <= self._limits.get((pair.partition, pair.kept, pair.kind), -1):
            return Opinion(False, "wrong before")
        near = self._neighbourhoods.get((pair.partition, pair.neighbourhood, pair.kind))
        if near is not None:
            if near.exceeds(step, most_wrong):
                return Opinion(False, "neighbourhood")
            if near.holds(step, most_wrong):
                return Opinion(True, "neighbourhood")
        whole = self._whole(pair.partition, pair.kind)
        if whole is None or whole.exceeds(step, most_wrong) or not whole.holds(step, most_wrong):
            return Opinion(False, "unproved")
        return Opinion(True, "partition")

    def upper(self, partition: str, kind: str, cosine: float) -> float:
        """What the share of wrong ones is below in 95 of 100 cases, for pairs of a kind that are
        as near as this. Slow: to be shown."""
        whole = self._whole(partition, kind)
        step = step_of(cosine)
        return 1.0 if whole is None or step < 0 else whole.upper(step)

    def learn(self, pair: Sighting, right: bool, now: float) -> None:
        """Takes what was found out about a pair, from whichever source. The same pair, right once
        more, tells nothing new of others."""
        step = step_of(pair.cosine)
        if step < 0 or pair.kind not in KINDS.values():
            if not right:
                self._block(pair)
            return
        key = (pair.partition, pair.asked, pair.kept)
        if right and key in self._right_pairs:
            return
        if right:
            self._right_pairs[key] = None
            _bound(self._right_pairs, MOST_PAIRS)
        self._of_partition(pair.partition, pair.kind, now).add(step, right, now)
        if pair.neighbourhood >= 0:
            self._of_neighbourhood(pair, now).add(step, right, now)
        if not right:
            self._block(pair)
            limited = (pair.partition, pair.kept, pair.kind)
            self._limits[limited] = max(step, self._limits.get(limited, -1))
            _bound(self._limits, MOST_PAIRS)

    def known(self, partition: str, kind: str = SAME) -> tuple[float, float]:
        """Right and wrong pairs of a kind that were found out here, faded, without the prior."""
        found = self._partitions.get((partition, kind))
        return (0.0, 0.0) if found is None else (sum(found.right), sum(found.wrong))

    def _block(self, pair: Sighting) -> None:
        self._wrong_pairs[pair.partition, pair.asked, pair.kept] = None
        _bound(self._wrong_pairs, MOST_PAIRS)

    def _whole(self, partition: str, kind: str) -> _Counts | None:
        found = self._partitions.get((partition, kind))
        return self._of_partition(partition, kind, 0.0) if found is None and kind == SAME else found

    def _of_partition(self, partition: str, kind: str, now: float) -> _Counts:
        found = self._partitions.get((partition, kind))
        if found is None:
            before = self._prior if kind == SAME else None
            found = _Counts([0.0] * STEPS, [0.0] * STEPS, now, before)
            self._partitions[partition, kind] = found
            _bound(self._partitions, MOST_TABLES)
        return found

    def _of_neighbourhood(self, pair: Sighting, now: float) -> _Counts:
        key = (pair.partition, pair.neighbourhood, pair.kind)
        found = self._neighbourhoods.get(key)
        if found is None:
            found = self._neighbourhoods[key] = _Counts([0.0] * STEPS, [0.0] * STEPS, now)
            _bound(self._neighbourhoods, MOST_TABLES)
        return found


def step_of(cosine: float) -> int:
    """From 0 to STEPS - 1; negative for what is never served."""
    if cosine < LOWEST:
        return -1
    return min(STEPS - 1, math.floor((cosine - LOWEST) / (1 - LOWEST) * STEPS))


def _bound(kept: OrderedDict, most: int) -> None:  # type: ignore[type-arg]
    if len(kept) > most:
        kept.popitem(last=False)
