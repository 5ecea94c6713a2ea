"""Which kept answers may be given under a bound: single rules, and streams in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from headrace.data.feedback_file import Claim, FeedbackFile, Row
from headrace.gateway.cache.bound import HALF_LIFE_S, Bound, Calibration, Sighting, shipped
from headrace.gateway.cache.learning import Learning
from headrace.gateway.cache.regions import Regions

NOTHING = Calibration("nothing", [0] * 10, [0] * 10)


def pair(
    number: int = 0, kind: str = "words", cosine: float = 0.9, neighbourhood: int = 0
) -> Sighting:
    return Sighting("p", neighbourhood, b"a%d" % number, b"k%d" % number, kind, cosine)


def taught(right: int, wrong: int, cosine: float = 0.9, neighbourhood: int = 0) -> Bound:
    bound = Bound(NOTHING)
    for number in range(right + wrong):
        made = pair(number, cosine=cosine, neighbourhood=neighbourhood)
        bound.learn(made, number < right, 0.0)
    return bound


def test_the_shipped_measurement_is_enough_for_one_in_a_hundred_and_no_less() -> None:
    bound = Bound()
    assert sum(shipped().right) >= 200
    assert bound.opinion(pair(kind="same", cosine=0.8), 0.01).allowed
    assert not bound.opinion(pair(kind="same", cosine=0.8), 0.005).allowed
    assert not bound.opinion(pair(kind="words"), 0.5).allowed
    bound.learn(pair(kind="same"), True, 2e9)
    assert bound.opinion(pair(1, kind="same", cosine=0.8), 0.01).allowed, "it does not fade"
    assert bound.known("p") == (1, 0)


@pytest.mark.parametrize("most_wrong", [0.005, 0.01, 0.05])
def test_it_takes_as_many_as_the_confidence_asks(most_wrong: float) -> None:
    """Of Jeffreys' posterior with nothing wrong: 1.92 / bound."""
    enough = int(1.95 / most_wrong)
    new = pair(10_000, neighbourhood=7)
    assert not taught(int(enough * 0.9), 0).opinion(new, most_wrong).allowed
    assert taught(enough, 0).opinion(new, most_wrong).allowed
    assert not taught(enough, 1).opinion(new, most_wrong).allowed
    assert not taught(enough, 0, cosine=0.95).opinion(new, most_wrong).allowed, "none so far off"


@pytest.mark.parametrize("kind", ["numbers", "negation", "direction", "names", "opposite", "far"])
def test_what_changes_the_question_is_never_served(kind: str) -> None:
    bound = Bound()
    for number in range(1_000):
        bound.learn(pair(number, kind=kind), True, 0.0)
    assert bound.opinion(pair(2_000, kind=kind), 0.5).why == "never"


def test_a_wrong_pair_is_not_served_again_nor_its_answer_to_questions_as_far_off() -> None:
    bound = taught(2_000, 0)
    assert bound.opinion(pair(5), 0.05).allowed
    bound.learn(pair(5), False, 0.0)
    assert bound.opinion(pair(5), 0.05).why == "flagged"
    other = pair(5)._replace(asked=b"another")
    assert bound.opinion(other, 0.05).why == "wrong before"
    assert bound.opinion(other._replace(cosine=0.99), 0.05).allowed


def test_a_bad_neighbourhood_is_shut_and_a_good_one_opened_alone() -> None:
    bound = taught(1_000, 0, neighbourhood=1)
    assert bound.opinion(pair(9_000, neighbourhood=2), 0.05).allowed
    bound.learn(pair(9_001, neighbourhood=2), False, 0.0)
    assert bound.opinion(pair(9_000, neighbourhood=2), 0.05).why == "neighbourhood"
    for number in range(500):
        bound.learn(pair(20_000 + number, neighbourhood=3), False, 0.0)
    assert bound.opinion(pair(9_000, neighbourhood=4), 0.05).why == "unproved"
    good = bound.opinion(pair(9_000, neighbourhood=1), 0.05)
    assert (good.allowed, good.why) == (True, "neighbourhood")


def test_the_same_pair_again_is_no_more_evidence() -> None:
    bound = Bound(NOTHING)
    for _ in range(1_000):
        bound.learn(pair(1), True, 0.0)
    assert bound.known("p", "words") == (1, 0)


def test_what_was_found_out_fades() -> None:
    bound = taught(200, 0)
    assert bound.opinion(pair(9_000), 0.01).allowed
    bound.learn(pair(9_001), True, 3 * HALF_LIFE_S)
    assert not bound.opinion(pair(9_000), 0.01).allowed


class Found(NamedTuple):
    sighting: Sighting
    right: bool


def stream(rng: random.Random, count: int) -> list[Found]:
    """Neighbourhoods of which some are good and some bad, with kinds that differ in how often they
    are right; the nearer, the more often."""
    bad = {n for n in range(12) if rng.random() < 0.3}
    made = []
    for number in range(count):
        kind = rng.choice(["same", "words", "person"])
        cosine, where = rng.uniform(0.75, 1.0), rng.randrange(12)
        wrong = {"same": 0.001, "words": 0.15, "person": 0.004}[kind] * (1.6 - 1.5 * cosine)
        wrong = max(0.0, wrong) + (0.5 if where in bad and kind != "same" else 0.0)
        made.append(Found(pair(number, kind, cosine, where), rng.random() >= wrong))
    return made


@pytest.mark.parametrize("most_wrong", [0.005, 0.01, 0.05])
def test_the_bound_is_kept_over_a_stream_and_hits_grow(most_wrong: float) -> None:
    """Of what is served one in ten is found out, of what is not one in two."""
    rng = random.Random(6)
    bound, hits, wrong = Bound(), [0, 0], 0
    found = stream(rng, 15_000)
    for number, (sighting, right) in enumerate(found):
        served = bound.opinion(sighting, most_wrong).allowed
        hits[number * 2 // len(found)] += served
        wrong += served and not right
        if rng.random() < (0.1 if served else 0.5):
            bound.learn(sighting, right, number * 1.0)
    assert wrong <= most_wrong * sum(hits)
    assert hits[1] > hits[0]
    assert sum(hits) > 1_000


def test_neighbourhoods_are_found_as_questions_come() -> None:
    regions, rng = Regions(), np.random.default_rng(1)
    centres = rng.normal(size=(5, 384))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    assert regions.of("p", centres[0]) == -1
    numbers = [regions.begin("p", centre) for centre in centres]
    assert numbers == list(range(5))
    near = centres[3] + 0.01 * rng.normal(size=384)
    assert regions.of("p", near / np.linalg.norm(near)) == 3
    assert regions.of("q", centres[3]) == -1


async def test_what_one_worker_finds_out_the_others_and_the_next_start_know(
    tmp_path: Path,
) -> None:
    heard: list[Row] = []

    async def hear(row: Row) -> None:
        heard.append(row)

    workers = [Learning(FeedbackFile(tmp_path), hear) for _ in range(2)]
    for worker in workers:
        worker.start()
    vector = np.eye(1, 384, dtype="<f4")[0]
    flagged = pair(1)
    await _until(lambda: (tmp_path / "feedback.db").exists())
    await workers[0].find_out(flagged, vector, False, "flag")
    assert await workers[0].claim("call-12345678", "acme", False)
    assert not await workers[0].claim("../not an id", "acme", False)
    await _until(lambda: len(heard) >= 2)
    assert workers[1].bound.opinion(flagged, 0.5).why == "flagged"
    assert isinstance(heard[-1], Claim)
    for worker in workers:
        await worker.close()
    again = Learning(FeedbackFile(tmp_path), hear)
    again.start()
    await _until(lambda: again.found_out["flag", False] == 1)
    assert again.bound.opinion(flagged, 0.5).why == "flagged"
    await again.close()


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - a file and counts are looked at
            await asyncio.sleep(0.02)
