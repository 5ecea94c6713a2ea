"""Labelled pairs of short questions, in two halves that share no text: one to learn from, one to
measure on.

Files are JSON lines, gzipped: pairs with `a`, `b` and a `score` from 0 to 5 that people gave
(SemEval), or requests with `text` and `intent` (CLINC150), whose near neighbours make pairs. Of
requests it is the intents that are split, so that no way of asking is in both halves.

`data/asked.txt` was written for this: what is asked in several words (`= `), and beside it what is
near and asks something else (`! `). It is split by what is asked: three quarters were learned from,
and looked at when the rules were written, the last quarter was not.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.services.local.catalogue import resolve
from headrace.services.local.embedder import Embedder

ASKED = Path(__file__).parent / "data" / "asked.txt"
SAME_SCORE = 4.0
"""From here on people said that two questions ask the same (SemEval 2016, task 1)."""
NEIGHBOURS = 6
LEAST_COSINE = 0.6


class Labelled(NamedTuple):
    """Two questions, and whether one's answer is the other's."""

    one: str
    other: str
    same: bool
    cosine: float


def held_out(name: str) -> bool:
    """Half of all names, always the same."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        for line in file:
            yield json.loads(line)


def embedder() -> Embedder:
    model = resolve("all-minilm-l6-v2")
    return Embedder(str(model.files["weights"]), str(model.files["tokenizer"]), 2)


def vectors(embed: Embedder, texts: list[str]) -> Any:
    return np.array([np.frombuffer(v, "<f4") for v in embed.embed(texts).vectors])


def judged(path: Path, embed: Embedder, *, test: bool) -> list[Labelled]:
    """Pairs that people judged. Questions that stand in several pairs are kept in one half."""
    found = list(rows(path))
    groups = _groups([(row["a"], row["b"]) for row in found])
    kept = [row for row in found if held_out(groups[row["a"]]) is test]
    one = vectors(embed, [row["a"] for row in kept])
    other = vectors(embed, [row["b"] for row in kept])
    cosines = (one * other).sum(axis=1)
    return [
        Labelled(row["a"], row["b"], row["score"] >= SAME_SCORE, float(cosine))
        for row, cosine in zip(kept, cosines, strict=True)
    ]


def labelled(embed: Embedder, pairs: list[tuple[str, str, bool]]) -> list[Labelled]:
    """Pairs with their cosines."""
    texts = sorted({text for one, other, _ in pairs for text in (one, other)})
    vector = dict(zip(texts, vectors(embed, texts), strict=True))
    return [Labelled(*pair, float(vector[pair[0]] @ vector[pair[1]])) for pair in pairs]


def asked(embed: Embedder, *, test: bool) -> list[Labelled]:
    """All pairs of one question's wordings, and of each with what only looks like it."""
    pairs: list[tuple[str, str, bool]] = []
    for block in ASKED.read_text().strip().split("\n\n"):
        lines = block.splitlines()
        same = [line[2:] for line in lines if line.startswith("= ")]
        other = [line[2:] for line in lines if line.startswith("! ")]
        if (held_out(same[0]) and held_out(same[-1])) is test:
            pairs += [(a, b, True) for a, b in itertools.combinations(same, 2)]
            pairs += [(a, b, False) for a in same for b in other]
    return labelled(embed, pairs)


def neighbours(path: Path, embed: Embedder, *, test: bool) -> list[Labelled]:
    """Each request with those nearest to it. One intent counts as one answer: too generous for
    what is called the same, fair for what is not."""
    found = [r for r in rows(path) if r["intent"] != "oos" and held_out(r["intent"]) is test]
    found = found[::4]
    embedded = vectors(embed, [row["text"] for row in found])
    near = embedded @ embedded.T
    labelled = {}
    for i in range(len(found)):
        for j in np.argsort(-near[i])[1 : NEIGHBOURS + 1].tolist():
            if near[i, j] >= LEAST_COSINE:
                one, other = found[min(i, j)], found[max(i, j)]
                same = one["intent"] == other["intent"]
                labelled[min(i, j), max(i, j)] = Labelled(
                    one["text"], other["text"], same, float(near[i, j])
                )
    return list(labelled.values())


def _groups(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """A name for each text, the same for texts that pairs bind together."""
    parent: dict[str, str] = {}

    def root(text: str) -> str:
        while parent.setdefault(text, text) != text:
            text = parent[text]
        return text

    for one, other in pairs:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return {text: root(text) for text in parent}
