"""Whether what is asked for fits. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from headrace.allowances import BudgetRule, LimitRule
from headrace.config.terms import instant_of, networks_of
from headrace.data.registry.records import UnitRecord
from headrace.gateway.administration.faults import Denied, Why

LONGEST_LIST = 1000


def invalid(param: str, detail: str) -> Denied:
    return Denied(Why.INVALID, detail, param=param)


def check_list(param: str, values: Sequence[str] | None) -> None:
    """Raises Denied(INVALID)."""
    if values is not None and not values:
        raise invalid(param, f"`{param}` is empty, so nothing would be allowed. Leave it out.")
    if values is not None and len(values) > LONGEST_LIST:
        raise invalid(param, f"`{param}` has more than {LONGEST_LIST} items.")


def check_ranges(values: Sequence[str] | None) -> None:
    """Raises Denied(INVALID)."""
    check_list("ip_ranges", values)
    try:
        networks_of(values or ())
    except ValueError as error:
        raise invalid(
            "ip_ranges", f"This is no range: {error}. Write one such as `10.0.0.0/8`."
        ) from error


def check_expires(text: str | None, now_unix_s: float) -> float | None:
    """Unix seconds. Raises Denied(INVALID)."""
    if text is None:
        return None
    try:
        instant = instant_of(text)
    except (ValueError, OverflowError) as error:
        raise invalid("expires", f"`expires` is in no calendar: {error}.") from error
    if instant <= now_unix_s:
        raise invalid("expires", "`expires` is in the past. Give a later instant.")
    return instant


def check_rules(
    limits: Sequence[LimitRule], budgets: Sequence[BudgetRule], counts_apart: bool
) -> None:
    """Raises Denied(INVALID)."""
    if counts_apart and (limits or budgets):
        raise invalid(
            "limits" if limits else "budgets",
            "Several workers would each count alone. Add `redis: {url: ...}` to headrace.yaml, "
            "by which they count together, or serve with one worker.",
        )
    for param, rules in (("limits", limits), ("budgets", budgets)):
        if len(rules) > 20:
            raise invalid(param, f"`{param}` has more than 20 items.")
    for limit in limits:
        if limit.requests is None and limit.tokens is None and limit.concurrent is None:
            raise invalid("limits", "A limit needs `requests`, `tokens` or `concurrent`.")
        _check_only("limits", limit.per, limit.only)
    for budget in budgets:
        if (budget.usd is None) == (budget.tokens is None):
            raise invalid("budgets", "A budget needs either `usd` or `tokens`.")
        try:
            ZoneInfo(budget.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise invalid(
                "budgets", f"There is no time zone {budget.timezone[:40]!r}. Write one such as UTC."
            ) from error
        _check_only("budgets", budget.per, budget.only)


def _check_only(param: str, per: str | Sequence[str], only: dict[str, str | list[str]]) -> None:
    if not per:
        raise invalid(param, "`per` is empty: name what is counted apart.")
    known = {"gateway", "tenant", "team", "user", "key", "ip", "model"}
    for name in only:
        if name not in known and not name.startswith("tag:"):
            raise invalid(param, f"`only` does not know {name[:40]!r}.")


def check_ceiling(param: str, asked: Sequence[str] | None, units: Sequence[UnitRecord]) -> None:
    """No key is promised what its tenant, team or user may not have. Raises Denied(INVALID)."""
    for unit in units:
        allowed = getattr(unit, param)
        if asked is None or allowed is None:
            continue
        beyond = sorted(set(asked) - set(allowed))
        if beyond:
            raise invalid(
                param,
                f"The {unit.kind} {unit.name!r} may not use {', '.join(beyond[:5])}. "
                f"It may use: {', '.join(allowed[:12])}.",
            )
