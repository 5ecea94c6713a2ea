"""What is measured: the configuration's rules, made ready for the way of a call. Plain data."""

from __future__ import annotations

import enum
from typing import Literal

from msgspec import Struct

from headrace.gateway.limits.periods import Calendar
from headrace.nouns import Reserved

Unit = Literal["requests", "tokens"]
RESERVED_RETRY_S = 2.0
"""When running calls will give back what they hold, nobody knows."""


class Rate(Struct, frozen=True, gc=False):
    """A rate of requests or tokens; see `gcra.py`."""

    name: str
    key: str
    """What its state is found by: the rule and the values that are counted apart."""
    unit: Unit
    quota: int
    """Units per `window_s`."""
    window_s: float
    step_s: float
    """Seconds of the rate that one unit takes."""
    burst_s: float
    """Seconds of the rate that may be used at once."""


class AtOnce(Struct, frozen=True, gc=False):
    """A limit of calls at once."""

    name: str
    key: str
    most: int


class Budget(Struct, frozen=True, gc=False):
    """An amount for a calendar period."""

    name: str
    key: str
    unit: Literal["usd", "tokens"]
    cap: int
    """Micro-dollars, or tokens."""
    calendar: Calendar
    soft: int
    """From this much on it warns."""
    stop: bool
    unpriced: Literal["refuse", "allow"]
    away_share: float
    """Of `cap`: what may be used while the shared counters are away."""


class Measures(Struct, frozen=True):
    """All that concern one caller's calls to one model."""

    requests: tuple[Rate, ...] = ()
    tokens: tuple[Rate, ...] = ()
    at_once: tuple[AtOnce, ...] = ()
    budgets: tuple[Budget, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requests or self.tokens or self.at_once or self.budgets)

    @property
    def reserve(self) -> Literal["usd", "tokens"] | None:
        """What an upper bound of each call must be known in: of tokens it always is where it is of
        dollars. None where no budget reserves it."""
        if not self.budgets:
            return None
        return "usd" if any(budget.unit == "usd" for budget in self.budgets) else "tokens"


class Need(Reserved, frozen=True, gc=False):
    """What one call may use, reserved before it and corrected after."""

    tokens: int
    """For token limits: the prompt's estimate and the answer's most."""
    budget_tokens: int
    """An upper bound, for budgets in tokens."""
    bounded: bool
    """The client or a cap says how long the answer may be."""


class Why(enum.Enum):
    """Why a measure does not allow a call."""

    RATE = "rate"
    TOO_LARGE = "too_large"
    """The call is larger than the measure ever allows."""
    AT_ONCE = "at_once"
    SPENT = "spent"
    RESERVED = "reserved"
    """Of a budget: enough is left, but calls that run hold it."""
    UNPRICED = "unpriced"
    """A budget in dollars can't bound what has no known price."""
    AWAY = "away"
    """A budget whose shared counters are away."""


class Denied(Struct, frozen=True, gc=False):
    """Nothing was taken, since one measure does not allow the call."""

    why: Why
    measure: Rate | AtOnce | Budget
    retry_after_s: float | None
    """None: no time will help."""
    spent: int = 0
    """Of a budget: by calls that ended, in this period."""
    needed: int = 0
    resets_at: float = 0.0
    """Of a budget: Unix seconds."""


class Standing(Struct, eq=False, gc=False):
    """How a caller stands after a call was admitted, for the answer's headers: the rates that are
    nearest to their ends, and a budget that is past its warning."""

    requests: Rate | None = None
    requests_owed_s: float = 0.0
    tokens: Rate | None = None
    tokens_owed_s: float = 0.0
    budget: Budget | None = None
    spent: int = 0
    resets_at: float = 0.0


def amount_of(budget: Budget, need: Need) -> int:
    """What is reserved of a budget: micro-dollars or tokens."""
    return (need.cost_microusd or 0) if budget.unit == "usd" else need.budget_tokens


def short_of(budget: Budget, spent: int, reserved: int, need: Need) -> Why | None:
    """Why a budget does not cover a call; None if it does.

    A call whose answer has no known bound needs the whole of what the model can answer. Small
    budgets would never have room for that, so such a call is let in on what is left when no other
    runs: then the budget is overdrawn by at most what one call can cost.
    """
    if not budget.stop:
        return None
    if need.cost_microusd is None and budget.unit == "usd" and budget.unpriced == "refuse":
        return Why.UNPRICED
    amount = amount_of(budget, need)
    if spent + reserved + amount <= budget.cap:
        return None
    if spent < budget.cap and not need.bounded:
        return None if reserved == 0 else Why.RESERVED
    if spent + amount <= budget.cap:
        return Why.RESERVED
    return Why.TOO_LARGE if amount > budget.cap and spent < budget.cap else Why.SPENT


def short(
    why: Why, budget: Budget, spent: int, need: Need, resets_at: float, unix: float
) -> Denied:
    """A budget's refusal."""
    if why is Why.RESERVED or why is Why.AWAY:
        retry_after_s: float | None = RESERVED_RETRY_S
    elif why is Why.SPENT:
        retry_after_s = max(1.0, resets_at - unix)
    else:
        retry_after_s = None
    return Denied(why, budget, retry_after_s, spent, amount_of(budget, need), resets_at)


def nearer(rate: Rate, owed_s: float, other: Rate, other_owed_s: float) -> tuple[Rate, float]:
    """Which of two rates is told, with what is owed of it: the one with the least left, as a share
    of its burst; the first if they are alike."""
    if other_owed_s * rate.burst_s > owed_s * other.burst_s:
        return other, other_owed_s
    return rate, owed_s


def note_rate(standing: Standing, rate: Rate, owed_s: float) -> None:
    """See `nearer`."""
    if rate.unit == "tokens":
        if standing.tokens is not None:
            rate, owed_s = nearer(standing.tokens, standing.tokens_owed_s, rate, owed_s)
        standing.tokens, standing.tokens_owed_s = rate, owed_s
    else:
        if standing.requests is not None:
            rate, owed_s = nearer(standing.requests, standing.requests_owed_s, rate, owed_s)
        standing.requests, standing.requests_owed_s = rate, owed_s


def note_budget(standing: Standing, budget: Budget, spent: int, resets_at: float) -> None:
    """The budget that is used up most is told."""
    other = standing.budget
    if other is None or spent * other.cap > standing.spent * budget.cap:
        standing.budget, standing.spent, standing.resets_at = budget, spent, resets_at
