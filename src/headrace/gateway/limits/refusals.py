"""What a refused caller is told: which limit, why, and when to come back."""

from __future__ import annotations

import math

from headrace.errors import Reason, Refused
from headrace.gateway.limits.answer_lines import amount, when
from headrace.gateway.limits.measures import AtOnce, Budget, Denied, Rate, Why


def refusal(denied: Denied) -> Refused:
    """For the client."""
    measure = denied.measure
    if isinstance(measure, Budget):
        return _of_budget(denied, measure)
    if isinstance(measure, AtOnce):
        return _limited(
            f"The limit {measure.name!r} allows {_count(measure.most, 'call')} at once, and as "
            "many run. Try again when one of them has ended.",
            denied.retry_after_s,
        )
    return _of_rate(denied, measure)


def _of_rate(denied: Denied, rate: Rate) -> Refused:
    span = _span(rate.window_s)
    allows = f"The limit {rate.name!r} allows {_count(rate.quota, rate.unit[:-1])} per {span}"
    at_once = int(rate.burst_s / rate.step_s + 1e-6)
    if at_once < rate.quota:
        allows += f", evenly spread: {at_once:,} at once, then {_flow(rate)}"
    if denied.why is Why.TOO_LARGE:
        refused = _limited(
            f"{allows}, and this call alone may use {denied.needed:,}. Shorten the prompt or ask "
            "for fewer tokens with `max_tokens`.",
            None,
        )
        refused.exhausted = True
        return refused
    wait_s = max(1, math.ceil(denied.retry_after_s or 0.0))
    if rate.unit == "tokens":
        return _limited(
            f"{allows}, and this call may use {denied.needed:,}. Try again in {wait_s} s, or ask "
            "for fewer tokens with `max_tokens`.",
            denied.retry_after_s,
        )
    return _limited(f"{allows}. Try again in {wait_s} s.", denied.retry_after_s)


def _flow(rate: Rate) -> str:
    if rate.step_s > 1:
        return f"one every {rate.step_s:.3g} s"
    each_second = 1 / rate.step_s
    return f"{each_second:,.0f} a second" if each_second >= 10 else f"{each_second:.2g} a second"


def _limited(detail: str, retry_after_s: float | None) -> Refused:
    return Refused(Reason.RATE_LIMITED, detail, retry_after_s=retry_after_s)


def _of_budget(denied: Denied, budget: Budget) -> Refused:
    cap, spent = amount(budget, budget.cap), amount(budget, denied.spent)
    known = f"The budget {budget.name!r} of {cap} a {budget.calendar.every}"
    again = f"It begins anew at {when(denied.resets_at)}."
    retry_after_s = denied.retry_after_s
    match denied.why:
        case Why.UNPRICED:
            detail = (
                f"{known} is in dollars, and the price of this model is not known here, so that "
                "the call can't be bounded. Whoever runs this gateway can set its price, or "
                "`unpriced: allow` for this budget."
            )
        case Why.AWAY:
            detail = (
                f"{known} can't be looked up just now, so calls that it pays for have to wait. "
                "Please try again shortly."
            )
        case Why.RESERVED:
            detail = (
                f"{known} has {spent} used, and calls that run may use the rest. Try again when "
                "they have ended, or ask for fewer tokens with `max_tokens`."
            )
        case Why.TOO_LARGE:
            needed = amount(budget, denied.needed)
            detail = (
                f"{known} does not cover this call, which may use {needed}. Shorten the prompt or "
                f"ask for fewer tokens with `max_tokens`. {spent} are used."
            )
        case _:
            detail = f"{known} is used up: {spent} are spent. {again}"
            if denied.spent < budget.cap:
                needed = amount(budget, denied.needed)
                detail = (
                    f"{known} has {spent} used, and this call may use {needed}. Ask for fewer "
                    f"tokens with `max_tokens`. {again}"
                )
    refused = Refused(Reason.BUDGET_SPENT, detail, retry_after_s=retry_after_s)
    refused.exhausted = denied.why not in (Why.AWAY, Why.RESERVED)
    if denied.why is Why.AWAY:
        refused.reason = Reason.BUDGET_AWAY
    return refused


def _count(number: int, unit: str) -> str:
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def _span(seconds: float) -> str:
    for length, name in ((86_400.0, "day"), (3_600.0, "hour"), (60.0, "minute"), (1.0, "second")):
        if seconds == length:
            return name
        if seconds > length and seconds % length == 0:
            return f"{seconds / length:g} {name}s"
    return f"{seconds:g} seconds"
