"""The nearest of many vectors: exactly while they are few, by a graph when they are many.

The only module that imports `usearch`. Vectors are unit vectors, arrays of float32; cosines are
their inner products.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

EXACT_MOST = 4_096
"""Past about so many a graph answers sooner than a look at each, and slows down much less."""
CONNECTIONS, EXPANSION_ADD, EXPANSION_SEARCH = 16, 48, 48
"""Of the graph: Malkov and Yashunin 2018, Efficient and robust approximate nearest neighbor search
using Hierarchical Navigable Small World graphs (there M, efConstruction, ef)."""

Found = list[tuple[int, float]]
"""Labels and cosines, nearest first."""


class Neighbours(Protocol):
    """Vectors under labels. Not safe to call from several threads at once."""

    def __len__(self) -> int: ...

    def add(self, label: int, vector: Any) -> None:
        """`label` is new."""
        ...

    def remove(self, label: int) -> None:
        """Nothing happens if it is not there."""
        ...

    def nearest(self, vector: Any, count: int) -> Found: ...


class Exact:
    """Looks at every vector. One array, which doubles when it is full."""

    def __init__(self) -> None:
        import numpy

        self._np: Any = numpy
        self._vectors: Any = None
        self._labels: list[int] = []
        self._places: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, label: int, vector: Any) -> None:
        place = len(self._labels)
        if self._vectors is None:
            self._vectors = self._np.empty((1, len(vector)), "<f4")
        elif place == len(self._vectors):
            longer = self._np.empty((2 * place, self._vectors.shape[1]), "<f4")
            longer[:place] = self._vectors
            self._vectors = longer
        self._vectors[place] = vector
        self._labels.append(label)
        self._places[label] = place

    def remove(self, label: int) -> None:
        place = self._places.pop(label, None)
        if place is None:
            return
        last = self._labels.pop()
        if last != label:
            self._vectors[place] = self._vectors[len(self._labels)]
            self._labels[place] = last
            self._places[last] = place

    def nearest(self, vector: Any, count: int) -> Found:
        if not self._labels:
            return []
        cosines = self._vectors[: len(self._labels)] @ vector
        if len(cosines) > count:
            near = self._np.argpartition(-cosines, count - 1)[:count]
            near = near[self._np.argsort(-cosines[near])]
        else:
            near = self._np.argsort(-cosines)
        return [(self._labels[place], float(cosines[place])) for place in near]

    def last(self) -> tuple[int, Any]:
        """The label and vector that cost least to take out. Raises IndexError if there is none."""
        return self._labels[-1], self._vectors[len(self._labels) - 1]


class Graph:
    """HNSW by usearch, vectors as float16: half the memory, cosines right to three digits."""

    def __init__(self, dimensions: int) -> None:
        """Raises ImportError if usearch is not installed."""
        import numpy

        with suppress(ImportError):
            # Imported after usearch 2.26, onnxruntime 1.32 crashes the process.
            import onnxruntime  # noqa: F401
        from usearch.index import Index

        self._np: Any = numpy
        self._index: Any = Index(
            ndim=dimensions,
            metric="ip",
            dtype="f16",
            connectivity=CONNECTIONS,
            expansion_add=EXPANSION_ADD,
            expansion_search=EXPANSION_SEARCH,
        )

    def __len__(self) -> int:
        return len(self._index)

    def add(self, label: int, vector: Any) -> None:
        self._index.add(label, vector, threads=1)

    def remove(self, label: int) -> None:
        if label in self._index:
            self._index.remove(label)

    def save(self, file: Path) -> None:
        self._index.save(str(file))

    def load(self, file: Path) -> None:
        """What `save` wrote, in place of what is there."""
        self._index.load(str(file))

    def nearest(self, vector: Any, count: int) -> Found:
        found = self._index.search(vector, count, threads=1)
        cosines = (1.0 - found.distances).tolist()
        return list(zip(found.keys.tolist(), cosines, strict=True))


class Growing:
    """Exact while it is small; beyond that a graph takes over, vector by vector, so that no single
    step takes long. Meanwhile both are asked."""

    def __init__(self, graph: Callable[[int], Neighbours] | None) -> None:
        """`graph` makes one for vectors of so many dimensions; None if there is none to be had."""
        self._new_graph = graph
        self._exact = Exact()
        self._graph: Neighbours | None = None

    def __len__(self) -> int:
        return len(self._exact) + (0 if self._graph is None else len(self._graph))

    def add(self, label: int, vector: Any) -> None:
        self._exact.add(label, vector)
        if self._graph is None and self._new_graph and len(self._exact) > EXACT_MOST:
            self._graph = self._new_graph(len(vector))

    def remove(self, label: int) -> None:
        self._exact.remove(label)
        if self._graph is not None:
            self._graph.remove(label)

    def nearest(self, vector: Any, count: int) -> Found:
        found = self._exact.nearest(vector, count)
        if self._graph is not None and len(self._graph):
            found = sorted(found + self._graph.nearest(vector, count), key=lambda one: -one[1])
        return found[:count]

    @property
    def unsettled(self) -> int:
        """Vectors that wait to be moved into the graph."""
        return 0 if self._graph is None else len(self._exact)

    def settle(self) -> bool:
        """Moves one vector into the graph; False if there was none to move."""
        if self._graph is None or not self.unsettled:
            return False
        label, vector = self._exact.last()
        self._graph.add(label, vector)
        self._exact.remove(label)
        return True


def graphs() -> Callable[[int], Neighbours] | None:
    """What makes graphs; None if usearch is not installed. It is imported when the first one is
    made, which takes it most of a second."""
    return Graph if find_spec("usearch") is not None else None
