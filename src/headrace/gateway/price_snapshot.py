"""Makes `prices.json` from the installed package genai-prices: `make lock` runs
`python -m headrace.gateway.price_snapshot`.

The package itself would cost each worker 96 MB, half a second at the start and 0.1 ms a call, so
it serves development only.
"""

from __future__ import annotations

import importlib.metadata
import sys
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from headrace.gateway import price_data as data
from headrace.gateway.prices import SHIPPED

if TYPE_CHECKING:
    from genai_prices import types

FREE_SUFFIX = ":free"
KINDS = ("input", "cached", "cache_write", "output", "reasoning")
PACKAGE_KINDS = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "output_mtok",
    "output_reasoning_mtok",
)

UNIT_KINDS = MappingProxyType(
    {
        "audio_input": "input_audio_mtok",
        "audio_output": "output_audio_mtok",
        "image_input": "input_image_mtok",
        "audio_hour": "audio_hours",
        "million_characters": "input_mchars",
    }
)


def snapshot() -> bytes:
    """The JSON of `data.Snapshot`, one model a line. Raises ValueError for data that the format
    cannot express."""
    from genai_prices.data import providers

    encode = msgspec.json.encode
    blocks = []
    for provider in providers:
        rows = b",\n".join(_line(_model(model)) for model in provider.models)
        row = data.ProviderRow(
            id=provider.id,
            url=provider.api_pattern,
            models=msgspec.Raw(b"[\n" + rows + b"\n]"),
            match=None if provider.provider_match is None else _match(provider.provider_match),
            fallback=tuple(provider.fallback_model_providers or ()),
        )
        blocks.append(encode(row))
    version = f"genai-prices {importlib.metadata.version('genai-prices')}"
    return b'{"version":%b,"providers":[\n%b\n]}\n' % (encode(version), b",\n".join(blocks))


def _match(rule: types.MatchLogic) -> data.Match:
    from genai_prices import types

    match rule:
        case types.ClauseEquals(equals):
            return equals.lower()
        case types.ClauseStartsWith(text):
            return data.StartsWith(text.lower())
        case types.ClauseEndsWith(text):
            return data.EndsWith(text.lower())
        case types.ClauseContains(text):
            return data.Contains(text.lower())
        case types.ClauseRegex(pattern):
            return data.Regex(pattern)
        case types.ClauseOr(of):
            return data.AnyOf(tuple(_match(part) for part in of))
        case types.ClauseAnd(of):
            return data.AllOf(tuple(_match(part) for part in of))
    raise ValueError(f"a new kind of rule: {rule!r}")


def _model(model: types.ModelInfo) -> data.ModelRow:
    prices: data.PriceRow | tuple[data.Dated, ...]
    if isinstance(model.prices, list):
        prices = tuple(_dated(model.id, price) for price in model.prices)
    else:
        prices = _price(model.id, model.prices)
    deprecated = bool(model.deprecated)
    return data.ModelRow(model.id, _match(model.match), model.context_window, prices, deprecated)


def _line(row: data.ModelRow) -> bytes:
    """Of what is not deprecated, which is nearly all, the last field is left out."""
    line = msgspec.json.encode(row)
    return line if row.deprecated else line.removesuffix(b",false]") + b"]"


def _dated(id: str, price: types.ConditionalPrice) -> data.Dated:
    from genai_prices import types

    row = _price(id, price.prices)
    match price.constraint:
        case None:
            return data.Dated(row)
        case types.StartDateConstraint(start_date):
            return data.Dated(row, since=start_date)
        case types.TimeOfDateConstraint(start, end):
            for edge in (start, end):
                if edge.utcoffset() or edge.second or edge.microsecond:
                    raise ValueError(f"{id}: not a whole minute of UTC: {edge!r}")
            return data.Dated(row, daily=(start.replace(tzinfo=None), end.replace(tzinfo=None)))
    raise ValueError(f"{id}: a new kind of constraint: {price.constraint!r}")


def _price(id: str, price: types.ModelPrice) -> data.PriceRow:
    if not any(value is not None for value in vars(price).values()):
        # The package also leaves prices empty for models whose price is part of a subscription
        # or that it does not know. Only this name promises that they cost nothing.
        return data.PriceRow("0", "0", output="0") if id.endswith(FREE_SUFFIX) else data.PriceRow()
    parts = [getattr(price, kind) for kind in PACKAGE_KINDS]
    if parts[0] is None:
        if any(part is not None for part in parts):
            raise ValueError(f"{id}: prices by tokens, but none for input tokens")
        return data.PriceRow(units=_units(price))
    requests = price.requests_kcount
    if requests is not None and not isinstance(requests, Decimal):
        raise ValueError(f"{id}: requests priced in tiers")
    starts = sorted({tier.start for part in parts for tier in getattr(part, "tiers", ())})
    return data.PriceRow(
        **_rates(parts, 0),
        per_thousand_requests=None if requests is None else format(requests, "f"),
        units=_units(price),
        above=tuple((start, data.RateRow(**_rates(parts, start))) for start in starts),
    )


def _units(price: types.ModelPrice) -> data.UnitRow | None:
    """Of what is no token of text; in tiers, the first."""
    found = {
        kind: format(part if isinstance(part, Decimal) else _tier(part, 0), "f")
        for kind, name in UNIT_KINDS.items()
        if (part := getattr(price, name, None)) is not None
    }
    return data.UnitRow(**found) if found else None


def _rates(parts: list[Decimal | types.TieredPrices | None], above: int) -> dict[str, str]:
    """The fields of a `data.RateRow` for calls with a token more than `above`."""
    return {
        kind: format(part if isinstance(part, Decimal) else _tier(part, above), "f")
        for kind, part in zip(KINDS, parts, strict=True)
        if part is not None
    }


def _tier(part: types.TieredPrices, above: int) -> Decimal:
    return [part.base, *(tier.price for tier in part.tiers if tier.start <= above)][-1]


def main() -> None:
    try:
        made = snapshot()
    except ModuleNotFoundError as error:
        sys.exit(f"{error}. It comes with the development tools: pip install 'headrace[dev]'")
    SHIPPED.write_bytes(made)
    print(f"{SHIPPED}: {len(made)} bytes")


if __name__ == "__main__":
    main()
