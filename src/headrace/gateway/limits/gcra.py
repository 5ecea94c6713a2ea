"""The generic cell rate algorithm, with costs and refunds. Pure.

One instant per counter, the theoretical arrival time: when all that was taken will have been paid
back by the rate (ATM Forum, Traffic Management 4.0, annex C; https://docs.rs/redis-cell for its
use in limiters). A call that takes `cost` seconds of the rate is admitted if afterwards that
instant is no further ahead of now than the burst. So no span of T seconds admits more than
`burst_s + T` seconds of the rate, and there is no edge at which twice as much passes.

One exception: what costs more than the burst, and no more than the whole quota, is admitted when
nothing is owed. Else a single large prompt could never be sent; afterwards all wait until the rate
has paid for it.

`counters.lua` says the same for Redis.
"""

from __future__ import annotations

from msgspec import Struct

SLACK_S = 1e-9
"""Rounding in sums of floats must not refuse what is exactly allowed."""


def wait_s(arrival: float, cost_s: float, burst_s: float, now: float) -> float:
    """Seconds until `cost_s` is allowed; 0 if it is now. `arrival` is the counter's instant."""
    owed = arrival - now
    if owed <= 0.0:
        return 0.0  # also for what is larger than the burst
    over = owed + cost_s - burst_s
    if over <= SLACK_S:
        return 0.0
    return min(over, owed)


def taken(arrival: float, cost_s: float, now: float) -> float:
    """The counter's instant after a call took `cost_s`."""
    return (arrival if arrival > now else now) + cost_s


class Stake(Struct, frozen=True, eq=False, gc=False):
    """What a call must know to give back what it does not use. Instants are of the same clock."""

    began: float
    """When it was taken."""
    own: float
    """The counter's instant right after it."""
    returned: float
    """Seconds that others had given back by then, since the counter was made."""


def refund_s(stake: Stake, cost_s: float, surplus_s: float, returned: float, now: float) -> float:
    """Seconds to give back of a call that took `cost_s` and did not use `surplus_s` of it.
    `returned` is all that was given back so far.

    What the rate has paid for since cannot be given back: it has allowed others already, and would
    allow as many again. The rate pays for calls in the order that they came, so this call is paid
    for from when those before it are, up to its own instant. That instant moves ahead by what
    those before it gave back since. How much of all that was given back was theirs is not known, so
    all is taken for it, as far as there was anything before this call at all. The result never
    allows more than taking the true amount in the first place would have.
    """
    end, least = stake.own - (returned - stake.returned), stake.began + cost_s
    left = (end if end > least else least) - now
    if left <= 0.0:
        return 0.0
    return surplus_s if surplus_s < left else left


def free(arrival: float, step_s: float, burst_s: float, now: float) -> int:
    """Whole units that could be taken at once."""
    owed = arrival - now
    left = burst_s if owed <= 0.0 else burst_s - owed
    return int(left / step_s + 1e-6) if left > 0.0 else 0
