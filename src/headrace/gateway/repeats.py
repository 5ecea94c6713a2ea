"""What is known of calls that may come again: running, or answered not long ago. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from headrace.gateway.recorded import Recorded

R = TypeVar("R")


class Mismatch(Exception):  # noqa: N818 - says what was found
    """The key stands for another payload."""


class _Kept(NamedTuple):
    fingerprint: object
    recorded: Recorded
    until: float
    size_bytes: int


class Repeats(Generic[R]):
    """Running work and kept answers by key. `now` is monotonic seconds.

    A key has one state at a time. Answers are bounded in number and bytes: the oldest goes first,
    which is also the first to end. What runs is bounded by the calls that are in flight.
    """

    def __init__(
        self, keep_s: float = 60.0, most_answers: int = 1_000, most_bytes: int = 1 << 20
    ) -> None:
        self.bound(keep_s, most_answers, most_bytes)
        self._running: dict[Hashable, tuple[object, R]] = {}
        # A plain dict would search its first entry among all that were dropped before.
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self.kept_bytes = 0

    def bound(self, keep_s: float, most_answers: int, most_bytes: int) -> None:
        """The bounds from now on."""
        self._keep_s = keep_s
        self._most_answers = most_answers
        self._most_bytes = most_bytes

    def __len__(self) -> int:
        return len(self._running) + len(self._kept)

    def running(self) -> list[R]:
        return [work for _, work in self._running.values()]

    def find(self, key: Hashable, fingerprint: object, now: float) -> R | Recorded | None:
        """The work that runs for this key, or the answer that it had. Raises Mismatch."""
        working = self._running.get(key)
        if working is not None:
            if working[0] != fingerprint:
                raise Mismatch
            return working[1]
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.until:
            self._drop(key)
            return None
        if kept.fingerprint != fingerprint:
            raise Mismatch
        return kept.recorded

    def begin(self, key: Hashable, fingerprint: object, work: R) -> None:
        """From now on the key stands for this work, whatever it stood for."""
        if key in self._kept:
            self._drop(key)
        self._running[key] = (fingerprint, work)

    def end(
        self, key: Hashable, work: R, recorded: Recorded | None, request_bytes: int, now: float
    ) -> None:
        """The work is over; without an answer worth keeping the key is free again. Does nothing
        if the key stands for later work."""
        working = self._running.get(key)
        if working is None or working[1] is not work:
            return
        del self._running[key]
        if recorded is not None:
            size = request_bytes + recorded.size_bytes
            self._kept[key] = _Kept(working[0], recorded, now + self._keep_s, size)
            self.kept_bytes += size
        self._shrink(now)

    def _shrink(self, now: float) -> None:
        kept = self._kept
        while kept:
            oldest = next(iter(kept))
            if (
                len(kept) <= self._most_answers
                and self.kept_bytes <= self._most_bytes
                and now < kept[oldest].until
            ):
                return
            self._drop(oldest)

    def _drop(self, key: Hashable) -> None:
        self.kept_bytes -= self._kept.pop(key).size_bytes
