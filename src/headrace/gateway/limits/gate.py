"""The steps of the pipeline: before a call, whether its caller may make it; the rest is `settle` of
what it then holds."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Iterator
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from headrace.gateway.limits import answer_lines
from headrace.gateway.limits.counters import Counters, Verdict
from headrace.gateway.limits.measures import Budget, Denied, Measures, Standing
from headrace.gateway.limits.one_of_each import Few
from headrace.gateway.limits.reckoning import NOTHING, Reckoning
from headrace.gateway.limits.refusals import refusal
from headrace.gateway.limits.rulebook import Rulebook, brings, values_of
from headrace.gateway.limits.token_caps import TokenCaps
from headrace.gateway.models import Chosen
from headrace.nouns import Call, Caller

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps

log = logging.getLogger("headrace.limits")

MOST_PLANS = 250_000
"""Callers and models that are remembered at once; the oldest goes first."""
MOST_LINES = 1_000
SWEPT_AT_ONCE = 64
PlanKey = tuple[str, str | None, str | None, str | None]
"""Key, user, and the model and the address where they matter."""


class Plan:
    """What one caller's calls go through."""

    __slots__ = ("bound", "caller", "concerned", "few", "lines", "reckoned", "reserve", "used")

    def __init__(
        self,
        caller: Caller,
        measures: Measures,
        bound: Any,
        few: Few | None,
        lines: answer_lines.Lines,
    ) -> None:
        self.caller = caller
        self.bound = bound
        self.few = few
        """For the steps in C; None where these cannot take it."""
        self.lines = lines
        self.concerned = bool(measures)
        """Anything measures its calls."""
        self.reckoned = bool(measures.tokens or measures.budgets)
        """It matters how large a call is."""
        self.reserve = measures.reserve
        self.used = True
        """Since the sweep last came by."""


class Gate:
    """Admits calls under one configuration."""

    def __init__(
        self,
        rulebook: Rulebook,
        caps: TokenCaps,
        reckoning: Reckoning,
        counters: Counters[Any],
        steps: Steps | None = None,
    ) -> None:
        """`steps` are those in C; None takes all in Python."""
        self._steps = steps if reckoning.estimates else None
        self._rulebook = rulebook
        self._caps = caps if caps else None
        self._reckoning = reckoning
        self._counters = counters
        counters.recall(rulebook.budget_under)
        self._by_model = rulebook.names_of("model")
        self._by_ip = rulebook.names_of("ip")
        self._plans: dict[PlanKey, Plan] = {}
        self._near: dict[int, Plan] = {}
        """By the caller itself, as the keyring has it, where neither the model nor the address
        matters: of a hundred thousand callers, one look at what no cache holds less."""
        self._sweep: Iterator[PlanKey] | None = None
        self._warned: dict[str, float] = {}
        self._lines: dict[tuple[object, ...], answer_lines.Lines] = {}

    def admit(self, call: Call, chosen: Chosen) -> Awaitable[None] | None:
        """Caps the call's answer and takes what it may use from all limits and budgets that
        concern it, or nothing. Raises Refused(TOKENS_OVER_CAP, RATE_LIMITED, BUDGET_SPENT,
        BUDGET_AWAY). What is returned must be awaited before the call goes on. A call that holds
        what it may use takes nothing more."""
        if call.hold is not None:
            return None
        if self._caps is not None:
            self._caps.apply(call)
        caller = call.caller
        plan = self._near.get(id(caller))
        if plan is None or plan.caller is not caller:
            plan = self._plan_of(call, caller)
        plan.used = True
        if not plan.concerned:
            return None
        unix, now, need, few = time.time(), time.monotonic(), NOTHING, plan.few
        if few is not None and self._steps is not None:  # in C, all that follows, or nothing
            reckoning = self._reckoning
            terms = reckoning.terms(call, chosen, unix) if plan.reckoned else None
            if self._steps.admit(
                call, few, plan.lines, terms, plan.reserve, reckoning.assumed, now, unix
            ):
                return None
        if plan.reckoned:
            need = self._reckoning.need(call, chosen, plan.reserve, unix)
        verdict = self._counters.take(plan.bound, need, now, unix)
        if type(verdict) is CoroutineType:
            return self._awaited(call, plan, verdict)
        self._take_up(call, plan, verdict)
        return None

    def _plan_of(self, call: Call, caller: Caller) -> Plan:
        """The plan that is not found by the caller itself."""
        key = (
            caller.key_id,
            caller.user,
            call.model if self._by_model or brings(caller, "model") else None,
            call.ip if self._by_ip or brings(caller, "ip") else None,
        )
        plan = self._plans.get(key)
        if plan is None or (plan.caller is not caller and plan.caller != caller):
            plan = self._planned(call, key)
        if key[2] is None and key[3] is None:
            self._near.pop(id(plan.caller), None)
            plan.caller = caller  # the same or its twin, as after a rotation
            self._near[id(caller)] = plan
        return plan

    def sweep(self) -> None:
        """One small step towards forgetting who has not called for long."""
        for _ in range(SWEPT_AT_ONCE):
            key = next(self._sweep, None) if self._sweep is not None else None
            if key is None:
                self._sweep = iter(list(self._plans))
                break
            plan = self._plans.get(key)
            if plan is None:
                continue
            if not plan.used:
                self._forget(key)
            plan.used = False
        self._counters.sweep(time.monotonic(), time.time())

    def budgets_used(self, unix: float) -> dict[tuple[str, str], float]:
        """By name and unit of each budget: the share used by the caller who used most of it."""
        used: dict[tuple[str, str], float] = {}
        for budget, spent in self._counters.spent(unix):
            key = (budget.name, budget.unit)
            used[key] = max(used.get(key, 0.0), spent / max(1, budget.cap))
        return used

    def close(self) -> None:
        """Another gate takes its place."""
        for plan in self._plans.values():
            self._counters.release(plan.bound)
        self._plans.clear()
        self._near.clear()

    async def _awaited(self, call: Call, plan: Plan, verdict: Awaitable[Verdict]) -> None:
        self._take_up(call, plan, await verdict)

    def _take_up(self, call: Call, plan: Plan, verdict: Verdict) -> None:
        if isinstance(verdict, Denied):
            call.standing = answer_lines.denied_lines(verdict, plan.lines.policy)
            raise refusal(verdict)
        call.hold = verdict
        standing = verdict.standing
        call.standing = plan.lines.standing(standing)
        if standing.budget is not None:
            self._warn(standing.budget, standing)

    def _planned(self, call: Call, key: PlanKey) -> Plan:
        if key in self._plans:
            self._forget(key)
        elif len(self._plans) >= MOST_PLANS:
            self._forget(next(iter(self._plans)))
        caller = call.caller
        measures = self._rulebook.measures(caller, values_of(caller, call.model, call.ip))
        bound = self._counters.bind(measures, time.monotonic())
        few = None if self._steps is None else self._counters.few(bound)
        plan = Plan(caller, measures, bound, few, self._lines_of(measures))
        self._plans[key] = plan
        return plan

    def _lines_of(self, measures: Measures) -> answer_lines.Lines:
        kinds = answer_lines.kinds(measures)
        lines = self._lines.get(kinds)
        if lines is None:
            if len(self._lines) >= MOST_LINES:
                self._lines.clear()
            lines = self._lines[kinds] = answer_lines.Lines(measures)
        return lines

    def _forget(self, key: PlanKey) -> None:
        plan = self._plans.pop(key)
        self._near.pop(id(plan.caller), None)
        self._counters.release(plan.bound)

    def _warn(self, budget: Budget, standing: Standing) -> None:
        """An alert once for each period."""
        if self._warned.get(budget.key) == standing.resets_at:
            return
        self._warned[budget.key] = standing.resets_at
        used = answer_lines.amount(budget, standing.spent)
        cap = answer_lines.amount(budget, budget.cap)
        log.warning(
            "a budget is nearly used up",
            extra={"detail": f"{budget.name} ({budget.key}): {used} of {cap}"},
        )
