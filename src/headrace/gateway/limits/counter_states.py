"""What is counted in this process's memory: the state behind each measure."""

from __future__ import annotations

from headrace.data.budget_file import BudgetFile
from headrace.gateway.limits import gcra
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

    def settle(
        self, stake: gcra.Stake, reserved: int, used: int, step_s: float, now: float
    ) -> None:
        """Replaces tokens that were reserved by those that were used; `step_s` is of one."""
        surplus = reserved - used
        if surplus > 0:
            back_s = gcra.refund_s(stake, reserved * step_s, surplus * step_s, self.returned, now)
            self.arrival -= back_s
            self.returned += back_s
        else:
            self.arrival = gcra.taken(self.arrival, -surplus * step_s, now)


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

    def settle(self, amount: int, period: float, spent: int, file: BudgetFile | None) -> None:
        """Replaces what was reserved by what was spent, unless the period that it was reserved in
        is over. Both are in the budget's unit."""
        if self.ends_at == period:
            self.reserved -= amount
            self.spent += spent
            if file is not None:
                file.write(self.slot, self.spent, self.reserved)


State = RateState | AtOnceState | BudgetState
