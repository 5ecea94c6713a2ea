"""A seeded workload for `headrace cache replay`: few questions are asked often, in several words.

    python -m benchmarks.workload --calls 5000 --seed 1 [--requests REQUESTS.jsonl.gz] > calls.jsonl

What is asked is drawn by Zipf's law, the exponent of which is `--exponent`: the questions of
`benchmarks/data/questions.tsv`, whose true paraphrases have one label; every question of some
adversarial pairs, with a label of its own in whatever style it is written; and, if given, requests
with intents (CLINC150), each intent one label. Half of the calls ask it in the words in which it
was asked first, the others in any of its wordings. Each costs what 300 tokens in and 200 out cost
at gpt-4o's price, and takes 0.5 to 3 seconds; calls come by chance, ten a minute.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from training.pairs import rows

from benchmarks import adversarial

QUESTIONS = Path(__file__).parent / "data" / "questions.tsv"
COST_USD = 300 * 2.5e-6 + 200 * 10e-6
EVERY_S = 6.0
ADVERSARIAL = 150
VERBATIM = 0.5


def wordings(requests: Path | None, seed: int) -> list[tuple[str, list[str]]]:
    """Labels with their wordings."""
    label_of: dict[str, str] = {}
    for number, line in enumerate(QUESTIONS.read_text().splitlines()):
        same, one, other = line.split("\t")
        label = label_of.setdefault(one, f"written {number}")
        label_of.setdefault(other, label if same == "1" else f"written {number} other")
    texts = sorted({t for p in adversarial.pairs(ADVERSARIAL, seed) for t in (p.one, p.other)})
    styled = {plain(text): f"adversarial {number}" for number, text in enumerate(texts)}
    for text in texts:
        label_of.setdefault(text, styled[plain(text)])
    by_label: dict[str, list[str]] = {}
    for text, label in label_of.items():
        by_label.setdefault(label, []).append(text)
    found = list(by_label.items())
    if requests is not None:
        intents: dict[str, list[str]] = {}
        for row in rows(requests):
            if row["intent"] != "oos":
                intents.setdefault(row["intent"], []).append(row["text"])
        found += [(intent, texts) for intent, texts in sorted(intents.items())]
    return found


def plain(text: str) -> str:
    """Without the style that the adversarial pairs are written in."""
    text = text.removeprefix("Hi! ").removeprefix("Please tell me: ")
    return text.lower().rstrip("?")


def workload(
    asked: list[tuple[str, list[str]]], calls: int, seed: int, exponent: float
) -> Iterator[dict[str, Any]]:
    """The calls, in order."""
    rng = random.Random(seed)
    asked = asked.copy()
    rng.shuffle(asked)
    weights = list(itertools.accumulate((rank + 1) ** -exponent for rank in range(len(asked))))
    at_s = 0.0
    for _ in range(calls):
        label, texts = rng.choices(asked, cum_weights=weights)[0]
        at_s += rng.expovariate(1 / EVERY_S)
        text = texts[0] if rng.random() < VERBATIM else rng.choice(texts)
        yield {
            "text": text,
            "label": label,
            "at_s": round(at_s, 3),
            "cost_usd": COST_USD,
            "latency_ms": round(rng.uniform(500, 3_000), 1),
        }


def main() -> None:
    """Prints the workload."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exponent", type=float, default=1.0, help="of Zipf's law")
    parser.add_argument("--requests", type=Path, help="requests with intents (CLINC150)")
    told = parser.parse_args()
    asked = wordings(told.requests, told.seed)
    for call in workload(asked, told.calls, told.seed, told.exponent):
        print(json.dumps(call))


if __name__ == "__main__":
    main()
