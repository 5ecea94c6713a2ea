"""How soon the nearest of many questions are found, and how many: `python -m benchmarks.index`.

    python -m benchmarks.index [--entries 1000000] [--file FILE] [--build-s 100] [--threads 2]
                               [--hnswlib]

The graph of `gateway/cache/neighbours.py` (usearch), or that of hnswlib, is built many vectors at a
time, then asked one question after another through a thread, as the cache does. With `--file` it is
kept there, and building goes on where `--build-s` ended it.

The vectors: mixtures of three embeddings of real questions (`benchmarks/adversarial.py`), so that
they lie as questions do, seeded by their number; a look-up is one of them with noise, cosine 0.9.
Recall is against a look at every vector.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from training.pairs import embedder, vectors

from benchmarks import adversarial
from headrace.gateway.cache.neighbours import (
    CONNECTIONS,
    EXPANSION_ADD,
    EXPANSION_SEARCH,
    Found,
    Graph,
)

CHUNK = 10_000
LOOK_UPS = 1_000
CANDIDATES = 5
REAL = 1_000
COSINE = 0.9


class Usearch(Graph):
    """As the cache has it; built by several threads, since a million would take one too long."""

    def add_many(self, first: int, vectors: Any, threads: int) -> None:
        labels = np.arange(first, first + len(vectors))
        self._index.add(labels, vectors, threads=threads)


class Hnswlib:
    """The peer, with the same settings; float32 is all it has."""

    def __init__(self, dimensions: int, most: int) -> None:
        import hnswlib

        self._index: Any = hnswlib.Index(space="ip", dim=dimensions)
        self._index.init_index(most, M=CONNECTIONS, ef_construction=EXPANSION_ADD)
        self._index.set_ef(EXPANSION_SEARCH)
        self._index.set_num_threads(1)

    def __len__(self) -> int:
        return int(self._index.get_current_count())

    def add_many(self, first: int, vectors: Any, threads: int) -> None:
        labels = np.arange(first, first + len(vectors))
        self._index.add_items(vectors, labels, num_threads=threads)

    def nearest(self, vector: Any, count: int) -> Found:
        labels, distances = self._index.knn_query(vector, count)
        return list(zip(labels[0].tolist(), (1 - distances[0]).tolist(), strict=True))


class Questions:
    """Vectors that lie as questions do, the same ones at each run."""

    def __init__(self) -> None:
        texts = sorted({pair.one for pair in adversarial.pairs(2 * REAL, seed=26)})[:REAL]
        self._real = np.asarray(vectors(embedder(), texts), np.float32)
        self.dimensions = self._real.shape[1]

    def chunk(self, number: int) -> Any:
        """`CHUNK` unit vectors."""
        rng = np.random.default_rng(number)
        parts = self._real[rng.integers(len(self._real), size=(3, CHUNK))]
        weights = rng.uniform(0.2, 1.0, (3, CHUNK, 1)).astype(np.float32)
        noise = rng.standard_normal((CHUNK, self.dimensions), np.float32) * np.float32(0.01)
        return _unit((parts * weights).sum(axis=0) + noise)

    def asked(self, chunks: int) -> Any:
        """`LOOK_UPS` of them with noise."""
        rng = np.random.default_rng(1 << 40)
        of = self.chunk(0)[rng.integers(CHUNK, size=LOOK_UPS)]
        if chunks > 1:
            of[::2] = self.chunk(chunks - 1)[rng.integers(CHUNK, size=len(of[::2]))]
        noise = _unit(rng.standard_normal(of.shape, np.float32))
        return _unit(COSINE * of + np.float32((1 - COSINE**2) ** 0.5) * noise)


def _unit(rows: Any) -> Any:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def build(
    index: Any, questions: Questions, entries: int, at_most_s: float, threads: int
) -> Iterator[int]:
    """Adds what is missing, and says how many there are after each chunk, until time is up."""
    end = time.monotonic() + at_most_s
    while len(index) < entries and time.monotonic() < end:
        start = len(index)
        index.add_many(start, questions.chunk(start // CHUNK), threads)
        yield len(index)


def exact(questions: Questions, asked: Any, entries: int) -> list[set[int]]:
    """The labels of the nearest of each, by a look at every vector."""
    best = np.full((len(asked), CANDIDATES), -2.0, np.float32)
    labels = np.zeros((len(asked), CANDIDATES), np.int64)
    for number in range(entries // CHUNK):
        cosines = asked @ questions.chunk(number).T
        near = np.argpartition(-cosines, CANDIDATES, axis=1)[:, :CANDIDATES]
        both = np.hstack([best, np.take_along_axis(cosines, near, 1)])
        named = np.hstack([labels, near + number * CHUNK])
        keep = np.argsort(-both, axis=1)[:, :CANDIDATES]
        best, labels = np.take_along_axis(both, keep, 1), np.take_along_axis(named, keep, 1)
    return [set(row.tolist()) for row in labels]


def measure(name: str, index: Any, questions: Questions) -> None:
    """Prints a line of the table."""
    entries = len(index)
    asked = questions.asked(entries // CHUNK)
    resident = _resident_mb()
    found, wall_ms, cpu_ms = [], [], []

    def look(vector: Any) -> Found:
        began = time.thread_time()
        near: Found = index.nearest(vector, CANDIDATES)
        cpu_ms.append((time.thread_time() - began) * 1000)
        return near

    with ThreadPoolExecutor(1) as thread:
        for vector in asked:
            began = time.perf_counter()
            found.append(thread.submit(look, vector).result())
            wall_ms.append((time.perf_counter() - began) * 1000)
    true = exact(questions, asked, entries)
    hits = [len(t & {label for label, _ in f}) for t, f in zip(true, found, strict=True)]
    p50, p99 = np.percentile(wall_ms, [50, 99])
    cpu50, cpu99 = np.percentile(cpu_ms, [50, 99])
    print(f"| {name} | {entries:,} | {p50:.2f} | {p99:.2f} | {cpu50:.2f} | {cpu99:.2f} | "
          f"{sum(hits) / CANDIDATES / len(asked):.1%} | {resident:,.0f} |")  # fmt: skip


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--file", type=Path, help="keeps usearch's graph there")
    parser.add_argument("--build-s", type=float, default=float("inf"), help="build for so long")
    parser.add_argument("--threads", type=int, default=1, help="that build")
    parser.add_argument("--hnswlib", action="store_true", help="measure it instead")
    asked = parser.parse_args()
    questions = Questions()
    before_mb = _resident_mb()
    index: Any = Usearch(questions.dimensions)
    if asked.hnswlib:
        index = Hnswlib(questions.dimensions, asked.entries)
    elif asked.file is not None and asked.file.exists():
        index.load(asked.file)
    had, began = len(index), time.process_time()
    for size in build(index, questions, asked.entries, asked.build_s, asked.threads):
        print(f"{size:,}", end=" ", flush=True)
    made = len(index) - had
    if made:
        spent_s = time.process_time() - began
        print(f"\n{made:,} added, {spent_s / made * 1e6:.0f} µs of CPU each")
    if asked.file is not None and made:
        index.save(asked.file)
    if len(index) < asked.entries:
        print("not all of them yet: run it again")
        return
    print(f"before the index: {before_mb:,.0f} MB")
    print("| index | entries | p50 ms | p99 ms | CPU p50 | p99 | nearest 5 found | resident MB |")
    print("|---|---|---|---|---|---|---|---|")
    measure("hnswlib" if asked.hnswlib else "usearch", index, questions)


if __name__ == "__main__":
    main()
