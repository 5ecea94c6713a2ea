"""Counters in this process's memory: no I/O, nothing to await. The twin of `shared.py`.

The clocks are the caller's: `now` is monotonic seconds for rates, `unix` is Unix seconds for
budgets, whose periods are a calendar's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from headrace.data.budget_file import BudgetFile, name_of
from headrace.gateway.limits import gcra, one_of_each
from headrace.gateway.limits.counter_states import AtOnceState, BudgetState, RateState, State
from headrace.gateway.limits.counters import BudgetUnder, Taken
from headrace.gateway.limits.gcra import SLACK_S
from headrace.gateway.limits.measures import (
    AtOnce,
    Budget,
    Denied,
    Measures,
    Need,
    Rate,
    Standing,
    Why,
    nearer,
    note_budget,
    short,
    short_of,
)
from headrace.gateway.limits.one_of_each import Few, Unused

MOST_TOLD = 50_000
"""Budgets that `spent` looks at."""
SWEPT_AT_ONCE = 64
"""Counters looked at in one step of the sweep for idle ones."""
AT_ONCE_RETRY_S = 1.0
"""When a call's place will be free nobody knows."""
MOST_ALIKE = 10_000


S = TypeVar("S")
M = TypeVar("M", Rate, AtOnce, Budget)


class Bound:
    """Measures with their states: what a caller's calls go through. In the pairs the measures are
    without their keys, one for all callers of a rule: see `MemoryCounters.bind`."""

    __slots__ = ("at_once", "budgets", "few", "measures", "requests", "tokens")

    def __init__(
        self,
        measures: Measures,
        requests: tuple[tuple[Rate, RateState], ...],
        tokens: tuple[tuple[Rate, RateState], ...],
        at_once: tuple[tuple[AtOnce, AtOnceState], ...],
        budgets: tuple[tuple[Budget, BudgetState], ...],
        unused: Unused,
        file: BudgetFile | None,
    ) -> None:
        self.measures = measures
        self.requests = requests
        self.tokens = tokens
        self.at_once = at_once
        self.budgets = budgets
        self.few = one_of_each.of(requests, tokens, at_once, budgets, unused, file)
        """None if there are several of a kind."""


class TakenOfMany(Struct, eq=False, gc=False):
    """What one call holds. `settle` once, on every way out."""

    standing: Standing
    reserved_tokens: int
    at_once: tuple[tuple[AtOnce, AtOnceState], ...]
    tokens: list[tuple[Rate, RateState, gcra.Stake]]
    budgets: list[tuple[Budget, BudgetState, int, float]]
    """With what was reserved, and the end of the period that it was reserved in."""
    file: BudgetFile | None

    def settle(self, tokens: int, microusd: int, now: float) -> None:
        """Replaces what was reserved by what was used, and ends the call."""
        for _, running in self.at_once:
            running.running -= 1
        for rate, state, stake in self.tokens:
            state.settle(stake, self.reserved_tokens, tokens, rate.step_s, now)
        for budget, kept, amount, period in self.budgets:
            spent = microusd if budget.unit == "usd" else tokens
            kept.settle(amount, period, spent, self.file)


class MemoryCounters:
    """States by key. They outlive a configuration: a raised limit goes on from what was used."""

    def __init__(self, file: BudgetFile | None = None) -> None:
        """`file` keeps what budgets have used over a restart; None forgets it."""
        self._file = file
        self._unused = Unused()
        self._rates: dict[str, RateState] = {}
        self._at_once: dict[str, AtOnceState] = {}
        self._budgets: dict[str, BudgetState] = {}
        self._kept = {} if file is None else {one.key: one for one in file.kept()}
        self._alike: dict[Rate | AtOnce | Budget, Rate | AtOnce | Budget] = {}
        self._sweep: Iterator[tuple[dict[str, State], str]] | None = None

    def __len__(self) -> int:
        return len(self._rates) + len(self._at_once) + len(self._budgets)

    def bind(self, measures: Measures, now: float) -> Bound:
        """Finds or makes the states. Give it back by `release` when it is not used any more.

        With a hundred thousand callers what costs most is memory that is in no cache of the
        processor: so all of a rule that is the same for them is held once, without its key."""
        if len(self._alike) >= MOST_ALIKE:
            self._alike.clear()
        bound = Bound(
            measures,
            tuple((self._one_of(rate), self._rate(rate, now)) for rate in measures.requests),
            tuple((self._one_of(rate), self._rate(rate, now)) for rate in measures.tokens),
            tuple(
                (self._one_of(one), _of(self._at_once, one.key, AtOnceState))
                for one in measures.at_once
            ),
            tuple((self._one_of(one), self._budget(one)) for one in measures.budgets),
            self._unused,
            self._file,
        )
        for state in _states(bound):
            state.users += 1
        return bound

    def _one_of(self, measure: M) -> M:
        """The same without its key: one object for all that differ by that alone."""
        plain = replace(measure, key="")
        return self._alike.setdefault(plain, plain)  # type: ignore[return-value]

    def _rate(self, rate: Rate, now: float) -> RateState:
        """What is owed is units, whatever the rate is since a reload."""
        state = _of(self._rates, rate.key, RateState)
        if state.step_s != rate.step_s:
            if state.arrival > now and state.step_s:
                state.arrival = now + (state.arrival - now) * (rate.step_s / state.step_s)
            state.step_s = rate.step_s
        return state

    def _budget(self, budget: Budget) -> BudgetState:
        state = self._budgets.get(budget.key)
        if state is None:
            state = self._budgets[budget.key] = BudgetState()
            if self._file is not None:
                state.slot = self._file.slot(budget.key)
                kept = self._kept.pop(name_of(budget.key), None)
                if kept is not None:
                    state.spent, state.ends_at = kept.spent, kept.ends_at
                    self._file.begin(state.slot, kept.spent, kept.ends_at)
        state.budget = budget
        return state

    def release(self, bound: Bound) -> None:
        """The states may go once they are idle."""
        for state in _states(bound):
            state.users -= 1

    def few(self, bound: Bound) -> Few | None:
        return bound.few

    def take(self, bound: Bound, need: Need, now: float, unix: float) -> Taken | Denied:
        """Takes from all measures, or from none."""
        few = bound.few
        if few is not None:
            taken = one_of_each.take(few, need, now, unix)
            if taken is not None:
                return taken
        for rate, state in bound.requests:
            owed = state.arrival - now
            if owed > 0.0 and owed + rate.step_s - rate.burst_s > SLACK_S:
                return self._denied(bound, need, now, unix)
        tokens = need.tokens
        for rate, state in bound.tokens:
            owed = state.arrival - now
            if tokens > rate.quota or (
                owed > 0.0 and owed + tokens * rate.step_s - rate.burst_s > SLACK_S
            ):
                return self._denied(bound, need, now, unix)
        for one, running in bound.at_once:
            if running.running >= one.most:
                return self._denied(bound, need, now, unix)
        for budget, kept in bound.budgets:
            if unix >= kept.ends_at:
                self._roll(budget, kept, unix)
            amount = need.cost_microusd if budget.unit == "usd" else need.budget_tokens
            if amount is not None and kept.spent + kept.reserved + amount <= budget.cap:
                continue  # as `short_of` would say, of nearly every call
            if short_of(budget, kept.spent, kept.reserved, need) is not None:
                return self._denied(bound, need, now, unix)
        return _taken(bound, need, now, self._file)

    def spent(self, unix: float) -> Iterator[tuple[Budget, int]]:
        """What calls that ended have used of budgets in their periods."""
        for state in islice(self._budgets.values(), MOST_TOLD):
            if state.budget is not None:
                yield state.budget, 0 if unix >= state.ends_at else state.spent

    def recall(self, budget_under: BudgetUnder) -> None:
        """See `Counters.recall`. What was kept over a restart is told before its caller's first
        call: the file has its key and its sums, the rules say what they are of."""
        for key, state in islice(self._budgets.items(), MOST_TOLD):
            state.budget = budget_under(key, state.budget)
        for key in list(self._kept):
            if len(self._budgets) >= MOST_TOLD:
                break
            budget = budget_under(key, None)
            if budget is not None:
                self._budget(budget)

    def _denied(self, bound: Bound, need: Need, now: float, unix: float) -> Denied:
        """The measure that the client has to wait for longest."""
        found: list[Denied] = []
        measures = bound.measures
        for rate, (_, state) in zip(measures.requests, bound.requests, strict=True):
            wait = gcra.wait_s(state.arrival, rate.step_s, rate.burst_s, now)
            if wait > 0.0:
                found.append(Denied(Why.RATE, rate, wait, needed=1))
        for rate, (_, state) in zip(measures.tokens, bound.tokens, strict=True):
            wait = gcra.wait_s(state.arrival, need.tokens * rate.step_s, rate.burst_s, now)
            if need.tokens > rate.quota:
                found.append(Denied(Why.TOO_LARGE, rate, None, needed=need.tokens))
            elif wait > 0.0:
                found.append(Denied(Why.RATE, rate, wait, needed=need.tokens))
        for one, (_, running) in zip(measures.at_once, bound.at_once, strict=True):
            if running.running >= one.most:
                found.append(Denied(Why.AT_ONCE, one, AT_ONCE_RETRY_S))
        for budget, (_, kept) in zip(measures.budgets, bound.budgets, strict=True):
            if unix >= kept.ends_at:
                self._roll(budget, kept, unix)
            why = short_of(budget, kept.spent, kept.reserved, need)
            if why is not None:
                found.append(short(why, budget, kept.spent, need, kept.ends_at, unix))
        return max(found, key=_patience)

    def _roll(self, budget: Budget, state: BudgetState, unix: float) -> None:
        """Begins the period that `unix` is in. What running calls hold of the last one lapses."""
        state.spent = state.reserved = 0
        state.ends_at = budget.calendar.ends_at(unix)
        if self._file is not None:
            self._file.begin(state.slot, 0, state.ends_at)

    def sweep(self, now: float, unix: float, steps: int = SWEPT_AT_ONCE) -> None:
        """Looks at some counters and forgets those that nobody uses and that say nothing. Many
        small steps, so that no call waits for it."""
        for _ in range(steps):
            step = next(self._sweep, None) if self._sweep is not None else None
            if step is None:
                self._sweep = self._keys()
                return
            states, key = step
            state = states.get(key)
            if state is not None and state.users == 0 and _forgettable(state, now, unix):
                del states[key]
                if self._file is not None and isinstance(state, BudgetState):
                    self._file.forget(key)

    def _keys(self) -> Iterator[tuple[dict[str, State], str]]:
        for states in (self._rates, self._at_once, self._budgets):
            for key in list(states):
                yield states, key  # type: ignore[misc]


def _taken(bound: Bound, need: Need, now: float, file: BudgetFile | None) -> TakenOfMany:
    request_rate = token_rate = None
    request_owed_s = token_owed_s = 0.0
    for rate, state in bound.requests:
        arrival = state.arrival
        state.arrival = arrival = (arrival if arrival > now else now) + rate.step_s
        owed_s = arrival - now
        if request_rate is not None:
            rate, owed_s = nearer(request_rate, request_owed_s, rate, owed_s)
        request_rate, request_owed_s = rate, owed_s
    tokens = need.tokens
    stakes: list[tuple[Rate, RateState, gcra.Stake]] = []
    for rate, state in bound.tokens:
        arrival = state.arrival
        state.arrival = arrival = (arrival if arrival > now else now) + tokens * rate.step_s
        stakes.append((rate, state, gcra.Stake(now, arrival, state.returned)))
        owed_s = arrival - now
        if token_rate is not None:
            rate, owed_s = nearer(token_rate, token_owed_s, rate, owed_s)
        token_rate, token_owed_s = rate, owed_s
    standing = Standing(request_rate, request_owed_s, token_rate, token_owed_s)
    for _, running in bound.at_once:
        running.running += 1
    held: list[tuple[Budget, BudgetState, int, float]] = []
    for budget, kept in bound.budgets:
        amount = (need.cost_microusd or 0) if budget.unit == "usd" else need.budget_tokens
        kept.reserved += amount
        if file is not None:
            file.write(kept.slot, kept.spent, kept.reserved)
        held.append((budget, kept, amount, kept.ends_at))
        if kept.spent >= budget.soft:
            note_budget(standing, kept.budget or budget, kept.spent, kept.ends_at)
    return TakenOfMany(standing, tokens, bound.at_once, stakes, held, file)


def _states(bound: Bound) -> Iterator[State]:
    for pairs in (bound.requests, bound.tokens, bound.at_once, bound.budgets):
        for _, state in pairs:
            yield state


def _patience(denied: Denied) -> float:
    return math.inf if denied.retry_after_s is None else denied.retry_after_s


def _forgettable(state: State, now: float, unix: float) -> bool:
    if isinstance(state, BudgetState):
        return state.ends_at <= unix
    return state.idle(now)


def _of(states: dict[str, S], key: str, made: Callable[[], S]) -> S:
    state = states.get(key)
    if state is None:
        state = states[key] = made()
    return state
