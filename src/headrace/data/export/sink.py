"""Where an export goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Undelivered(Exception):  # noqa: N818 - says what happened
    """The batch was not taken, or it is not known: it is sent again. `str()` is for the log."""


class Sink(Protocol):
    """Takes batches, one after the other, from one thread."""

    batch: int
    """Rows of a batch at most."""

    def send(self, rows: Sequence[bytes]) -> None:
        """Rows as JSON objects. Returns when they are safe there. Raises Undelivered."""
        ...

    def close(self) -> None: ...
