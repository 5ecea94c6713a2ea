"""The semantic cache's guard beside GPTCache and a plain threshold.

    python -m benchmarks.gptcache --peer .bench/gptcache/bin/python [--judged FILE] [--docs]

Pairs of questions that nothing was learned from, each asked of a cache that holds the other.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
from pathlib import Path
from typing import NamedTuple

from training.pairs import asked, embedder, judged, vectors

from benchmarks import adversarial
from benchmarks.cache import PAGE, QUESTIONS, SEED, WORDINGS
from benchmarks.peers import gptcache_pairs
from benchmarks.report_text import put_between
from headrace.gateway.cache import guard
from headrace.gateway.cache.guard import LEAST_COSINE
from headrace.services.local.embedder import Embedder

BEGIN, END = "<!-- gptcache:begin -->", "<!-- gptcache:end -->"
HOSTILE, SOME = 100, 100
PLAIN = 0.95


class Pair(NamedTuple):
    one: str
    other: str
    same: bool


class Hits(NamedTuple):
    """One way of deciding, by pair."""

    name: str
    given: list[bool]


def measured(peer: Path, embed: Embedder, pairs: list[Pair]) -> list[Hits]:
    """Plain, GPTCache at each of its thresholds, the guard."""
    texts = sorted({text for pair in pairs for text in (pair.one, pair.other)})
    vector = dict(zip(texts, vectors(embed, texts), strict=True))
    cosines = [float(vector[pair.one] @ vector[pair.other]) for pair in pairs]
    lines = [
        json.dumps([p.one, p.other, vector[p.one].tolist(), vector[p.other].tolist()])
        for p in pairs
    ]
    said = subprocess.run(
        [peer, gptcache_pairs.__file__],
        input="\n".join(lines),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    by_pair = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("[")]
    assert len(by_pair) == len(pairs)
    found = [Hits(f"cosine ≥ {PLAIN}", [cosine >= PLAIN for cosine in cosines])]
    for place, threshold in enumerate(gptcache_pairs.THRESHOLDS):
        default = " (its default)" if threshold == 0.8 else ""
        found.append(Hits(f"GPTCache, {threshold}{default}", [row[place] for row in by_pair]))
    verdicts = [
        cosine >= LEAST_COSINE and guard.judge(pair.one, pair.other, cosine).allowed
        for pair, cosine in zip(pairs, cosines, strict=True)
    ]
    found.append(Hits("**Headrace, as shipped**", verdicts))
    return found


def section(title: str, pairs: list[Pair], ways: list[Hits]) -> str:
    """A table of one set."""
    same = sum(pair.same for pair in pairs)
    lines = [
        f"\n**{title}**: {len(pairs):,} pairs, {same:,} of them ask the same.\n",
        "| | paraphrases found | wrong hits | wrong of hits |",
        "|---|---:|---:|---:|",
    ]
    for way in ways:
        hits = [pair for pair, given in zip(pairs, way.given, strict=True) if given]
        right = sum(pair.same for pair in hits)
        wrong = len(hits) - right
        share = f"{wrong / len(hits):.1%}" if hits else "no hits"
        part = f"{right} ({right / same:.0%})" if same else "-"
        lines.append(f"| {way.name} | {part} | {wrong} | {share} |")
    return "\n".join(lines)


def sets(embed: Embedder, judged_file: Path | None) -> list[tuple[str, list[Pair]]]:
    found: list[tuple[str, list[Pair]]] = []
    if judged_file is not None:
        half = judged(judged_file, embed, test=True)
        pairs = [Pair(one.one, one.other, one.same) for one in half]
        found.append(("SemEval 2016, questions, the half not learned from", pairs))
    half = random.Random(SEED).sample(asked(embed, test=True), SOME)
    pairs = [Pair(one.one, one.other, one.same) for one in half]
    found.append((f"{WORDINGS}, some of it", pairs))
    rows = [line.split("\t") for line in QUESTIONS.read_text().splitlines()]
    written = [Pair(one, other, same == "1") for same, one, other in rows]
    found.append(("Written by hand (`benchmarks/data/questions.tsv`)", written))
    hostile = [Pair(p.one, p.other, False) for p in adversarial.pairs(HOSTILE, SEED)]
    found.append(("T26, adversarial, the first of them", hostile))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path, required=True, help="a Python that has GPTCache")
    parser.add_argument("--judged", type=Path, help="pairs that people judged (SemEval)")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    given = parser.parse_args()
    embed = embedder()
    parts, measuring = [], sets(embed, given.judged)
    ways = measured(given.peer, embed, [pair for _, pairs in measuring for pair in pairs])
    done = 0
    for title, pairs in measuring:
        part = slice(done, done := done + len(pairs))
        parts.append(section(title, pairs, [Hits(way.name, way.given[part]) for way in ways]))
    text = "\n".join(parts) + "\n"
    print(text)
    if given.docs:
        put_between(PAGE, BEGIN, END, text)


if __name__ == "__main__":
    main()
