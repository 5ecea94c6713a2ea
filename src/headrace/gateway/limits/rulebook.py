"""Which rules concern a call, and under which keys it is counted. Pure; done once for each caller
and model, not for each call. What a rule says of all callers alike is made ready before."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal
from urllib.parse import quote

from msgspec import Struct

from headrace.allowances import BudgetRule, LimitRule
from headrace.gateway.limits.measures import AtOnce, Budget, Measures, Rate, Unit
from headrace.gateway.limits.periods import Calendar
from headrace.nouns import Caller

USUAL_BURST_S = 10.0
TAG = "tag:"
OF_CALLERS = ("own:", "of:")
"""What the keys of rules begin with that come with a caller, its own and those it shares."""
Values = Mapping[str, str | None]
"""What a call is counted by: values by dimension and by `tag:NAME`."""


def values_of(caller: Caller, model: str, ip: str) -> dict[str, str | None]:
    """The values of a caller's calls to one model."""
    found: dict[str, str | None] = {
        "gateway": "",
        "tenant": caller.tenant,
        "team": caller.team,
        "user": caller.user,
        "key": caller.key_id,
        "ip": ip or None,
        "model": model,
    }
    for name, value in caller.tags:
        found[TAG + name] = value
    return found


class ReadyLimit(Struct, frozen=True):
    """A rule, but for the values that are counted apart."""

    per: tuple[str, ...]
    only: Mapping[str, Sequence[str]]
    requests: Rate | None
    """Its key is the beginning of all keys of this rule."""
    tokens: Rate | None
    """Likewise."""
    at_once: AtOnce | None
    """Likewise."""

    @classmethod
    def of(cls, scope: str, rule: LimitRule) -> ReadyLimit:
        """`scope` is what the keys begin with."""
        at_once = None
        if rule.concurrent is not None:
            begins = f"{scope}{identity(rule, 'concurrent')}|"
            at_once = AtOnce(name_of(rule, "concurrent"), begins, rule.concurrent)
        return cls(
            per=tuple(sorted(dimensions(rule))),
            only={name: _list(values) for name, values in rule.only.items()},
            requests=_rate(rule, "requests", rule.requests, scope),
            tokens=_rate(rule, "tokens", rule.tokens, scope),
            at_once=at_once,
        )


class ReadyBudget(Struct, frozen=True):
    """The same of a budget, which has a count for each unit."""

    per: tuple[str, ...]
    only: Mapping[str, Sequence[str]]
    counts: tuple[Budget, ...]
    """Their keys are the beginnings of all keys of this rule."""

    @classmethod
    def of(cls, scope: str, rule: BudgetRule, calendar: Calendar) -> ReadyBudget:
        """`scope` is what the keys begin with."""
        caps: list[tuple[Literal["usd", "tokens"], int]] = []
        if rule.usd is not None:
            caps.append(("usd", int(Decimal(rule.usd) * 1_000_000)))
        if rule.tokens is not None:
            caps.append(("tokens", rule.tokens))
        return cls(
            per=tuple(sorted(dimensions(rule))),
            only={name: _list(values) for name, values in rule.only.items()},
            counts=tuple(
                Budget(
                    name=name_of(rule, unit),
                    key=f"{scope}{identity(rule, unit)}|",
                    unit=unit,
                    cap=cap,
                    calendar=calendar,
                    soft=int(cap * rule.soft_share),
                    stop=rule.stop,
                    unpriced=rule.unpriced,
                    away_share=rule.away_share,
                )
                for unit, cap in caps
            ),
        )


class Rulebook:
    """The configuration's rules."""

    def __init__(self, limits: Sequence[LimitRule], budgets: Sequence[BudgetRule]) -> None:
        """Raises ZoneInfoNotFoundError for a time zone that does not exist."""
        self.limits = tuple(limits)
        self.budgets = tuple(budgets)
        self._calendars: dict[tuple[str, str], Calendar] = {}
        self._ready_limits = [ReadyLimit.of("", rule) for rule in self.limits]
        self._ready_budgets = [self._ready("", rule) for rule in self.budgets]
        self._by_begin = {one.key: one for ready in self._ready_budgets for one in ready.counts}

    def __bool__(self) -> bool:
        return bool(self.limits or self.budgets)

    def names_of(self, dimension: str) -> bool:
        """Whether any rule goes by this dimension."""
        rules: tuple[LimitRule | BudgetRule, ...] = (*self.limits, *self.budgets)
        return any(goes_by(rule, dimension) for rule in rules)

    def measures(self, caller: Caller, values: Values) -> Measures:
        """What concerns a caller: rules of the configuration and of its own."""
        requests: list[Rate] = []
        tokens: list[Rate] = []
        at_once: list[AtOnce] = []
        for rule in self._limits_of(caller):
            counted = _counted(rule.per, rule.only, values)
            if counted is None:
                continue
            if rule.requests is not None:
                requests.append(_keyed(rule.requests, counted))
            if rule.tokens is not None:
                tokens.append(_keyed(rule.tokens, counted))
            if rule.at_once is not None:
                one = rule.at_once
                at_once.append(AtOnce(one.name, one.key + counted, one.most))
        budgets = [
            _keyed_budget(budget, counted)
            for ready in self._budgets_of(caller)
            if (counted := _counted(ready.per, ready.only, values)) is not None
            for budget in ready.counts
        ]
        return Measures(tuple(requests), tuple(tokens), tuple(at_once), tuple(budgets))

    def budget_under(self, key: str, before: Budget | None) -> Budget | None:
        """The configuration's budget that is counted under a key; None if no rule of it says so.
        Rules that come with a caller are not known here: of theirs it is `before`."""
        begin, bar, counted = key.partition("|")
        found = self._by_begin.get(begin + bar)
        if found is not None:
            return _keyed_budget(found, counted)
        return before if begin.startswith(OF_CALLERS) else None

    def _limits_of(self, caller: Caller) -> Iterable[ReadyLimit]:
        if not (caller.limits or caller.shared_limits):
            return self._ready_limits
        own = _own(caller)
        return (
            *self._ready_limits,
            *(ReadyLimit.of(own, rule) for rule in caller.limits),
            *(ReadyLimit.of(f"of:{whose}:", rule) for whose, rule in caller.shared_limits),
        )

    def _budgets_of(self, caller: Caller) -> Iterable[ReadyBudget]:
        if not (caller.budgets or caller.shared_budgets):
            return self._ready_budgets
        own = _own(caller)
        return (
            *self._ready_budgets,
            *(self._ready(own, rule) for rule in caller.budgets),
            *(self._ready(f"of:{whose}:", rule) for whose, rule in caller.shared_budgets),
        )

    def _ready(self, scope: str, rule: BudgetRule) -> ReadyBudget:
        """Calendars are shared, for each remembers the bounds of the period that it is in."""
        key = (rule.every, rule.timezone)
        calendar = self._calendars.get(key)
        if calendar is None:
            calendar = self._calendars[key] = Calendar(*key)
        return ReadyBudget.of(scope, rule, calendar)


def _own(caller: Caller) -> str:
    return f"own:{quote(caller.key_id, safe='')}:"


def _keyed(rate: Rate, counted: str) -> Rate:
    return Rate(
        rate.name, rate.key + counted, rate.unit, rate.quota, rate.window_s, rate.step_s,
        rate.burst_s,
    )  # fmt: skip


def _keyed_budget(one: Budget, counted: str) -> Budget:
    return Budget(
        one.name, one.key + counted, one.unit, one.cap, one.calendar, one.soft, one.stop,
        one.unpriced, one.away_share,
    )  # fmt: skip


def goes_by(rule: LimitRule | BudgetRule, dimension: str) -> bool:
    """Whether a rule counts or chooses by a dimension."""
    return dimension in dimensions(rule) or dimension in rule.only


def brings(caller: Caller, dimension: str) -> bool:
    """Whether any rule that comes with a caller goes by this dimension."""
    return caller.bounded and (
        any(goes_by(rule, dimension) for rule in caller.limits)
        or any(goes_by(rule, dimension) for rule in caller.budgets)
        or any(goes_by(rule, dimension) for _, rule in caller.shared_limits)
        or any(goes_by(rule, dimension) for _, rule in caller.shared_budgets)
    )


def dimensions(rule: LimitRule | BudgetRule) -> tuple[str, ...]:
    """What the rule counts apart."""
    return (rule.per,) if isinstance(rule.per, str) else tuple(rule.per)


def name_of(rule: LimitRule | BudgetRule, unit: str) -> str:
    """For people: the rule's name, else its measure, such as `requests per user`."""
    if rule.name is not None:
        return rule.name
    per = " and ".join(dimensions(rule))
    return sys.intern(f"{unit} per {per}")  # one string for all callers, found in the caches


def identity(rule: LimitRule | BudgetRule, unit: str) -> str:
    """What makes a rule the same rule after a reload or a restart: not its amount."""
    if rule.name is not None:
        return f"{quote(rule.name, safe='')}:{unit}"
    per = "+".join(sorted(dimensions(rule)))
    only = ",".join(
        f"{quote(name, safe='')}={'/'.join(quote(v, safe='') for v in sorted(_list(values)))}"
        for name, values in sorted(rule.only.items())
    )
    if isinstance(rule, BudgetRule):
        span = f"{rule.every}@{rule.timezone}"
    else:
        span = "" if unit == "concurrent" else f"{rule.every_s:g}s"
    return f"{per}?{only}:{unit}:{span}"


def burst_of(rule: LimitRule, quota: int) -> float:
    """Seconds of the rate that may be used at once: room for one unit at least."""
    usual = min(rule.every_s, USUAL_BURST_S)
    return max(usual if rule.burst_s is None else rule.burst_s, rule.every_s / quota)


def _rate(rule: LimitRule, unit: Unit, quota: int | None, scope: str) -> Rate | None:
    if quota is None:
        return None
    return Rate(
        name=name_of(rule, unit),
        key=f"{scope}{identity(rule, unit)}|",
        unit=unit,
        quota=quota,
        window_s=rule.every_s,
        step_s=rule.every_s / quota,
        burst_s=burst_of(rule, quota),
    )


def _counted(per: Iterable[str], only: Mapping[str, Sequence[str]], values: Values) -> str | None:
    """The values that are counted apart, for a key; None if the rule is not for this caller, or it
    lacks one of them."""
    for name, wanted in only.items():
        if values.get(name) not in wanted:
            return None
    parts = []
    for dimension in per:
        value = values.get(dimension)
        if value is None:
            return None
        parts.append(quote(value, safe=""))
    return "|".join(parts)


def _list(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values
