"""What embedding a question costs, alone and with fifteen others: `python -m benchmarks.embedding`.

The graph that the embedder builds (`services/local/minilm.py`) beside the one in the model's file,
in turns, on one thread; the figures are CPU of the process, by text. Then how far the two are
apart: the cosine of each question's two vectors, and what that does to the cosine of two questions.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import tokenizers
from training.pairs import vectors

from benchmarks import adversarial
from headrace.services.local.catalogue import resolve
from headrace.services.local.embedder import Embedder

QUESTION = (
    "How do I change the delivery address of an order that I placed yesterday evening, and can "
    "half of it be sent to another place than mine"
)
TOGETHER = 16
PAIRS, SEED = 200, 26


class OwnGraph:
    """The file as it is, run as the embedder did before it had a graph of its own."""

    def __init__(self, weights: str, tokenizer: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            weights, options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(tokenizer)
        self._tokenizer.no_padding()

    def tokens(self, text: str) -> int:
        return len(self._tokenizer.encode(text).ids)

    def embed(self, texts: list[str]) -> Any:
        """Unit vectors. Texts are of one length."""
        ids = np.array([self._tokenizer.encode(text).ids for text in texts])
        ones = np.ones_like(ids)
        given = {"input_ids": ids, "attention_mask": ones, "token_type_ids": 0 * ids}
        mean = self._session.run(["last_hidden_state"], given)[0].mean(axis=1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def cpu_ms(work: Callable[[list[str]], object], texts: list[str]) -> float:
    """By text."""
    began = time.process_time()
    work(texts)
    return (time.process_time() - began) * 1000 / len(texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    files = {role: str(path) for role, path in resolve("all-minilm-l6-v2").files.items()}
    ours = Embedder(files["weights"], files["tokenizer"], 1)
    own = OwnGraph(files["weights"], files["tokenizer"])
    ways = {"the embedder": ours.embed, "the file's own graph": own.embed}
    spent: dict[tuple[str, int], list[float]] = {}
    for number in range(asked.rounds + 1):
        for name, work in ways.items():
            for count in (1, TOGETHER):
                figure = cpu_ms(work, [QUESTION] * count)
                if number:  # the first is to warm up
                    spent.setdefault((name, count), []).append(figure)
    print(f"{own.tokens(QUESTION)} tokens, CPU of one text in ms, median (least) of {asked.rounds}")
    print("| | alone | one of 16 |")
    print("|---|---:|---:|")
    for name in ways:
        figures = [spent[name, count] for count in (1, TOGETHER)]
        cells = [f"{statistics.median(found):.1f} ({min(found):.1f})" for found in figures]
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    pairs = adversarial.pairs(PAIRS, SEED)
    texts = [text for pair in pairs for text in (pair.one, pair.other)]
    mine = vectors(ours, texts)
    theirs = np.concatenate([own.embed([text]) for text in texts])
    apart = 1 - (mine * theirs).sum(axis=1)
    drift = abs((mine[::2] * mine[1::2]).sum(axis=1) - (theirs[::2] * theirs[1::2]).sum(axis=1))
    print(f"{len(texts)} questions, cosine of their two vectors: {1 - apart.mean():.4f}, the least "
          f"{1 - apart.max():.4f}")  # fmt: skip
    print(f"what it does to the cosine of two questions: {drift.mean():.4f}, at most "
          f"{drift.max():.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
