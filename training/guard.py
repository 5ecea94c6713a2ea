"""Learns the weights of the guard's score, `src/headrace/gateway/cache/guard.json`.

    python -m training.guard JUDGED.jsonl.gz REQUESTS.jsonl.gz

See `training/pairs.py` for the files. Only pairs that no rule of the guard forbids are learned
from, and only the half that `benchmarks/cache.py` does not measure on. Judged pairs weigh more:
people looked at them. The rules leave few pairs that differ, most of them by one word more, so a
logistic function learns as much from them as trees would.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from headrace.gateway.cache import guard
from headrace.gateway.cache.reading import read
from training.pairs import Labelled, asked, embedder, judged, neighbours

OUT = Path(__file__).parent.parent / "src/headrace/gateway/cache/guard.json"
NAMES = ("cosine", "synonyms", "few_terms", "length", "added", "light", "inversions", "markers")
JUDGED_WEIGHT, ASKED_WEIGHT = 5.0, 2.0
RIDGE = 1.0
STEPS = 20_000
RATE = 0.05
LEAST_THRESHOLD = 0.95
"""The rules were written beside the pairs learned from and leave few wrong ones: a lower threshold
would be by chance."""
WRONG_SHARE = 0.005
"""Of hits on the pairs learned from: half of what is promised on others."""


def table(pairs: list[Labelled]) -> tuple[list[list[float]], list[float]]:
    """Features and labels of the pairs that no rule forbids."""
    found, labels = [], []
    for pair in pairs:
        one, other = read(pair.one), read(pair.other)
        aligned = guard.align(one, other)
        if guard.conflict(one, other, aligned) is None:
            values = guard.features(one, other, aligned, pair.cosine)
            found.append([values[name] for name in NAMES])
            labels.append(float(pair.same))
    return found, labels


def main(judged_file: Path, requests_file: Path) -> None:
    """Learns and writes the weights."""
    embed = embedder()
    parts = (
        (table(judged(judged_file, embed, test=False)), JUDGED_WEIGHT),
        (table(asked(embed, test=False)), ASKED_WEIGHT),
        (table(neighbours(requests_file, embed, test=False)), 1.0),
    )
    x = np.array([row for (rows, _), _ in parts for row in rows])
    y = np.array([label for (_, labels), _ in parts for label in labels])
    weight = np.array([heavy for (_, labels), heavy in parts for _ in labels])
    # Likeness may only add to the score, and every difference only take from it.
    signs = np.array([1.0] + [-1.0] * (len(NAMES) - 1))
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-6
    z = (x - mean) / spread
    w, b = np.zeros(len(NAMES)), 0.0
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-(z @ w + b)))
        error = weight * (p - y)
        w -= RATE * (z.T @ error + RIDGE * w) / weight.sum()
        b -= RATE * error.sum() / weight.sum()
        w = np.where(signs * w < 0, 0.0, w)
    plain = w / spread
    bias = float(b - (mean * plain).sum())
    scores = 1 / (1 + np.exp(-(x @ plain + bias)))
    threshold = max(LEAST_THRESHOLD, least_threshold(scores, y, weight))
    hits = scores >= threshold
    print(f"{len(y)} pairs, {int((y == 0).sum())} of them differ")
    print(
        f"threshold {threshold:.3f}: {int(hits.sum())} hits, {int((hits & (y == 0)).sum())} wrong"
    )
    text = {
        "trained_on": "SemEval 2016 question pairs, CLINC150 and training/data/asked.txt, "
        "the halves not measured on",
        "bias": round(bias, 4),
        "features": {n: round(float(v), 4) for n, v in zip(NAMES, plain, strict=True)},
        "threshold": round(threshold, 3),
    }
    OUT.write_text(json.dumps(text, indent=1) + "\n")
    print(OUT.read_text())


def least_threshold(scores: np.ndarray, same: np.ndarray, weight: np.ndarray) -> float:
    """The lowest from which on the share of wrong hits is never above what is allowed."""
    order = np.argsort(-scores)
    wrong = np.cumsum(weight[order] * (same[order] == 0)) / np.cumsum(weight[order])
    fit = np.nonzero(wrong <= WRONG_SHARE)[0]
    return 1.0 if len(fit) == 0 else float(np.floor(scores[order[fit[-1]]] * 1000) / 1000)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
