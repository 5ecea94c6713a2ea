"""Whether the bound on wrong answers holds, and what it costs: a stream of pairs in virtual time.

    python -m benchmarks.bound --judged JUDGED.jsonl.gz --requests REQUESTS.jsonl.gz [--docs]

Each lookup finds one kept question: a pair that people judged, near neighbours among requests with
intents (one intent counts as one answer), a pair written by hand, or one of the adversarial pairs.
What is served teaches nothing unless it is one of the few that are checked by a second call; what
is not served is answered by the model, and a share of those pairs is found out by comparing
answers. A client's flag tells of half of the wrong hits.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from training.pairs import Labelled, embedder, judged, neighbours, vectors

from benchmarks.adversarial import pairs as adversarial_pairs
from benchmarks.cache import ADVERSARIAL, SEED, written
from benchmarks.report_text import put_between
from headrace.gateway.cache import guard
from headrace.gateway.cache.bound import KINDS, Bound, Sighting
from headrace.gateway.cache.intervals import clopper_pearson
from headrace.gateway.cache.reading import read
from headrace.gateway.cache.regions import Regions

PAGE = Path(__file__).parent.parent / "docs" / "cache.md"
BEGIN, END = "<!-- bound:begin -->", "<!-- bound:end -->"
BOUNDS = (0.005, 0.01, 0.05)
LOOKUPS, STREAMS = 20_000, 5
HOSTILE_SHARE = 0.2
CHECKED = 0.05
"""Of hits, those that a second call is made for."""
COMPARED = 0.5
"""Of calls in doubt, those whose two answers can be told the same or not."""
FLAGGED = 0.5
"""Of wrong hits, those that somebody flags."""
EVERY_S = 2.0


class Pair(NamedTuple):
    """What a lookup finds, and whether its answer is right."""

    asked: str
    kept: str
    kind: str
    cosine: float
    vector: object
    same: bool


class Run(NamedTuple):
    """What came of a stream. `hits` and `wrong` are by fifths of it."""

    bound: float
    hits: list[int]
    wrong: list[int]
    same: int


def run(stream: Sequence[Pair], most_wrong: float, seed: int) -> Run:
    """One partition that begins with nothing but what is shipped."""
    rng = random.Random(seed)
    bound, regions = Bound(), Regions()
    hits, wrong, same = [0] * 5, [0] * 5, 0
    for number, pair in enumerate(stream):
        now, fifth = number * EVERY_S, number * 5 // len(stream)
        region = regions.of("p", pair.vector)
        sighting = Sighting("p", region, pair.asked.encode(), pair.kept.encode(), pair.kind,
                            pair.cosine)  # fmt: skip
        same += pair.same
        if bound.opinion(sighting, most_wrong).allowed:
            hits[fifth] += 1
            wrong[fifth] += not pair.same
            known = rng.random() < CHECKED or (not pair.same and rng.random() < FLAGGED)
        else:
            known = rng.random() < COMPARED
        if known and pair.kind in KINDS.values():
            region = regions.begin("p", pair.vector)
            bound.learn(sighting._replace(neighbourhood=region), pair.same, now)
    return Run(most_wrong, hits, wrong, same)


def kind_of(one: str, other: str, cosine: float) -> str:
    """As the cache names it."""
    reason = guard.judge(one, other, cosine).reason
    return KINDS.get(guard.narrowed(reason, read(one), read(other)), reason)


def pool(labelled: Sequence[Labelled], by_text: dict[str, object]) -> list[Pair]:
    """Both ways round: either of two questions may be the one that is kept."""
    made = []
    for pair in labelled:
        kind = kind_of(pair.one, pair.other, pair.cosine)
        for asked, kept in ((pair.one, pair.other), (pair.other, pair.one)):
            made.append(Pair(asked, kept, kind, pair.cosine, by_text[asked], pair.same))
    return sorted(made, key=lambda pair: pair[:2])  # drawn alike, in whatever order they came


def stream_of(friendly: list[Pair], hostile: list[Pair], hostile_share: float, seed: int) -> list[
    Pair
]:  # fmt: skip
    """Drawn anew each time."""
    rng = random.Random(seed)
    return [
        rng.choice(hostile if rng.random() < hostile_share else friendly) for _ in range(LOOKUPS)
    ]


def all_runs(friendly: list[Pair], hostile: list[Pair]) -> list[tuple[str, Run]]:
    """The sums of some streams for each bound."""
    runs = []
    for name, share in (("one in five adversarial", HOSTILE_SHARE), ("none adversarial", 0.0)):
        for most_wrong in BOUNDS:
            found = [
                run(stream_of(friendly, hostile, share, SEED + n), most_wrong, SEED + n)
                for n in range(STREAMS)
            ]
            hits = [sum(part) for part in zip(*(one.hits for one in found), strict=True)]
            wrong = [sum(part) for part in zip(*(one.wrong for one in found), strict=True)]
            runs.append((name, Run(most_wrong, hits, wrong, sum(one.same for one in found))))
    return runs


def table(runs: Sequence[tuple[str, Run]]) -> str:
    lines = [
        "| stream | bound | found | wrong of hits (95 % interval) | hits, first fifth | last |",
        "|---|---|---|---|---|---|",
    ]
    for name, one in runs:
        hits, wrong = sum(one.hits), sum(one.wrong)
        low, high = clopper_pearson(wrong, hits)
        lines.append(
            f"| {name} | {one.bound:.1%} | {hits - wrong:,} of {one.same:,} "
            f"({(hits - wrong) / max(1, one.same):.0%}) | {wrong / max(1, hits):.2%} "
            f"({low:.2%} to {high:.2%}) | {one.hits[0]:,} | {one.hits[-1]:,} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs, prints, and with `--docs` writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judged", type=Path, required=True, help="pairs that people judged")
    parser.add_argument("--requests", type=Path, required=True, help="requests with intents")
    parser.add_argument("--docs", action="store_true", help="write docs/cache.md")
    asked = parser.parse_args()
    embed = embedder()
    labelled = written(embed)
    for test in (True, False):
        labelled += judged(asked.judged, embed, test=test)
        labelled += neighbours(asked.requests, embed, test=test)
    pairs = [(p.one, p.other) for p in adversarial_pairs(ADVERSARIAL, SEED)]
    texts = sorted({t for p in labelled for t in p[:2]} | {t for p in pairs for t in p})
    by_text = dict(zip(texts, vectors(embed, texts), strict=True))
    hostile = [
        Labelled(one, other, False, float(by_text[one] @ by_text[other])) for one, other in pairs
    ]
    friendly_pool, hostile_pool = pool(labelled, by_text), pool(hostile, by_text)
    text = table(all_runs(friendly_pool, hostile_pool))
    print(text)
    if asked.docs:
        put_between(PAGE, BEGIN, END, text)


if __name__ == "__main__":
    main()
