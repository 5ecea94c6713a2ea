"""Prices by the number of tokens alone, by which most calls are reckoned. Plain data."""

from __future__ import annotations

from msgspec import Struct


class Line(Struct, frozen=True, gc=False):
    """What text costs where it goes by the number of tokens alone, as integers over `scale`."""

    per_request: int
    input: int
    output: int
    scale: int

    def cost_microusd(self, input_tokens: int, output_tokens: int) -> int:
        """Rounded up."""
        total = self.per_request + input_tokens * self.input + output_tokens * self.output
        return -(-total // self.scale)


class FlatRates(Struct, frozen=True, gc=False):
    """A price that is the same for every call and knows tokens of text alone, as integers over
    `scale`."""

    per_request: int
    input: int
    output: int
    cached: int
    reasoning_more: int
    """What a reasoning token costs beyond what each token of output does."""
    scale: int
