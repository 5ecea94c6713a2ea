"""A budget of retries: what keeps a fault from growing into a storm.

Jitter alone does not end a metastable failure; a budget does (Brooker 2022; Finagle's RetryBudget;
gRPC A6). Pure: no I/O, no clock.
"""

from __future__ import annotations

from headrace.config.policies import RetryBudgetPolicy


class Budget:
    """Tokens: one is taken by each retry, successes and time bring them back.

    `now` is monotonic seconds. One budget guards a backend, one the whole gateway.
    """

    __slots__ = ("_at", "_tokens", "policy")

    def __init__(self, policy: RetryBudgetPolicy) -> None:
        self.policy = policy
        self._tokens = policy.burst
        self._at: float | None = None

    def tokens(self, now: float) -> float:
        """What is left."""
        since = now if self._at is None or now < self._at else self._at
        self._at = now
        grown = self._tokens + (now - since) * self.policy.per_s
        self._tokens = min(self.policy.burst, grown)
        return self._tokens

    def affords(self, now: float) -> bool:
        """Whether `take` would succeed."""
        return self.tokens(now) >= 1.0

    def take(self, now: float) -> bool:
        """Takes one token if there is one."""
        if self.tokens(now) < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def succeeded(self) -> None:
        """An attempt was answered."""
        burst = self.policy.burst
        if self._tokens < burst:
            tokens = self._tokens + self.policy.per_success
            self._tokens = tokens if tokens < burst else burst
