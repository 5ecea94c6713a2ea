"""What one worker may let pass by itself while the shared counters are away. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from headrace.gateway.limits.measures import AtOnce, Budget, Measures, Rate

RETRY_S = 5.0


def share_of(measures: Measures, workers: int, outage: int) -> Measures:
    """One of so many workers' part: of rates and of calls at once the limit over their number, of
    budgets what is configured. `outage` numbers outages: each has an overdraft of its own."""
    return Measures(
        tuple(_rate(rate, workers) for rate in measures.requests),
        tuple(_rate(rate, workers) for rate in measures.tokens),
        tuple(_at_once(one, workers) for one in measures.at_once),
        tuple(_budget(budget, workers, outage) for budget in measures.budgets),
    )


def _rate(rate: Rate, workers: int) -> Rate:
    """`quota` stays as it is: it says what is too large ever, and is shown."""
    step_s = rate.step_s * workers
    return replace(rate, step_s=step_s, burst_s=max(rate.burst_s, step_s))


def _at_once(one: AtOnce, workers: int) -> AtOnce:
    return replace(one, most=max(1, one.most // workers))


def _budget(budget: Budget, workers: int, outage: int) -> Budget:
    cap = int(budget.cap * budget.away_share) // workers
    return replace(budget, key=f"{budget.key}@{outage}", cap=cap)
