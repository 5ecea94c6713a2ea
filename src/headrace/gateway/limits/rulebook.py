"""Which rules concern a call, and under which keys it is counted. Pure; done once for each caller
and model, not for each call."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote

from headrace.allowances import BudgetRule, LimitRule
from headrace.gateway.limits.measures import AtOnce, Budget, Measures, Rate, Unit
from headrace.gateway.limits.periods import Calendar
from headrace.nouns import Caller

USUAL_BURST_S = 10.0
TAG = "tag:"
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


class Rulebook:
    """The configuration's rules."""

    def __init__(self, limits: Sequence[LimitRule], budgets: Sequence[BudgetRule]) -> None:
        """Raises ZoneInfoNotFoundError for a time zone that does not exist."""
        self.limits = tuple(limits)
        self.budgets = tuple(budgets)
        self._calendars: dict[tuple[str, str], Calendar] = {}
        for rule in self.budgets:
            self._calendar(rule)

    def __bool__(self) -> bool:
        return bool(self.limits or self.budgets)

    def names_of(self, dimension: str) -> bool:
        """Whether any rule goes by this dimension."""
        rules: tuple[LimitRule | BudgetRule, ...] = (*self.limits, *self.budgets)
        return any(goes_by(rule, dimension) for rule in rules)

    def measures(self, caller: Caller, values: Values) -> Measures:
        """What concerns a caller: rules of the configuration and of its own."""
        own = f"own:{quote(caller.key_id, safe='')}:"
        requests: list[Rate] = []
        tokens: list[Rate] = []
        at_once: list[AtOnce] = []
        for scope, limit in (
            *(("", rule) for rule in self.limits),
            *((own, rule) for rule in caller.limits),
            *((f"of:{whose}:", rule) for whose, rule in caller.shared_limits),
        ):
            if not _concerns(limit.only, values):
                continue
            counted = _counted(limit.per, values)
            if counted is None:
                continue
            requests += _rates(limit, "requests", limit.requests, scope, counted)
            tokens += _rates(limit, "tokens", limit.tokens, scope, counted)
            if limit.concurrent is not None:
                at_once.append(
                    AtOnce(
                        name=name_of(limit, "concurrent"),
                        key=f"{scope}{identity(limit, 'concurrent')}|{counted}",
                        most=limit.concurrent,
                    )
                )
        return Measures(
            tuple(requests), tuple(tokens), tuple(at_once), tuple(self._budgets(caller, values))
        )

    def _budgets(self, caller: Caller, values: Values) -> Iterator[Budget]:
        own = f"own:{quote(caller.key_id, safe='')}:"
        for scope, rule in (
            *(("", rule) for rule in self.budgets),
            *((own, rule) for rule in caller.budgets),
            *((f"of:{whose}:", rule) for whose, rule in caller.shared_budgets),
        ):
            if not _concerns(rule.only, values):
                continue
            counted = _counted(rule.per, values)
            if counted is not None:
                yield from self._made(rule, scope, counted)

    def _made(self, rule: BudgetRule, scope: str, counted: str) -> Iterator[Budget]:
        caps: list[tuple[str, int]] = []
        if rule.usd is not None:
            caps.append(("usd", int(Decimal(rule.usd) * 1_000_000)))
        if rule.tokens is not None:
            caps.append(("tokens", rule.tokens))
        for unit, cap in caps:
            yield Budget(
                name=name_of(rule, unit),
                key=f"{scope}{identity(rule, unit)}|{counted}",
                unit="usd" if unit == "usd" else "tokens",
                cap=cap,
                calendar=self._calendar(rule),
                soft=int(cap * rule.soft_share),
                stop=rule.stop,
                unpriced=rule.unpriced,
                away_share=rule.away_share,
            )

    def _calendar(self, rule: BudgetRule) -> Calendar:
        """Shared, for each remembers the bounds of the period that it is in."""
        key = (rule.every, rule.timezone)
        calendar = self._calendars.get(key)
        if calendar is None:
            calendar = self._calendars[key] = Calendar(*key)
        return calendar


def goes_by(rule: LimitRule | BudgetRule, dimension: str) -> bool:
    """Whether a rule counts or chooses by a dimension."""
    return dimension in dimensions(rule) or dimension in rule.only


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


def _rates(
    rule: LimitRule, unit: Unit, quota: int | None, scope: str, counted: str
) -> Iterator[Rate]:
    if quota is not None:
        yield Rate(
            name=name_of(rule, unit),
            key=f"{scope}{identity(rule, unit)}|{counted}",
            unit=unit,
            quota=quota,
            window_s=rule.every_s,
            step_s=rule.every_s / quota,
            burst_s=burst_of(rule, quota),
        )


def _counted(per: str | Iterable[str], values: Values) -> str | None:
    """The values that are counted apart, for a key; None if the caller lacks one of them."""
    parts = []
    for dimension in sorted([per] if isinstance(per, str) else per):
        value = values.get(dimension)
        if value is None:
            return None
        parts.append(quote(value, safe=""))
    return "|".join(parts)


def _concerns(only: Mapping[str, str | list[str]], values: Values) -> bool:
    return all(values.get(name) in _list(wanted) for name, wanted in only.items())


def _list(values: str | list[str]) -> list[str]:
    return [values] if isinstance(values, str) else values
