"""The nearest vectors: those of a look at each, of the graph nearly all, of no other place any."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from headrace.gateway.cache import neighbourhoods, neighbours
from headrace.gateway.cache.neighbourhoods import Key, Neighbourhoods
from headrace.gateway.cache.neighbours import Exact, Graph, Growing, Neighbours

DIMENSIONS = 32
A: Key = ("a", b"one")
B: Key = ("b", b"one")


def vectors(count: int, seed: int = 1) -> Any:
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSIONS)).astype("<f4")
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(rows: Any, labels: list[int], vector: Any, count: int) -> list[int]:
    """By a look at each, in the plainest way."""
    return sorted(labels, key=lambda label: -float(rows[label] @ vector))[:count]


@pytest.mark.parametrize(
    "make", [Exact, lambda: Graph(DIMENSIONS), lambda: Growing(Graph), lambda: Growing(None)]
)
def test_finds_the_nearest_through_adding_and_removing(
    make: Callable[[], Neighbours], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few enough that a graph finds them all, too. `Growing` goes over to its graph on the way."""
    monkeypatch.setattr(neighbours, "EXACT_MOST", 50)
    rows, rng = vectors(300), random.Random(2)
    index, there = make(), list[int]()
    for label in range(300):
        index.add(label, rows[label])
        there.append(label)
        if label % 3 == 0:
            gone = there.pop(rng.randrange(len(there)))
            index.remove(gone)
            index.remove(gone)
        if isinstance(index, Growing) and label % 2:
            index.settle()
        if label % 10 == 9:
            found = index.nearest(rows[label], 5)
            assert [one for one, _ in found] == nearest(rows, there, rows[label], 5)
            for one, cosine in found:
                assert cosine == pytest.approx(float(rows[one] @ rows[label]), abs=2e-3)
    assert len(index) == len(there)
    for label in there:
        index.remove(label)
    assert len(index) == 0
    assert index.nearest(rows[0], 5) == []


def test_the_graph_and_the_embeddings_live_in_one_process_whichever_comes_first() -> None:
    """One of their libraries crashes if it is loaded after the other."""
    one = "from headrace.gateway.cache.neighbours import Graph; Graph(32)"
    other = "from headrace.gateway.cache.embeddings import Questions; Questions.load()"
    for first, second in ((one, other), (other, one)):
        command = [sys.executable, "-c", f"{first}\n{second}"]
        assert subprocess.run(command, timeout=120).returncode == 0


def test_a_graph_of_many_finds_nearly_all() -> None:
    rows = vectors(3_000)
    index = Graph(DIMENSIONS)
    for label, row in enumerate(rows):
        index.add(label, row)
    asked = vectors(100, seed=3)
    found = [{label for label, _ in index.nearest(vector, 5)} for vector in asked]
    true = [set(nearest(rows, list(range(3_000)), vector, 5)) for vector in asked]
    assert sum(len(f & t) for f, t in zip(found, true, strict=True)) >= 0.9 * 5 * len(asked)


@asynccontextmanager
async def places(graph: Callable[[int], Neighbours] | None = None) -> AsyncIterator[Neighbourhoods]:
    made = Neighbourhoods(graph)
    try:
        yield made
    finally:
        await made.close()


async def test_a_vector_is_found_at_once_and_in_its_own_place_alone() -> None:
    rows = vectors(20)
    async with places() as near:
        for label, row in enumerate(rows):
            assert near.add(A if label % 2 else B, label, row)
            found = await near.nearest(A if label % 2 else B, row, 3)
            assert found[0][0] == label
            assert all(one % 2 == label % 2 for one, _ in found)
        for label in range(0, 20, 2):
            near.remove(B, label)
        assert B not in near
        assert await near.nearest(B, rows[0], 3) == []
        assert len(await near.nearest(A, rows[0], 30)) == 10


async def test_goes_over_to_the_graph_while_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "EXACT_MOST", 100)
    monkeypatch.setattr(neighbourhoods, "MOST_BEHIND", 0)
    graphs: list[Graph] = []

    def graph(dimensions: int) -> Graph:
        graphs.append(Graph(dimensions))
        return graphs[-1]

    rows = vectors(400)
    async with places(graph) as near:
        for label, row in enumerate(rows):
            near.add(A, label, row)
            if label % 40 == 0:
                assert (await near.nearest(A, row, 1))[0][0] == label
        await near.caught_up()
        assert len(graphs) == 1
        assert len(graphs[0]) == len(rows)
        found = [(await near.nearest(A, row, 1))[0][0] for row in rows]
        assert found == list(range(len(rows)))


class Slow(Graph):
    """As one of a million on a busy machine."""

    def nearest(self, vector: Any, count: int) -> list[tuple[int, float]]:
        import time

        time.sleep(0.01)
        return super().nearest(vector, count)


async def test_when_too_many_wait_the_others_find_nothing_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "EXACT_MOST", 0)
    async with places(Slow) as near:
        near.add(A, 1, vectors(1)[0])
        await near.caught_up()
        asked = [near.nearest(A, vectors(1)[0], 1) for _ in range(100)]
        found = await asyncio.gather(*asked)
        assert sum(bool(one) for one in found) == neighbourhoods.MOST_WAITING
        assert near.skipped == 100 - neighbourhoods.MOST_WAITING


async def test_without_a_graph_what_comes_past_the_bound_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(neighbourhoods, "graphs", lambda: None)
    monkeypatch.setattr(neighbourhoods, "MOST_EXACT", 10)
    rows = vectors(12)
    async with places() as near:
        assert [near.add(A, label, row) for label, row in enumerate(rows)] == [True] * 10 + [
            False
        ] * 2
        assert near.add(B, 12, rows[0])
        assert {label for label, _ in await near.nearest(A, rows[11], 20)} == set(range(10))
    (record,) = [r for r in caplog.records if "needs an index" in r.getMessage()]
    assert "headrace[index]" in record.__dict__["detail"]
