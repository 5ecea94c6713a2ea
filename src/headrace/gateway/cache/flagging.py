"""What is said of kept answers: by clients and operators, and by other workers of the gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from headrace.data.feedback_file import Claim, Row
from headrace.gateway.cache.bound import Sighting
from headrace.gateway.cache.learning import EXACT

if TYPE_CHECKING:
    from headrace.gateway.cache.given_again import GivenAgain

Flagged = Literal["noted", "later", "no hit", "unknown"]
"""`later`: if another worker remembers the call, it hears of it within a second."""


async def flag(cache: GivenAgain, call: str, *, right: bool, tenant: str | None) -> Flagged:
    """Takes what a client of this tenant, or an operator (None), says of the answer that a call
    was given. A wrong one is not given again for that question from now on."""
    decision, learning = cache.decisions.of(call), cache.learning
    if decision is None and learning is not None and await learning.claim(call, tenant, right):
        return "later"
    if decision is None or tenant not in (None, decision.tenant):
        return "unknown"
    if decision.paid_by is None:
        return "no hit"
    if decision.flagged is False or decision.flagged is right:
        return "noted"  # who says it again knows no more
    decision.flagged = right
    pair = decision.pair
    if pair is None:  # to the very same request, or where nothing is learned
        pair = Sighting(decision.partition, -1, decision.exact, decision.exact, EXACT, 1.0)
        if not right:
            cache.drop([e for e in cache.entries() if e.call == decision.paid_by])
    if learning is not None:
        await learning.find_out(pair, decision.vector, right, "flag")
    return "noted"


async def hear(cache: GivenAgain, row: Row) -> None:
    """Takes what another worker wrote."""
    if isinstance(row, Claim):
        if cache.decisions.of(row.call) is not None:
            await flag(cache, row.call, right=row.right, tenant=row.tenant)
    elif row.kind == EXACT and not row.right:
        key = (row.partition, row.kept)
        cache.drop([e for e in cache.entries() if e.key == key and e.kept_at <= row.at])
