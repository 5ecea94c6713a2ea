"""What the semantic cache finds and what it gets wrong: `python -m benchmarks.cache`.

    python -m benchmarks.cache [--judged FILE] [--requests FILE] [--docs]

Plain thresholds on the cosine of the embeddings beside the guard, on pairs of questions that
nothing was learned from (`training/pairs.py` says how files are split). The hostile pairs are
those of T26, from `benchmarks/adversarial.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from training.pairs import Labelled, asked, embedder, judged, labelled, neighbours

from benchmarks import adversarial
from benchmarks.report_text import put_between
from headrace.gateway.cache import guard
from headrace.gateway.cache.guard import LEAST_COSINE
from headrace.services.local.embedder import Embedder

HERE = Path(__file__).parent
QUESTIONS = HERE / "data" / "questions.tsv"
PAGE = HERE.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- cache:begin -->", "<!-- cache:end -->"
PLAIN = (0.98, 0.95, 0.92, 0.90, 0.85, 0.80)
SCORES = (0.99, 0.98, None, 0.90, 0.80, 0.70)
"""Thresholds on the guard's score; None is the one shipped."""
WORDINGS = "Wordings (`training/data/asked.txt`), the quarter not learned from"
ADVERSARIAL, SEED = 2_000, 26


class Row(NamedTuple):
    """How one way of deciding does on one set."""

    name: str
    found: int
    wrong: int


def written(embed: Embedder) -> list[Labelled]:
    """The questions beside this module."""
    split = [line.split("\t") for line in QUESTIONS.read_text().splitlines()]
    return labelled(embed, [(one, other, same == "1") for same, one, other in split])


def hostile(embed: Embedder) -> list[Labelled]:
    """T26's pairs, of which none is the same."""
    pairs = adversarial.pairs(ADVERSARIAL, SEED)
    return labelled(embed, [(pair.one, pair.other, False) for pair in pairs])


def rows(pairs: list[Labelled]) -> list[Row]:
    """Plain thresholds, then the guard's."""
    found = []
    for least in PLAIN:
        hits = [pair for pair in pairs if pair.cosine >= least]
        found.append(_row(f"cosine ≥ {least:.2f}", hits))
    verdicts = [guard.judge(pair.one, pair.other, pair.cosine) for pair in pairs]
    shipped = guard.shipped().threshold
    for score in SCORES:
        least = shipped if score is None else score
        hits = [
            pair
            for pair, verdict in zip(pairs, verdicts, strict=True)
            if verdict.reason in ("", "score") and verdict.score >= least
            if pair.cosine >= LEAST_COSINE
        ]
        name = f"guard, score ≥ {least:.2f}"
        found.append(_row(f"**{name}** (shipped)" if score is None else name, hits))
    return found


def _row(name: str, hits: list[Labelled]) -> Row:
    return Row(name, sum(pair.same for pair in hits), sum(not pair.same for pair in hits))


def section(title: str, pairs: list[Labelled]) -> str:
    """A table of one set."""
    same = sum(pair.same for pair in pairs)
    lines = [
        f"\n**{title}**: {len(pairs):,} pairs, {same:,} of them ask the same.\n",
        "| decided by | paraphrases found | wrong hits | wrong of hits |",
        "|---|---|---|---|",
    ]
    for row in rows(pairs):
        hits = row.found + row.wrong
        share = f"{row.wrong / hits:.1%}" if hits else "no hits"
        part = f"{row.found} ({row.found / same:.0%})" if same else "-"
        lines.append(f"| {row.name} | {part} | {row.wrong} | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints, and with `--docs` writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--judged", type=Path, help="pairs that people judged (SemEval)")
    parser.add_argument("--requests", type=Path, help="requests with intents (CLINC150)")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md")
    given = parser.parse_args()
    embed = embedder()
    parts = []
    if given.judged is not None:
        pairs = judged(given.judged, embed, test=True)
        parts.append(section("SemEval 2016, questions, the half not learned from", pairs))
    if given.requests is not None:
        pairs = neighbours(given.requests, embed, test=True)
        parts.append(section("CLINC150, near neighbours, intents not learned from", pairs))
    pairs = asked(embed, test=True)
    parts.append(section(WORDINGS, pairs))
    parts.append(section("Written by hand (`benchmarks/data/questions.tsv`)", written(embed)))
    parts.append(section("T26, adversarial", hostile(embed)))
    text = "\n".join(parts) + "\n"
    print(text)
    if given.docs:
        put_between(PAGE, BEGIN, END, text)


if __name__ == "__main__":
    main()
