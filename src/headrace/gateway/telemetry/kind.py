"""What calls have alike, as far as they are counted and told."""

from __future__ import annotations

from headrace.gateway.telemetry.tally import Tally


class Kind:
    """At hand for whoever counts or tells calls. Each attribute is set where somebody does."""

    __slots__ = ("after", "before", "tally")

    tally: Tally
    before: str
    """Of a line: what stands before its figures."""
    after: str
    """What stands behind them."""
