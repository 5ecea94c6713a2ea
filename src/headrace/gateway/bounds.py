"""What a call counts for that was cut off. Loads prices when the first one is asked for."""

from __future__ import annotations

from headrace.data.ledger_rows import Bound
from headrace.data.records import Intent
from headrace.gateway.prices import OwnPrices, PriceBook
from headrace.nouns import Usage

UNBOUNDED_OUTPUT_TOKENS = 4096
"""For calls that named no maximum and for which none was reserved: as much as common models give
by default."""


class Bounds:
    """Bounds by the prices that come with this version, and the operator's own."""

    def __init__(self, own: OwnPrices) -> None:
        self._own = own
        self._prices: PriceBook | None = None

    def of_intent(self, intent: Intent) -> Bound:
        """What was reserved for the call, else what it can be reckoned to have used at most."""
        if self._prices is None:
            self._prices = PriceBook.shipped(self._own)
        output = intent.output_tokens
        if output is None:
            output = 0 if intent.operation == "embeddings" else UNBOUNDED_OUTPUT_TOKENS
        cost = intent.bound_microusd
        if cost is None:
            usage = Usage(intent.input_tokens, output)
            cost = self._prices.cost_microusd(intent.provider, intent.priced_as, usage)
        return Bound(intent.input_tokens, output, cost, self._prices.version)
