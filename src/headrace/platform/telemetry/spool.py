"""A bounded queue and the thread that empties it, so that no call waits for who takes what it
tells. What finds the queue full is dropped and counted."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger("headrace.telemetry")

T = TypeVar("T")
CLOSING_S = 3.0
"""For what is queued when the process ends."""


def _one(item: object) -> int:
    return 1


class Spool(Generic[T]):
    """`put` is for one thread, the event loop's."""

    def __init__(
        self,
        name: str,
        consume: Callable[[list[T]], None],
        *,
        most: int,
        batch: int,
        every_s: float,
        then: Callable[[bool], None] | None = None,
        size_of: Callable[[T], int] = _one,
    ) -> None:
        """`consume` gets batches in a thread of the queue's own; what it raises costs the batch.
        `most` counts items by their size, `batch` those of any size.
        `then` follows each time that the queue was emptied, told whether it was the last; what it
        raises costs nothing but a line in the log."""
        self.name = name
        self.dropped = 0
        """What was never taken, by its size."""
        self._consume = consume
        self._most = most
        self._batch = batch
        self._every_s = every_s
        self._then = then
        self._size_of = size_of
        self._put = self._taken = 0  # each for one thread: neither waits for the other
        self._items: deque[T] = deque()
        self._stop = threading.Event()
        self._fails = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __len__(self) -> int:
        return self._put - self._taken

    def start(self) -> None:
        self._thread.start()

    def put(self, item: T) -> bool:
        """Never waits. False if it is dropped."""
        size = self._size_of(item)
        if self._put - self._taken + size <= self._most:
            self._put += size
            self._items.append(item)
            return True
        self.dropped += size
        return False

    def close(self) -> None:
        """Hands on what is queued, for `CLOSING_S` at most. Blocks."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(CLOSING_S)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self._empty()
            self._follow_up(False)
        self._empty()
        self._follow_up(True)

    def _follow_up(self, last: bool) -> None:
        if self._then is None:
            return
        try:
            self._then(last)
        except Exception as error:
            self._tell(error)
        else:
            self._taken_again()

    def _empty(self) -> None:
        items = self._items
        while items:
            batch = [items.popleft() for _ in range(min(self._batch, len(items)))]
            size = sum(map(self._size_of, batch))
            self._taken += size
            try:
                self._consume(batch)
            except Exception as error:
                self.dropped += size
                self._tell(error)
            else:
                if self._then is None:
                    self._taken_again()

    def _taken_again(self) -> None:
        if self._fails:
            self._fails = False
            log.warning("%s: it is taken again", self.name)

    def _tell(self, error: Exception) -> None:
        """Once for each time that it begins to fail."""
        if not self._fails:
            self._fails = True
            cause = f"{type(error).__name__}: {error}"
            log.warning("%s: not taken, some are lost", self.name, extra={"cause": cause})
