"""What is known of a backend's load: calls running, times, quota left. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp

_FADES_S = 60.0
"""A quota left is out of date after this: providers count by the minute."""
_LEAST_LEFT = 0.05
_STEP = 1.05


class Pace:
    """How long a backend takes: a cost that fades, and a median.

    The cost is Finagle's peak EWMA: a longer time counts at once, shorter ones slowly. The median
    moves by 5 % up or down with each time (Ma, Muthukrishnan, Sandler: frugal streaming, 2014).
    """

    __slots__ = ("_at", "_cost", "_decay_s", "_peaks", "median_s")

    def __init__(self, decay_s: float, peaks: bool) -> None:
        self._decay_s = decay_s
        self._peaks = peaks
        self._cost = 0.0
        self._at = 0.0
        self.median_s = 0.0
        """0 before the first time is known."""

    def observe(self, seconds: float, now: float) -> None:
        median = self.median_s
        self.median_s = (
            seconds if not median else median * _STEP if seconds > median else median / _STEP
        )
        cost = self._cost
        if not cost or (self._peaks and seconds > cost):
            self._cost = seconds
        else:
            kept = exp((self._at - now) / self._decay_s) if now > self._at else 1.0
            self._cost = cost * kept + seconds * (1.0 - kept)
        self._at = now

    def cost(self, now: float) -> float:
        """Seconds, less as time goes by, so that a slow backend is tried again. 0 if unknown."""
        ago = now - self._at
        if not self._cost or ago <= 0.0:
            return self._cost
        return self._cost * exp(-ago / self._decay_s)


class Load:
    """Calls running on a backend, how fast it is and how much of its quota is left.

    Streams are compared by the time to their first token, whole answers by their whole time, which
    depends on their length: there one long answer is no peak.
    """

    __slots__ = ("_left", "_left_until", "_most_requests", "_most_tokens", "running", "stream",
                 "whole")  # fmt: skip

    def __init__(self, decay_s: float = 10.0) -> None:
        self.running = 0
        self.stream = Pace(decay_s, peaks=True)
        self.whole = Pace(decay_s, peaks=False)
        self._left = 1.0
        self._left_until = 0.0
        self._most_requests = self._most_tokens = 0.0

    def score(self, now: float, stream: bool) -> float:
        """Cost of giving it one more call; lower is better. A backend of which nothing is known
        gets one call at a time until it has answered."""
        cost = (self.stream if stream else self.whole).cost(now)
        running = self.running
        if not cost:
            return 1e9 + running if running else 0.0
        if self._left_until:
            return cost * (running + 1) / self.left(now)
        return cost * (running + 1)

    def left(self, now: float) -> float:
        """Quota left, from 0.05 to 1."""
        if now >= self._left_until or self._left_until - now > _FADES_S:
            self._left_until = 0.0
            return 1.0
        return self._left

    def read(self, headers: Mapping[bytes, bytes], now: float) -> None:
        """Takes the quota left from an answer's `x-ratelimit-*` or `anthropic-ratelimit-*`
        headers. Names are lower case. The smaller of requests and tokens counts; where a provider
        does not tell the limit, the most that was ever left stands for it."""
        requests = _number(headers, b"x-ratelimit-remaining-requests")
        tokens = _number(headers, b"x-ratelimit-remaining-tokens")
        limits = (b"x-ratelimit-limit-requests", b"x-ratelimit-limit-tokens")
        if requests is None and tokens is None:
            requests = _number(headers, b"anthropic-ratelimit-requests-remaining")
            tokens = _number(headers, b"anthropic-ratelimit-tokens-remaining")
            limits = (b"anthropic-ratelimit-requests-limit", b"anthropic-ratelimit-tokens-limit")
            if requests is None and tokens is None:
                return
        left = 1.0
        if requests is not None:
            self._most_requests = max(self._most_requests, requests)
            left = _share(requests, _number(headers, limits[0]) or self._most_requests)
        if tokens is not None:
            self._most_tokens = max(self._most_tokens, tokens)
            left = min(left, _share(tokens, _number(headers, limits[1]) or self._most_tokens))
        self._left = left
        self._left_until = now + _FADES_S


def _number(headers: Mapping[bytes, bytes], name: bytes) -> float | None:
    """Providers have sent -1 for unknown."""
    text = headers.get(name)
    if text is None or not text.isdigit() or len(text) > 15:
        return None
    return float(text)


def _share(left: float, limit: float) -> float:
    return max(_LEAST_LEFT, min(1.0, left / limit)) if limit > 0 else _LEAST_LEFT
