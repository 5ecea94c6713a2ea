"""Steps of a call in C. Each does all of what its twin in Python does and returns what is true, or
does nothing: where a call needs anything unusual, or an object is not of the class it should be."""

from typing import Any, Literal, final

from headrace.data.journal import Journal
from headrace.data.records import Settlement
from headrace.gateway.flat_prices import FlatRates
from headrace.gateway.limits.answer_lines import Lines
from headrace.gateway.limits.one_of_each import Few
from headrace.gateway.limits.reckoning import Terms
from headrace.gateway.models import Target
from headrace.gateway.progress import Progress
from headrace.nouns import Call, Usage

SOURCES: str
"""The `digest` of what it was made of."""

@final
class Steps:
    def __new__(cls, **classes: Any) -> Steps:
        """Classes by their names, whose fields are looked up. Raises AttributeError, TypeError if
        one is not as it should be."""

    def admit(
        self,
        call: Call,
        few: Few,
        lines: Lines,
        terms: Terms | None,
        reserve: Literal["usd", "tokens"] | None,
        assumed: int,
        now: float,
        unix: float,
    ) -> bool:
        """`Reckoning.need`, `one_of_each.take` and `Lines.standing`: fills in what the call has
        reserved, what it holds, and its header lines. `terms` is None where its size does not
        matter; `assumed` is of an answer that nobody bounds. `now` is monotonic seconds, `unix` is
        Unix seconds."""

    def price(self, flat: dict[tuple[str, str], FlatRates], call: Call, progress: Progress) -> bool:
        """`Metering.price`, of what an upstream told itself."""

    def intend(
        self, journal: Journal, call: Call, target: Target, progress: Progress, at_us: int
    ) -> bool:
        """`Metering.intend`. `at_us` is Unix microseconds."""

    def settle(
        self,
        journal: Journal,
        call: Call,
        progress: Progress,
        usage: Usage,
        version: str,
        at_us: int,
        now: float,
    ) -> Settlement | None:
        """`Metering.settle`. `version` is that of the prices, `now` is monotonic seconds."""
