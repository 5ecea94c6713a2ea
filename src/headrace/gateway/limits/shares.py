"""What one worker may use of a shared counter by itself: its share. Pure.

The server counts a share as taken until it is given back, and lets none of it pay off before it is
used. So what all workers use is never more than what one counter would have let pass: of a rate,
what is owed and what is shared out is together never more than the burst; of a budget, what is
spent and what is shared out is never more than the cap. A share that runs out at once is asked for
anew twice as large; one that lies idle is given back; and where little is left the server shares
out nothing, so that each call asks.

Rates turn from shared out to owed when the worker tells what it used. A call of a token limit that
has not ended by then gives back later what it did not use, by its place in the row (`gcra.Stake`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from msgspec import Raw, Struct

from headrace.gateway.limits.gcra import Stake

FIRST_WANT = 4
MOST_WANT = 256
"""Calls that a share is for."""
HOT_S = 1.0
"""A share that ran out within this time was too small."""
COLD_S = 10.0

US = 1_000_000
"""The server's instants are microseconds."""

Refund = tuple[float, float, float, int, int]
"""A stake's own instant, what was returned, its begin, the tokens reserved and the tokens used."""
Report = tuple[Raw, int, int, Sequence[Refund]]
"""The counter, what was used since the last report, what is held, refunds."""


class Share(ABC):
    """Of one counter. Amounts are units of it: requests, tokens, places, micro-dollars."""

    __slots__ = ("_asked_at", "_want", "allowance", "key", "left", "marked", "spec", "touched",
                 "users")  # fmt: skip

    def __init__(self, key: str, spec: Raw) -> None:
        self.key = key
        self.spec = spec
        """How the server is told of the counter."""
        self.left = 0
        self.allowance = 0
        """As much may be kept of what calls give back; 0 near the limit."""
        self.touched = False
        """Used since it was last looked whether it lies idle."""
        self.marked = False
        """There is something to tell."""
        self.users = 0
        self._want = 0
        self._asked_at = -COLD_S

    def want(self, now: float) -> int:
        """Calls to ask a share for, beside the one that cannot wait. Asked at once again: 0."""
        since = now - self._asked_at
        self._asked_at = now
        if since <= 0.0:
            return 0
        if since < HOT_S:
            self._want = min(MOST_WANT, max(FIRST_WANT, 2 * self._want))
        elif since >= COLD_S:
            self._want = 0
        return self._want

    def granted(self, amount: int, want: int, room: int) -> None:
        """The server had room for so many calls of this amount, and gave what was wanted of it."""
        self.left += min(want, room) * amount
        self.allowance = self.left + FIRST_WANT * amount if room else 0

    def surrender(self) -> None:
        """All that is left goes back with the next report."""
        self.left = 0

    @property
    def idle(self) -> bool:
        """Nothing is left, lent or to be told."""
        return not (self.left or self.held or self.marked)

    @property
    @abstractmethod
    def held(self) -> int:
        """What the server must go on to count as shared out."""

    @abstractmethod
    def report(self) -> Report:
        """What the server is told."""

    @abstractmethod
    def heard(self, said: Sequence[float] | None, now: float) -> None:
        """What it says to that; None if that was lost."""


class RateShare(Share):
    """Of a rate, in requests or tokens."""

    __slots__ = (
        "_owed_s",
        "_refunds",
        "_running",
        "_seen_at",
        "_told",
        "pending",
        "step_s",
        "used",
    )

    def __init__(self, key: str, spec: Raw, step_s: float) -> None:
        super().__init__(key, spec)
        self.step_s = step_s
        self.used = 0
        """Since the last report."""
        self.pending = 0
        """Of calls that the server was asked about for another of their counters."""
        self._owed_s = 0.0
        self._seen_at = 0.0
        self._running: dict[TokensHeld, None] = {}
        self._told: list[TokensHeld] = []
        self._refunds: list[Refund] = []

    @property
    def held(self) -> int:
        return self.left + self.pending

    def reserve(self, amount: int) -> None:
        self.left -= amount
        self.pending += amount

    def use(self, amount: int) -> None:
        """What was reserved is used."""
        self.pending -= amount
        self.used += amount
        self.touched = True

    def put_back(self, amount: int) -> bool:
        """What was reserved is not used. Returns as `HeldShare.put_back`."""
        self.pending -= amount
        self.left += amount
        return False

    def hold(self, amount: int) -> TokensHeld:
        """For a call that used this much of the share and will tell how much it needed."""
        held = TokensHeld(self, amount, None)
        self._running[held] = None
        return held

    def owed_s(self, now: float) -> float:
        """As far as this worker knows."""
        left = self._owed_s - (now - self._seen_at)
        return (left if left > 0.0 else 0.0) + self.used * self.step_s

    def seen(self, owed_s: float, now: float) -> None:
        """What the server says is owed."""
        self._owed_s, self._seen_at = owed_s, now

    def report(self) -> Report:
        told = (self.spec, self.used, self.held, tuple(self._refunds))
        self.used = 0
        self._refunds = []
        self._told = list(self._running)
        self._running = {}
        return told

    def heard(self, said: Sequence[float] | None, now: float) -> None:
        """The report has arrived. Calls that run stand last in the row. If nobody knows where they
        stand, they will give back nothing."""
        if said is not None:
            arrival_s, returned_s, now_s = (each / US for each in said)
            self.seen(arrival_s - now_s, now)
            for held in reversed(self._told):
                held.stand(Stake(now_s, arrival_s, returned_s))
                arrival_s -= held.amount * self.step_s
        self._told = []

    def settle(self, held: TokensHeld, tokens: int) -> bool:
        """A call of no stake ends. Whether it was of this share's unreported use."""
        if held not in self._running:
            return False
        del self._running[held]
        self.used += tokens - held.amount
        self.left = max(0, self.left + held.amount - tokens)
        return True

    def refund(self, refund: Refund) -> None:
        self._refunds.append(refund)


class TokensHeld(Struct, eq=False):
    """What one call holds of a token limit."""

    share: RateShare
    amount: int
    stake: Stake | None
    """None as long as the server has not been told."""
    used: int | None = None
    """By a call that ended before it was known where it stands."""

    def stand(self, stake: Stake) -> None:
        """Where it stands is known now."""
        self.stake = stake
        if self.used is not None:
            self._refund(stake, self.used)

    def settle(self, tokens: int) -> RateShare | None:
        """The call has ended. Returns the share if there is something to tell of it."""
        stake, share = self.stake, self.share
        if stake is None:
            if share.settle(self, tokens):
                return share
            self.used = tokens  # its report is under way
        elif tokens != self.amount:
            self._refund(stake, tokens)
            return share
        return None

    def _refund(self, stake: Stake, tokens: int) -> None:
        own, returned, began = stake.own * US, stake.returned * US, stake.began * US
        self.share.refund((own, returned, began, self.amount, tokens))


class HeldShare(Share):
    """Of what calls hold as long as they run: places, or a budget."""

    __slots__ = ("known", "running", "spent", "spent_before")

    def __init__(self, key: str, spec: Raw) -> None:
        super().__init__(key, spec)
        self.running = 0
        self.spent = 0
        """Since the last report."""
        self.spent_before = 0
        """As the server said."""
        self.known = False
        """Whether the server has said so."""

    @property
    def held(self) -> int:
        return self.left + self.running

    @property
    def spent_in_all(self) -> int:
        """As far as this worker knows."""
        return self.spent_before + self.spent

    def reserve(self, amount: int) -> None:
        self.left -= amount
        self.running += amount
        self.touched = True

    def put_back(self, amount: int) -> bool:
        """A call ends, or does not begin. Whether the server should hear of it at once: others may
        wait for it."""
        self.running -= amount
        self.left += amount
        return self._trim(amount)

    def settle(self, amount: int, used: int) -> bool:
        """A call that held `amount` ends and has spent `used`. Returns as `put_back`."""
        self.running -= amount
        self.spent += used
        self.left = max(0, self.left + amount - used)
        return self._trim(amount)

    def _trim(self, amount: int) -> bool:
        if self.left > self.allowance:
            self.left = self.allowance
            return True
        return amount > 0 and not self.allowance

    def report(self) -> Report:
        told = (self.spec, self.spent, self.held, ())
        self.spent_before += self.spent
        self.spent = 0
        return told

    def heard(self, said: Sequence[float] | None, now: float) -> None:
        """The report has arrived."""
        if said:
            self.seen(int(said[0]))

    def seen(self, spent: int) -> None:
        """What the server says is spent."""
        self.spent_before = spent
        self.known = True
