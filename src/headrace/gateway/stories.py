"""What was decided for the last calls that met with trouble, to explain them when they are over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from headrace.gateway.steps import Decision

Told = Callable[[], Sequence[Decision]]


class Stories:
    """By call id; the oldest are forgotten first. Plans are told only when somebody asks. Refusals
    have a place of their own, so that many at a limit leave the others' stories alone."""

    def __init__(self, most: int = 1_000) -> None:
        """`most` plans and as many refusals."""
        self._most = most
        self._plans: OrderedDict[str, Told] = OrderedDict()
        self._refusals: OrderedDict[str, Decision] = OrderedDict()

    def keep(self, call_id: str, told: Told) -> None:
        self._plans[call_id] = told
        if len(self._plans) > self._most:
            self._plans.popitem(last=False)

    def keep_refusal(self, call_id: str, at_s: float, detail: str) -> None:
        """`detail` is the sentence that the client got, `at_s` when, since the call came."""
        self._refusals[call_id] = Decision(at_s, "refused", why=detail)
        if len(self._refusals) > self._most:
            self._refusals.popitem(last=False)

    def of(self, call_id: str) -> Sequence[Decision] | None:
        """None if the call is not known, or no longer."""
        plan, refusal = self._plans.get(call_id), self._refusals.get(call_id)
        if plan is None and refusal is None:
            return None
        return [*(() if plan is None else plan()), *(() if refusal is None else (refusal,))]
