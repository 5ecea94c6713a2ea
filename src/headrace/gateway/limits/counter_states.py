"""What is counted in this process's memory: the state behind each measure."""

from __future__ import annotations

from headrace.gateway.limits.measures import Budget


class RateState:
    """Of one rate. `arrival` is as in `gcra.py`."""

    __slots__ = ("arrival", "returned", "step_s", "users")

    def __init__(self) -> None:
        self.arrival = 0.0
        self.returned = 0.0
        """Seconds given back since it was made."""
        self.step_s = 0.0
        """Of the rate that `arrival` is told in."""
        self.users = 0

    def idle(self, now: float) -> bool:
        return self.arrival <= now


class AtOnceState:
    """Calls that run."""

    __slots__ = ("running", "users")

    def __init__(self) -> None:
        self.running = 0
        self.users = 0

    def idle(self, now: float) -> bool:
        return self.running == 0


class BudgetState:
    """Of one budget in one period."""

    __slots__ = ("budget", "ends_at", "reserved", "slot", "spent", "users")

    def __init__(self) -> None:
        self.budget: Budget | None = None
        """As it was last asked for."""
        self.slot = -1
        """Of the budgets' file."""
        self.spent = 0
        self.reserved = 0
        self.ends_at = 0.0
        """Unix seconds."""
        self.users = 0


State = RateState | AtOnceState | BudgetState
