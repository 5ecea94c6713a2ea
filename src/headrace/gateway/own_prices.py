"""The operator's own prices, from the configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from headrace.config.pricing import OwnPrice
from headrace.gateway.price_data import PriceRow, UnitRow
from headrace.gateway.prices import OwnPrices, Price


def own_prices(written: Mapping[str, OwnPrice]) -> OwnPrices:
    """The mark is the same for the same prices, in whatever order and on whatever machine."""
    if not written:
        return OwnPrices()
    by_name = {name.lower(): row for name, row in written.items()}
    told = msgspec.json.encode(by_name, order="sorted")
    return OwnPrices(
        {name: _price(row) for name, row in by_name.items()},
        f"+own:{hashlib.sha256(told).hexdigest()[:8]}",
    )


def _price(row: OwnPrice) -> Price:
    units = UnitRow(
        audio_input=row.audio_input,
        audio_output=row.audio_output,
        image_input=row.image_input,
        audio_hour=row.per_audio_hour,
        million_characters=row.per_million_characters,
        image=row.per_image,
        thousand_searches=row.per_thousand_searches,
    )
    price = Price.of_row(
        PriceRow(
            input=row.input,
            cached=row.cached_input,
            cache_write=row.cache_write,
            output=row.output,
            reasoning=row.reasoning,
            per_thousand_requests=row.per_thousand_requests,
            units=None if units == UnitRow() else units,
        )
    )
    assert price is not None, "it has `input`"
    return price
