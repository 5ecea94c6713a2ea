"""What the list of models tells of each: window, longest answer, modalities, prices, regions, days.

Windows, prices and what is deprecated come from the snapshot of genai-prices, as the costs in the
ledger do; the rest, and what the operator knows better, from the configuration. What neither knows
is left out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from headrace.gateway.models import Models, Target
from headrace.gateway.prices import Price, PriceBook, Rates
from headrace.gateway.unit_rates import MS_PER_HOUR, NO_RATES, UnitRates
from headrace.nouns import Caller

Facts = dict[str, Any]
"""Members of a JSON object; those that are not known are not in it."""
PER_TOKENS = 1_000_000
MICRO = 1_000_000
SMALLEST = Decimal("1e-9")
"""A millisecond's price is a rounded one: so much of an hour's is exact."""


class Listed(Struct, frozen=True):
    """A model's name and what is told of it."""

    name: str
    facts: Facts


def listed(models: Models, names: Iterable[str], caller: Caller, prices: PriceBook) -> list[Listed]:
    """Of models that the caller may ask for, with those backends alone that may answer it."""
    return [Listed(name, facts(name, models.answering(name, caller), prices)) for name in names]


def facts(name: str, targets: Sequence[Target], prices: PriceBook) -> Facts:
    """What holds of a model whichever of its backends answers, and under `offers` what each is.

    Of windows and longest answers it is the least, if all are known; of modalities and regions all
    that occur; price and days are told if they are the same everywhere. Prices are US dollars as
    decimal text, for `per_tokens` tokens.
    """
    offers = [_offer(name, target, prices) for target in targets]
    found: Facts = {
        "context_window": _least(offers, "context_window"),
        "max_output_tokens": _least(offers, "max_output_tokens"),
        "input_modalities": _union(offers, "input_modalities"),
        "output_modalities": _union(offers, "output_modalities"),
        "capabilities": _union(offers, "capabilities"),
        "regions": sorted({offer["region"] for offer in offers if "region" in offer}) or None,
        "pricing": _same(offers, "pricing"),
        "deprecated": _same(offers, "deprecated"),
        "deprecated_on": _same(offers, "deprecated_on"),
        "retires_on": _same(offers, "retires_on"),
        "offers": offers,
    }
    return _known(found)


def _offer(name: str, target: Target, prices: PriceBook) -> Facts:
    card, provider = target.card, target.service.provider
    model = target.service.priced_as or name
    price = prices.price_of(provider, model)
    return _known(
        {
            "backend": target.name,
            "provider": None if provider == "unknown" else provider,
            "region": target.region,
            "context_window": target.context_tokens or prices.context_window(provider, model),
            "max_output_tokens": card.max_output_tokens,
            "input_modalities": card.input,
            "output_modalities": card.output,
            "capabilities": None if target.capabilities is None else sorted(target.capabilities),
            "pricing": None if price is None else pricing(price, prices.version),
            "deprecated": prices.is_deprecated(provider, model) or None,
            "deprecated_on": card.deprecated_on,
            "retires_on": card.retires_on,
        }
    )


def pricing(price: Price, version: str) -> Facts:
    """A price as JSON. `version` is that of all the prices it stands among."""
    request = _dollars(price.per_request, price.scale * PER_TOKENS)
    rates = _rates(price.rates, price.scale) if price.by_tokens else {}
    tiers = [
        {"above_input_tokens": above, **_rates(rates, price.scale)}
        for above, rates in reversed(price.tiers)
    ]
    return _known(
        {
            "currency": "USD",
            "per_tokens": PER_TOKENS,
            **rates,
            **_units(price.units or NO_RATES),
            "per_request": request if price.per_request else None,
            "tiers": tiers or None,
            "version": version,
        }
    )


def _rates(rates: Rates, scale: int) -> Facts:
    """Reasoning is told where it does not cost as other output does."""
    return _known(
        {
            "input": _dollars(rates.input, scale),
            "cached_input": _dollars(rates.cached, scale),
            "cache_write": _dollars(rates.cache_write, scale),
            "output": None if rates.output is None else _dollars(rates.output, scale),
            "reasoning": None
            if rates.reasoning is None or rates.reasoning == rates.output
            else _dollars(rates.reasoning, scale),
        }
    )


def _units(rates: UnitRates) -> Facts:
    """Tokens that are no text, for `per_tokens` of them, and what is counted otherwise."""
    hour = None if rates.audio_ms is None else rates.audio_ms * MS_PER_HOUR / MICRO
    amounts = {
        "audio_input": rates.audio_input,
        "audio_output": rates.audio_output,
        "image_input": rates.image_input,
        "audio_hour": None if hour is None else hour.quantize(SMALLEST),
        "million_characters": rates.character,
        "image": None if rates.image is None else rates.image / MICRO,
        "thousand_searches": None if rates.search is None else rates.search / 1_000,
    }
    return {name: format(a.normalize(), "f") for name, a in amounts.items() if a is not None}


def _dollars(amount: int, scale: int) -> str:
    """Exact: prices have a few digits after the point, and their scale is made of 2 and 5."""
    return format((Decimal(amount) / scale).normalize(), "f")


def _known(found: Facts) -> Facts:
    return {name: value for name, value in found.items() if value is not None}


def _least(offers: Sequence[Facts], member: str) -> int | None:
    """None if it is not known of each."""
    known = [offer[member] for offer in offers if member in offer]
    return min(known) if known and len(known) == len(offers) else None


def _union(offers: Sequence[Facts], member: str) -> list[str] | None:
    found = dict.fromkeys(value for offer in offers for value in offer.get(member, ()))
    return list(found) or None


def _same(offers: Sequence[Facts], member: str) -> Any:
    """None where one of them says something else, or nothing."""
    first = offers[0].get(member) if offers else None
    return first if all(offer.get(member) == first for offer in offers) else None
