"""The keys of one issuer as they are known, and when to ask for them again. Pure.

Keys are asked for in the background when they have grown old, and at once for a `kid` that is not
known, but never twice within `SLOT_S` whatever tokens say: the slot is taken before the fetch. A
failed fetch, or an empty set, takes nothing away. `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace.platform.oidc.jose import PublicKey

SLOT_S = 30.0
STALE_S = 600.0
"""Older keys are used, and asked for anew meanwhile."""
MISSED_S = 300.0
MISSED_LIMIT = 128


class KeySet:
    """Keys by `kid`."""

    def __init__(self) -> None:
        self.generation = 0
        """Grows when keys change: what was checked with older ones has to be checked again."""
        self._keys: dict[str | None, tuple[PublicKey, ...]] = {}
        self._all: tuple[PublicKey, ...] = ()
        self._fetched_at = float("-inf")
        self._claimed_at = float("-inf")
        self._missed: dict[str, float] = {}

    @property
    def empty(self) -> bool:
        return not self._all

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key that a token names; without a `kid` the only one that fits."""
        candidates = self._all if kid is None else self._keys.get(kid, ())
        fitting = [key for key in candidates if key.fits(algorithm)]
        return fitting[0] if len(fitting) == 1 else None

    def stale(self, now: float) -> bool:
        return now - self._fetched_at >= STALE_S

    def slot_in_s(self, now: float) -> float:
        """Seconds until a fetch is allowed."""
        return max(0.0, self._claimed_at + SLOT_S - now)

    def wanted(self, kid: str | None, now: float) -> bool:
        """Whether to ask for a `kid` that was not found: not if it was missing lately."""
        if self.slot_in_s(now) > 0:
            return False
        if self.empty or kid is None:
            return self.empty
        missed_at = self._missed.get(kid)
        return missed_at is None or now - missed_at >= MISSED_S

    def claim(self, now: float) -> None:
        """A fetch begins."""
        self._claimed_at = now

    def looked_for(self, kid: str, now: float) -> None:
        """A fetch for it has ended. If it went well and the `kid` is not there, it is remembered:
        one that its issuer did not have is not asked for again soon."""
        if kid in self._keys or self._fetched_at < self._claimed_at:
            return
        self._missed.pop(kid, None)
        while len(self._missed) >= MISSED_LIMIT:
            del self._missed[next(iter(self._missed))]
        self._missed[kid] = now

    def take(self, keys: Iterable[PublicKey], now: float) -> bool:
        """A fetch has ended well. False, and no change, if there is no key in it."""
        found = tuple(keys)
        if not found:
            return False
        by_kid: dict[str | None, tuple[PublicKey, ...]] = {}
        for key in found:
            by_kid[key.kid] = (*by_kid.get(key.kid, ()), key)
        self._fetched_at = now
        before = {_identity(key) for key in self._all}
        if before != {_identity(key) for key in found}:
            self.generation += 1
        self._keys, self._all = by_kid, found
        return True


def _identity(key: PublicKey) -> tuple[object, ...]:
    return key.kid, key.algorithm, key.kind, tuple(sorted(key.key.as_dict(private=False).items()))
