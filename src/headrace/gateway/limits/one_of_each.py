"""The short way through counters in memory, for a caller with at most one measure of each kind,
as most are: everything at once and without loops.

What it decides and counts is what `memory.py` does; where a call is not simply admitted it decides
nothing, and leaves the call to that. Of a call's steps that are run between others each costs
three times what it costs in a row, for they are in no cache of the processor: so here are fewer.
"""

from __future__ import annotations

from headrace.data.budget_file import BudgetFile
from headrace.gateway.limits import gcra
from headrace.gateway.limits.counter_states import AtOnceState, BudgetState, RateState
from headrace.gateway.limits.gcra import SLACK_S
from headrace.gateway.limits.measures import AtOnce, Budget, Need, Rate, Standing, note_budget

Few = tuple[
    Rate | None,
    RateState,
    float,
    Rate | None,
    RateState,
    AtOnce | None,
    AtOnceState,
    Budget | None,
    BudgetState,
    BudgetFile | None,
]
"""A rate of requests, one of tokens, a limit of calls at once and a budget, each None if there is
none, and after each its state. After the first's, how many seconds may be owed of it when one more
is asked for; after the last's, the file where it has a slot."""


class Unused:
    """States that stand where there is no measure: nobody looks at them."""

    def __init__(self) -> None:
        self.rate = RateState()
        self.at_once = AtOnceState()
        self.budget = BudgetState()


class Taken(gcra.Stake, frozen=True, eq=False, gc=False):
    """What one call holds. `settle` once, on every way out. It is its own stake in the rate of
    tokens."""

    standing: Standing
    few: Few
    reserved_tokens: int
    amount: int
    """Reserved of the budget."""
    period: float
    """The end of the one that it was reserved in."""

    def settle(self, tokens: int, microusd: int, now: float) -> None:
        """Replaces what was reserved by what was used, and ends the call."""
        _, _, _, rate, state, limit, running, budget, kept, file = self.few
        if limit is not None:
            running.running -= 1
        if rate is not None:
            state.settle(self, self.reserved_tokens, tokens, rate.step_s, now)
        if budget is not None:
            spent = microusd if budget.unit == "usd" else tokens
            kept.settle(self.amount, self.period, spent, file)


def of(
    requests: tuple[tuple[Rate, RateState], ...],
    tokens: tuple[tuple[Rate, RateState], ...],
    at_once: tuple[tuple[AtOnce, AtOnceState], ...],
    budgets: tuple[tuple[Budget, BudgetState], ...],
    unused: Unused,
    file: BudgetFile | None,
) -> Few | None:
    """None if there are several of a kind."""
    if max(len(requests), len(tokens), len(at_once), len(budgets)) > 1:
        return None
    rate, called = requests[0] if requests else (None, unused.rate)
    room_s = 0.0 if rate is None else rate.burst_s - rate.step_s + SLACK_S
    budget, kept = budgets[0] if budgets else (None, unused.budget)
    return (
        *(rate, called, room_s),
        *(tokens[0] if tokens else (None, unused.rate)),
        *(at_once[0] if at_once else (None, unused.at_once)),
        *(budget, kept, file if kept.slot >= 0 else None),
    )


def take(few: Few, need: Need, now: float, unix: float) -> Taken | None:
    """Takes from all of them, or nothing: None for a call that is refused, or lets a period begin,
    or is let in by an exception."""
    requests, called, room_s, tokens, used, limit, running, budget, kept, file = few
    arrival = call_arrival = now
    amount, more = 0, need.tokens
    if requests is not None:
        call_arrival = called.arrival
        if call_arrival > now:
            if call_arrival - now > room_s:
                return None
            call_arrival += requests.step_s
        else:
            call_arrival = now + requests.step_s
    if tokens is not None:
        arrival, cost_s = used.arrival, more * tokens.step_s
        if more > tokens.quota:
            return None
        if arrival > now:
            if arrival - now + cost_s - tokens.burst_s > SLACK_S:
                return None
            arrival += cost_s
        else:
            arrival = now + cost_s
    if limit is not None and running.running >= limit.most:
        return None
    if budget is not None:
        bound = need.cost_microusd if budget.unit == "usd" else need.budget_tokens
        if unix >= kept.ends_at or bound is None:
            return None
        amount, reserved = bound, kept.reserved + bound
        if kept.spent + reserved > budget.cap:
            return None
        kept.reserved = reserved
        if file is not None:
            file.write(kept.slot, kept.spent, reserved)
    called.arrival, used.arrival = call_arrival, arrival
    if limit is not None:
        running.running += 1
    standing = Standing(requests, call_arrival - now, tokens, arrival - now)
    if budget is not None and kept.spent >= budget.soft:
        note_budget(standing, kept.budget or budget, kept.spent, kept.ends_at)
    return Taken(now, arrival, used.returned, standing, few, more, amount, kept.ends_at)
