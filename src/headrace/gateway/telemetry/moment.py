"""What is so just now in one worker, for who asks."""

from __future__ import annotations

from headrace.gateway.limits.gate import Gate
from headrace.gateway.parts import Parts
from headrace.gateway.telemetry.snapshot import BackendNow, BudgetNow, Moment


def moment(parts: Parts, gate: Gate | None, now: float, unix: float) -> Moment:
    """`now` is monotonic seconds, `unix` Unix seconds."""
    backends = [
        BackendNow(
            name=backend.name,
            state=backend.breaker.state(now).value,
            running=backend.load.running,
            limit=backend.limit.ceiling,
            failure_share=backend.failure_share(now),
        )
        for backend in parts.fleet.all()
    ]
    budgets = [] if gate is None else [
        BudgetNow(name, unit, share) for (name, unit), share in gate.budgets_used(unix).items()
    ]  # fmt: skip
    now_is = Moment(running=parts.running, backends=backends, budgets=budgets)
    learning = None if parts.cache is None else parts.cache.learning
    if learning is not None:
        known = learning.found_out
        now_is.hits_wrong = known.get(("shadow", False), 0)
        now_is.hits_checked = now_is.hits_wrong + known.get(("shadow", True), 0)
    return now_is
