"""Who may be paid for a call, and how much at most."""

from __future__ import annotations

import math

from msgspec import Struct

from headrace.gateway.flat_prices import Line
from headrace.gateway.models import Chosen
from headrace.gateway.prices import PriceBook
from headrace.nouns import Call, Units, Usage

UNKNOWN_WINDOW = 131_072
"""Tokens that a model can answer when its context window is not known."""
MOST_REMEMBERED = 4_096


class SellersOf(Struct, frozen=True):
    """Of one model and operation."""

    prices: PriceBook
    names: tuple[tuple[str, str], ...]
    """Provider and model."""
    model: str
    """What the first of them calls the model."""
    longest_answer: int
    """Tokens that any of them can answer at most."""

    def line(self) -> tuple[Line | None, float]:
        """What the dearest of them takes for text, and the Unix second until which that holds. None
        where `cost_microusd` must be asked for each call."""
        quotes = [self.prices.quote(*name) for name in self.names]
        lines = {quote.line for quote in quotes}
        line = lines.pop() if len(lines) == 1 else None
        return line, min((quote.until for quote in quotes), default=math.inf)

    def cost_microusd(
        self, input_tokens: int, output_tokens: int, units: Units | None = None
    ) -> int | None:
        """What the dearest of them takes, by tokens or by `units`; None if a price is not known."""
        prices, dearest = self.prices, 0
        for seller in self.names:
            cost = prices.of_text(seller, input_tokens, output_tokens)
            if units is not None:
                counted = Usage(source="estimated", units=units)
                by_units = prices.cost_microusd(*seller, counted)
                known = [one for one in (cost, by_units) if one is not None]
                cost = max(known) if known else None
            if cost is None:
                return None
            if cost > dearest:
                dearest = cost
        return dearest


class Sellers:
    """By model, operation and the backends that may answer."""

    def __init__(self, prices: PriceBook) -> None:
        self._prices = prices
        self._known: dict[tuple[str, str, tuple[str, ...]], SellersOf] = {}

    def of(self, call: Call, chosen: Chosen) -> SellersOf:
        key = (call.model, call.operation, tuple(chosen.targets))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            known = self._known[key] = self._found(call, chosen)
        return known

    def _found(self, call: Call, chosen: Chosen) -> SellersOf:
        names = {
            (target.service.provider, target.service.priced_as or call.model)
            for target in chosen.targets.values()
        }
        windows = [self._prices.context_window(*name) or UNKNOWN_WINDOW for name in names]
        first = next((name for _, name in sorted(names)), call.model)
        return SellersOf(self._prices, tuple(sorted(names)), first, max(windows, default=0))
