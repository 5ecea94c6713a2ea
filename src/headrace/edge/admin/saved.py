"""What was saved, for those tenants that the key may see."""

from __future__ import annotations

from msgspec import Struct

from headrace.data.ledger_savings import Savings, added_up
from headrace.edge.admin.route import Ask
from headrace.edge.admin.used import asked_of_ledger


class PatternView(Struct, frozen=True, kw_only=True):
    """Calls that got an answer made for another, and what that had cost, in micro-dollars."""

    calls: int
    saved_microusd: int
    without_cost: int
    """Calls whose answer had cost nothing, or what is not known: nothing is counted for them."""


class CapsView(Struct, frozen=True, kw_only=True):
    """Of answers that reached a cap of tokens: bounds of what that saved, in micro-dollars."""

    calls: int
    least_microusd: int
    most_microusd: int
    unbounded: int
    """Calls of which no upper bound is known; `most_microusd` is of the others."""


class SavingsLine(Struct, frozen=True, kw_only=True):
    """What one group saved. Money is in micro-dollars."""

    group: dict[str, str]
    """What its calls have in common; `time` is the second at which a step begins."""
    cost_microusd: int
    saved_microusd: int
    """Measured: the sum of the patterns, without what caps may have saved."""
    without_microusd: int
    """What the same calls would have cost."""
    patterns: dict[str, PatternView]
    """exact, semantic, shared (equal calls in flight), replay (repeats of a call); cache is of
    rows that an older Headrace stored."""
    caps: CapsView
    kept_calls: int
    """Answered by a kept answer in an outage: no saving."""


class SavingsView(Struct, frozen=True, kw_only=True):
    """What was saved."""

    lines: list[SavingsLine]


def saved(ask: Ask) -> SavingsView:
    """Raises Denied."""
    names, lines = asked_of_ledger(ask, Savings)
    return SavingsView(
        lines=[
            SavingsLine(
                group=dict(zip(names, line.group, strict=True)),
                cost_microusd=line.cost_microusd,
                saved_microusd=line.saved_microusd,
                without_microusd=line.cost_microusd + line.saved_microusd,
                patterns={
                    name: PatternView(
                        calls=saving.calls,
                        saved_microusd=saving.saved_microusd,
                        without_cost=saving.without_cost,
                    )
                    for name, saving in line.patterns.items()
                },
                caps=CapsView(
                    calls=line.caps.calls,
                    least_microusd=0,
                    most_microusd=line.caps.most_microusd,
                    unbounded=line.caps.unbounded,
                ),
                kept_calls=line.kept,
            )
            for line in added_up(lines, lambda group: group)
        ]
    )
