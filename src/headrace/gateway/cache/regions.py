"""Neighbourhoods of questions, found as they come: each is what is near to its first question."""

from __future__ import annotations

from typing import Any

NEAR = 0.7
"""Cosine to the first question of a neighbourhood, from which on another belongs to it."""
MOST = 512
"""By partition; later questions that are near to none stay without."""
MOST_PARTITIONS = 1_000


class Regions:
    """By partition. A look at one takes some ten microseconds."""

    def __init__(self) -> None:
        import numpy  # comes with the embeddings

        self._np: Any = numpy
        self._first: dict[str, Any] = {}
        """Vectors of first questions, in the order in which they came."""

    def vector(self, data: bytes) -> Any:
        """Of bytes that were a vector's."""
        return self._np.frombuffer(data, "<f4")

    def of(self, partition: str, vector: Any) -> int:
        """The number of the one that a question is in, -1 if in none."""
        first = self._first.get(partition)
        if first is None:
            return -1
        cosines = first @ vector
        nearest = int(cosines.argmax())
        return nearest if float(cosines[nearest]) >= NEAR else -1

    def begin(self, partition: str, vector: Any) -> int:
        """The same; a new one, if it is in none and there is room."""
        found = self.of(partition, vector)
        if found >= 0:
            return found
        first = self._first.get(partition)
        row = self._np.asarray(vector, dtype="<f4").reshape(1, -1)
        if first is None:
            if len(self._first) >= MOST_PARTITIONS:
                return -1
            self._first[partition] = row
            return 0
        if len(first) >= MOST:
            return -1
        self._first[partition] = self._np.vstack((first, row))
        return len(first)
