"""The pages of the console: all there are, in the order of the navigation."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.console.live import Live
from headrace.console.page import Page
from headrace.console.pages import overview


def pages(live: Live) -> Sequence[Page]:
    """`live` knows what is so just now."""
    return (overview.page(live),)
