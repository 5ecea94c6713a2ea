"""Where answers are kept besides a worker's memory: in a file of this host, or in a server that
replicas share. Calls never fail by it and hardly wait for it: what cannot be had is a miss."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from headrace.data.answer_file import AnswerRow

Key = tuple[str, bytes]
"""Partition and digest."""


class Follower(Protocol):
    """Is told what other workers and replicas did, where answers are shared."""

    def kept_elsewhere(self, row: AnswerRow) -> object:
        """An answer was kept."""
        ...

    def dropped_elsewhere(self, key: Key) -> None:
        """One was dropped for good."""
        ...

    def purged_elsewhere(self, partition: str | None) -> None:
        """A partition's answers were dropped, or all; what is still good is told again."""
        ...

    async def caught_up(self) -> None:
        """Waits while the follower has much to do."""
        ...


class Shelf(Protocol):
    """For one event loop. Times are Unix seconds."""

    searches: bool
    """Whether it looks for the nearest questions itself."""

    def follow(self, follower: Follower) -> None:
        """To be called once, before anything else."""
        ...

    def rows(self, now: float, most: int) -> AsyncIterator[list[AnswerRow]]:
        """The answers to begin with, some at a time; none where the follower is told of them."""
        ...

    async def get(self, key: Key) -> AnswerRow | None:
        """An answer that the follower may not know yet. Waits shortly at most."""
        ...

    async def nearest(
        self, around: Key, vector: Any, count: int
    ) -> Sequence[tuple[AnswerRow, float]]:
        """Answers of the nearest questions with their cosines, nearest first, where it `searches`.
        Waits shortly at most."""
        ...

    def keep(self, row: AnswerRow) -> None:
        """Takes an answer to be written behind the calls."""
        ...

    def drop(self, key: Key) -> None:
        """Takes one to be deleted for good."""
        ...

    def evicted(self, key: Key) -> None:
        """Memory had no room for it."""
        ...

    def purge(self, partition: str | None) -> None:
        """Takes a partition's answers to be deleted, or all: those of others, too."""
        ...

    async def close(self) -> None:
        """Waits for what is to be written. Idempotent."""
        ...
