"""A region of a provider in virtual time, with what can be wrong with one."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from email.utils import formatdate
from random import Random

from msgspec import Struct

from headrace.gateway import upstream_faults
from headrace.gateway.failure import Failure
from headrace.platform.http.messages import Fault, TransportError

LONGEST_QUEUE_S = 10.0
CONNECT_S = 5.0
"""How long the gateway waits for a connection."""
IDLE_S = 50.0
"""How long it keeps one that nobody uses."""
HOUR_S = 3600.0


class Ill(enum.Enum):
    """What is wrong with a region. The value is short, for tables and traces."""

    DEAD = "dead"
    """Refuses connections; what ran there is reset."""
    CUT_OFF = "cut off"
    """A partition: connecting hangs, what ran there is silent."""
    SLOW = "brownout"
    """A part of its capacity, and a longer time to the first token."""
    FLAKY = "flaky"
    """A part of the calls is answered with 5xx."""
    LIMITED = "limited"
    """429 with an honest hint, in one of the many forms, by a clock of its own."""
    JUNK_HINTS = "junk hints"
    """429 with a hint that says nothing."""
    LYING = "lying"
    """200 with an error, HTML or half an answer."""
    STALLING = "stalling"
    """A head, and no first token."""
    BREAKING = "breaking"
    """Half of the answers break off."""
    UNPAID = "unpaid"
    """429 that means money."""
    LOCKED = "locked"
    """401: the gateway's credential is not accepted."""


HOPELESS = frozenset(Ill) - {Ill.SLOW, Ill.FLAKY, Ill.BREAKING}
"""No call is answered."""
COSTLY = frozenset({Ill.CUT_OFF, Ill.SLOW, Ill.STALLING, Ill.BREAKING, Ill.LYING})
"""Probes take long, so that they are made rarely: see `BreakerPolicy.probing_share`."""
JUNK = ("soon", "-1", "0", "inf", "NaN", "1e3", "99999999999999999999", "", "Thu, 32 Foo 2026")
EMPTY: Mapping[bytes, bytes] = {}


class Answer(Struct, frozen=True, gc=False):
    """What becomes of one attempt. Times are seconds from the attempt's start."""

    failure: Failure | None
    after_s: float
    """To the failure, or to the first token."""
    rest_s: float = 0.0
    """From the first token to the end."""
    breaks: bool = False
    """Breaks off half-way through the rest."""
    leave_s: float = 0.0
    """The region asked to be left alone for so long. Known to the world, not to the gateway."""


class Region:
    """Answers `per_s` calls a second, one after another, and goes on working for callers that gave
    up. Over ten seconds of queue it refuses with 503."""

    def __init__(self, name: str, per_s: float, rng: Random) -> None:
        self.name = name
        self.ills: list[Ill] = []
        """The last one shows."""
        self.well_since = 0.0
        self.sound_since = 0.0
        """When it was to be trusted again after its last illness."""
        self._per_s = per_s
        self._rng = rng
        self._free_at = 0.0
        self._severity = 0.0
        self._stale_until = 0.0
        """The gateway keeps connections that a partition has cut. It forgets all of them with the
        first that it uses, or by itself when they were idle for long."""
        self._skew_s = rng.choice((0.0, 0.0, HOUR_S, -HOUR_S, 0.4))

    @property
    def ill(self) -> Ill | None:
        return self.ills[-1] if self.ills else None

    @property
    def hopeless(self) -> bool:
        return self.ill in HOPELESS

    def queue_s(self, now: float) -> float:
        return max(0.0, self._free_at - now)

    def falls_ill(self, ill: Ill) -> None:
        self.ills.append(ill)
        self._severity = self._rng.uniform(0.05, 0.9)

    def recovers(self, ill: Ill, now: float, trusted_after_s: float) -> None:
        self.ills.remove(ill)
        if ill is Ill.CUT_OFF:
            self._stale_until = now + IDLE_S
        self.well_since = now
        self.sound_since = max(self.sound_since, now + trusted_after_s)

    def ask(self, now: float, first_s: float, rest_s: float, bad: bool) -> Answer:
        """`first_s` is the time to a first token without a queue, `bad` a request that no provider
        accepts."""
        ill = None
        if self.ills:
            ill = self.ills[-1]
            answer = self._as_ill(ill, now, first_s, rest_s)
            if answer is not None:
                return answer
        if now < self._stale_until:
            self._stale_until = 0.0
            return Answer(STALE, 0.02)
        if bad:
            return Answer(_of_status(400, EMPTY, "invalid_value"), 0.02)
        speed = 0.3 - 0.3 * self._severity if ill is Ill.SLOW else 1.0
        start = self._free_at
        if start < now:
            start = now
        elif start - now > LONGEST_QUEUE_S:
            return Answer(_of_status(503), 0.01)
        self._free_at = start + 1.0 / (self._per_s * speed)
        wait_s = self._free_at - now
        return Answer(None, wait_s + first_s / speed, rest_s, ill is Ill.BREAKING and self._half())

    def _as_ill(self, ill: Ill, now: float, first_s: float, rest_s: float) -> Answer | None:
        """None if this call is answered nevertheless."""
        if ill is Ill.DEAD:
            return Answer(_of_transport(Fault.CONNECT), 0.001)
        if ill is Ill.CUT_OFF:
            return Answer(_of_transport(Fault.CONNECT_TIMEOUT), CONNECT_S)
        if ill is Ill.STALLING:
            return Answer(None, 1e6)
        if ill is Ill.FLAKY:
            return self._flaky()
        if ill is Ill.LIMITED:
            leave_s, headers = self._hint(now)
            return Answer(_of_status(429, headers), 0.02, leave_s=leave_s)
        if ill is Ill.JUNK_HINTS:
            headers = {b"retry-after": self._rng.choice(JUNK).encode()}
            return Answer(_of_status(429, headers), 0.02, leave_s=1.0)
        if ill is Ill.LYING:
            return Answer(self._lie(), first_s)
        if ill is Ill.BREAKING and self._rng.random() < 0.3:
            return Answer(upstream_faults.failure_of_cut("broke off"), first_s + rest_s / 2)
        if ill is Ill.UNPAID:
            return Answer(_of_status(429, EMPTY, "insufficient_quota"), 0.02, leave_s=900.0)
        if ill is Ill.LOCKED:
            return Answer(_of_status(401), 0.02, leave_s=60.0)
        return None

    def _flaky(self) -> Answer | None:
        rng = self._rng
        if rng.random() >= self._severity:
            return None
        status = rng.choice((500, 502, 503, 504, 529))
        if rng.random() < 0.2:
            leave_s = float(rng.randint(1, 5))
            hint = {b"retry-after": b"%d" % leave_s}
            return Answer(_of_status(status, hint), 0.02, leave_s=leave_s)
        return Answer(_of_status(status), 0.02)

    def _lie(self) -> Failure:
        form = self._rng.randrange(3)
        if form == 0:
            return upstream_faults.failure_of_error(b'{"message":"no","type":"server_error"}', b"")
        if form == 1:
            return upstream_faults.failure_of_bad_answer("<html>")
        return upstream_faults.failure_of_cut("the bytes ended before the end")

    def _hint(self, now: float) -> tuple[float, dict[bytes, bytes]]:
        """Seconds, and one of the ways in which providers say them."""
        rng = self._rng
        seconds = rng.choice((1, 2, 5, 8, 30, 90))
        form = rng.randrange(5)
        if form == 0:
            return seconds, {b"retry-after": b"%d" % seconds}
        if form == 1:
            return seconds, {b"retry-after-ms": b"%d" % (seconds * 1000), b"retry-after": b"7000"}
        if form == 2:
            wall = int(1_800_000_000 + now + self._skew_s)
            date, then = (formatdate(t, usegmt=True).encode() for t in (wall, wall + seconds))
            return seconds, {b"date": date, b"retry-after": then}
        if form == 3:
            return seconds, {b"retry-after": b"-1", b"x-ratelimit-reset-requests": b"%ds" % seconds}
        return seconds, {b"x-ratelimit-reset-tokens": b"0m%d.0s" % seconds}

    def _half(self) -> bool:
        return self._rng.random() < 0.5


def _of_status(status: int, headers: Mapping[bytes, bytes] = EMPTY, code: str = "") -> Failure:
    body = json.dumps({"error": {"message": "simulated", "code": code}}).encode()
    return upstream_faults.failure_of_status(status, headers, body, b"")


def _of_transport(fault: Fault) -> Failure:
    return upstream_faults.failure_of_transport(TransportError(fault, "simulated"))


RESET = _of_transport(Fault.RESET)
STALE = _of_transport(Fault.STALE)
TOO_SLOW = upstream_faults.failure_of_timeout("simulated")
