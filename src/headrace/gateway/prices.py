"""What a call costs: prices of models by provider, from `prices.json`. See docs/prices.md."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct, structs

from headrace.gateway.flat_prices import FlatRates, Line
from headrace.gateway.price_data import (
    ModelRow,
    PriceRow,
    ProviderRow,
    RateRow,
    Snapshot,
    find_model,
    models_of,
)
from headrace.gateway.unit_rates import NO_RATES, UnitRates
from headrace.nouns import Units, Usage

SHIPPED = Path(__file__).with_name("prices.json")
LOCAL = "local"
"""The provider of the models that run in this process's own house."""
MOST_REMEMBERED = 1024
LONGEST_NAME = 256
"""Longer names of models are neither looked up nor remembered: no provider has any."""
MINUTE_S = 60


class Rates(Struct, frozen=True):
    """Micro-dollars per token of a kind, which is dollars per million tokens, as integers over
    `Price.scale`. None: the price of that kind is not known."""

    input: int
    cached: int
    cache_write: int
    output: int | None
    reasoning: int | None


class Price(Struct, frozen=True):
    """What a model costs. Make one with `per_million`."""

    scale: int
    """All amounts here are numerators over this."""
    rates: Rates
    tiers: tuple[tuple[int, Rates], ...] = ()
    """Rates for all tokens of a call with more input tokens than this, highest first."""
    per_request: int = 0
    units: UnitRates | None = None
    """Of what is no token of text; None: nothing is known of any."""
    by_tokens: bool = True
    """False: only by `units`."""

    @classmethod
    def per_million(
        cls,
        *,
        input: Decimal | str,
        output: Decimal | str | None = None,
        cached: Decimal | str | None = None,
        cache_write: Decimal | str | None = None,
        reasoning: Decimal | str | None = None,
    ) -> Self:
        """From dollars per million tokens. Cached tokens and those written to a cache cost as
        `input` where nothing is said, reasoning as `output`. Raises ValueError for what is no
        amount."""
        return cls._of(
            PriceRow(
                input=str(input),
                cached=None if cached is None else str(cached),
                cache_write=None if cache_write is None else str(cache_write),
                output=None if output is None else str(output),
                reasoning=None if reasoning is None else str(reasoning),
            )
        )

    @classmethod
    def of_row(cls, row: PriceRow) -> Self | None:
        """From the snapshot; None if `row` has no price."""
        if row.input is not None:
            return cls._of(row)
        if row.units is None:
            return None
        return cls(1, FREE.rates, units=UnitRates.of_row(row.units), by_tokens=False)

    @classmethod
    def _of(cls, row: PriceRow) -> Self:
        rows: list[RateRow] = [row, *(rates for _, rates in row.above)]
        texts = [t for r in rows for t in (r.input, r.cached, r.cache_write, r.output, r.reasoning)]
        ratios = [_ratio(t) for t in (*texts, row.per_thousand_requests) if t is not None]
        scale = math.lcm(*(denominator for _, denominator in ratios))
        return cls(
            scale=scale,
            rates=_rates(row, scale),
            tiers=tuple((above, _rates(rates, scale)) for above, rates in reversed(row.above)),
            per_request=1000 * _scaled(row.per_thousand_requests or "0", scale),
            units=None if row.units is None else UnitRates.of_row(row.units),
        )

    def cost_microusd(self, usage: Usage) -> int | None:
        """Micro-dollars, exact, rounded up once; None if it used a kind without a price.

        Of a server that reports more cached tokens than input tokens, both are charged in full.
        """
        if usage.units is not None or (self.units is not None and not self._is_text(usage)):
            return self._with_units(usage)
        rates = self.rates
        for above, higher in self.tiers:
            if usage.input_tokens > above:
                rates = higher
                break
        cached = usage.cached_tokens
        total = self.per_request + cached * rates.cached
        written = usage.cache_write_tokens
        if written:
            total += written * rates.cache_write
            cached += written
        if usage.input_tokens > cached:
            total += (usage.input_tokens - cached) * rates.input
        if usage.output_tokens:
            if rates.output is None or rates.reasoning is None:
                return None
            total += usage.output_tokens * rates.output
            if usage.reasoning_tokens:
                reasoning = min(usage.reasoning_tokens, usage.output_tokens)
                total += reasoning * (rates.reasoning - rates.output)
        return -(-total // self.scale)

    def of_text(self, input_tokens: int, output_tokens: int) -> int | None:
        """The same of tokens that are all of the usual kind: what is reckoned before a call."""
        if self.units is not None and not self.by_tokens:
            return self.cost_microusd(Usage(input_tokens, output_tokens))
        rates = self.rates
        for above, higher in self.tiers:
            if input_tokens > above:
                rates = higher
                break
        total = self.per_request + input_tokens * rates.input
        if output_tokens:
            if rates.output is None or rates.reasoning is None:
                return None
            total += output_tokens * rates.output
        return -(-total // self.scale)

    @property
    def line(self) -> Line | None:
        """What `of_text` reckons by, where that is the same for every call, else None."""
        rates = self.rates
        if self.tiers or not self.by_tokens or rates.output is None or rates.reasoning is None:
            return None
        return Line(self.per_request, rates.input, rates.output, self.scale)

    @property
    def flat(self) -> FlatRates | None:
        """What `cost_microusd` reckons by, where it takes no other way for any text, else None."""
        line, rates = self.line, self.rates
        if line is None or self.units is not None or rates.reasoning is None:
            return None
        more = rates.reasoning - line.output
        return FlatRates(line.per_request, line.input, line.output, rates.cached, more, line.scale)

    def _is_text(self, usage: Usage) -> bool:
        """Nothing of it has a price by another unit."""
        return self.by_tokens and not (usage.audio_input_tokens or usage.audio_output_tokens)

    def _with_units(self, usage: Usage) -> int | None:
        """Text as ever, and what else there is, each rounded up. What an upstream told in tokens is
        charged by these; what it did not, by units, or its cost is not known."""
        rates, units = self.units or NO_RATES, usage.units or Units()
        beside, complete = rates.of_units(units)
        if usage.units is not None and not usage.told_by_tokens:
            return math.ceil(beside) if complete else None
        other = rates.of_tokens(usage)
        if other is None or not self.by_tokens:
            return None
        total, asked, answered = other
        text = structs.replace(
            usage,
            input_tokens=usage.input_tokens - asked,
            output_tokens=usage.output_tokens - answered,
            units=None,
        )
        cost = structs.replace(self, units=None).cost_microusd(text)
        return None if cost is None else cost + math.ceil(total + beside)


def _rates(row: RateRow, scale: int) -> Rates:
    if row.input is None:
        raise ValueError("a price needs at least that of input tokens")
    reasoning = row.output if row.reasoning is None else row.reasoning
    return Rates(
        input=_scaled(row.input, scale),
        cached=_scaled(row.input if row.cached is None else row.cached, scale),
        cache_write=_scaled(row.input if row.cache_write is None else row.cache_write, scale),
        output=None if row.output is None else _scaled(row.output, scale),
        reasoning=None if reasoning is None else _scaled(reasoning, scale),
    )


def _scaled(text: str, scale: int) -> int:
    """`text` as an integer over `scale`, a multiple of its denominator."""
    numerator, denominator = _ratio(text)
    return numerator * (scale // denominator)


def _ratio(text: str) -> tuple[int, int]:
    try:
        amount = Decimal(text)
    except ArithmeticError:
        raise ValueError(f"{text!r} is no amount of dollars") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{text!r} is no amount of dollars")
    return amount.as_integer_ratio()


FREE = Price(scale=1, rates=Rates(input=0, cached=0, cache_write=0, output=0, reasoning=0))


class OwnPrices(Struct, frozen=True):
    """Prices that the operator sets."""

    by_name: Mapping[str, Price] = msgspec.field(default_factory=dict)
    """By `MODEL` or `PROVIDER/MODEL`, in lower case."""
    mark: str = ""
    """What they add to the version of all prices."""


class Quote(Struct, frozen=True):
    """What is remembered of a provider's model."""

    model: ModelRow | None
    price: Price | None
    until: float
    """Unix time in seconds when to look again; some prices change by date or time of day."""
    line: Line | None = None
    """See `Price.line`."""


class PriceBook:
    """Prices by provider and model. An unknown price is None, never zero and never a guess from
    another provider."""

    def __init__(
        self,
        snapshot: Snapshot,
        own: OwnPrices | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`own` prices win over all others. `clock` gives Unix seconds."""
        self._snapshot = snapshot
        self._clock = clock
        self._models: dict[str, tuple[ModelRow, ...]] = {}
        self._quotes: dict[tuple[str, str], Quote] = {}
        self.flat: dict[tuple[str, str], FlatRates] = {}
        """Of those quotes that hold for good, where the price has them."""
        self.take_own(own or OwnPrices())

    @classmethod
    def shipped(cls, own: OwnPrices | None = None) -> Self:
        """With the prices that come with this version of Headrace."""
        return cls(msgspec.json.decode(SHIPPED.read_bytes(), type=Snapshot), own)

    def take_own(self, own: OwnPrices) -> None:
        """From now on, in the stead of those before."""
        self._own = own.by_name
        self.version = self._snapshot.version + own.mark
        """Of all the prices that are in force."""
        self._quotes.clear()
        self.flat.clear()

    def price_of(self, provider: str, model: str) -> Price | None:
        """The price now, None if it is not known."""
        return self.quote(provider, model).price

    def knows_any(self, provider: str) -> bool:
        """Whether a model of this provider may have a known price."""
        return provider == LOCAL or bool(self._own) or self._snapshot.provider(provider) is not None

    def cost_microusd(self, provider: str, model: str, usage: Usage) -> int | None:
        """What `usage` costs now, in micro-dollars rounded up; None if that is not known."""
        flat = self.flat.get((provider, model))
        if flat is None or usage.cache_write_tokens or usage.units is not None:
            price = self.quote(provider, model).price
            return None if price is None else price.cost_microusd(usage)
        # What `Price.cost_microusd` would say, found at once: each call is priced.
        asked, answered = usage.input_tokens, usage.output_tokens
        cached, reasoning = usage.cached_tokens, usage.reasoning_tokens
        total = flat.per_request + asked * flat.input + answered * flat.output
        if cached:
            total += cached * flat.cached - (cached if cached < asked else asked) * flat.input
        if reasoning:
            total += (reasoning if reasoning < answered else answered) * flat.reasoning_more
        return -(-total // flat.scale)

    def of_text(self, seller: tuple[str, str], input_tokens: int, output_tokens: int) -> int | None:
        """What so many tokens of text cost now at a provider (and its name of the model), in
        micro-dollars rounded up; None if that is not known."""
        quote = self.quote(*seller)
        if quote.line is not None:
            return quote.line.cost_microusd(input_tokens, output_tokens)
        return None if quote.price is None else quote.price.of_text(input_tokens, output_tokens)

    def context_window(self, provider: str, model: str) -> int | None:
        """The most tokens that a model takes, None if it is not known."""
        known = self.quote(provider, model).model
        return None if known is None else known.context_window

    def is_deprecated(self, provider: str, model: str) -> bool:
        """The model is known, and its provider advises against it."""
        known = self.quote(provider, model).model
        return known is not None and known.deprecated

    def provider_of_url(self, url: str) -> str | None:
        """The provider whose prices hold for the API at `url`; None for one's own servers."""
        return self._snapshot.provider_of_url(url)

    def quote(self, provider: str, model: str) -> Quote:
        """What holds now."""
        key = (provider, model)
        now = self._clock()
        known = self._quotes.get(key)
        if known is not None and now < known.until:
            return known
        quote = self._made(self._find(provider, model) if known is None else known.model, key, now)
        if len(model) > LONGEST_NAME:
            return quote
        if len(self._quotes) >= MOST_REMEMBERED and known is None:
            oldest = next(iter(self._quotes))
            del self._quotes[oldest]
            self.flat.pop(oldest, None)
        self._quotes[key] = quote
        if quote.until == math.inf and quote.price is not None and quote.price.flat is not None:
            self.flat[key] = quote.price.flat
        return quote

    def _made(self, found: ModelRow | None, key: tuple[str, str], now: float) -> Quote:
        provider, model = key
        own = self._own_price(provider, model, found) if self._own else None
        if own is None and provider == LOCAL:
            own = FREE
        if own is not None or found is None:
            return Quote(found, own, float("inf"), None if own is None else own.line)
        price = Price.of_row(found.price_at(datetime.datetime.fromtimestamp(now, datetime.UTC)))
        fixed = isinstance(found.prices, PriceRow)
        until = float("inf") if fixed else (now // MINUTE_S + 1) * MINUTE_S
        return Quote(found, price, until, None if price is None else price.line)

    def _own_price(self, provider: str, model: str, found: ModelRow | None) -> Price | None:
        """That of the name as it is, else of the model that it is known to mean."""
        for name in (model,) if found is None else (model, found.id):
            for written in (f"{provider}/{name}".lower(), name.lower()):
                if written in self._own:
                    return self._own[written]
        return None

    def _find(self, provider: str, model: str) -> ModelRow | None:
        if provider == LOCAL or len(model) > LONGEST_NAME:
            return None
        seller = self._snapshot.provider(provider)
        if seller is None:
            return None
        others = [
            row
            for id in seller.fallback
            for other in self._snapshot.providers
            if other.id == id
            for row in self._models_of(other)
        ]
        return find_model(self._models_of(seller), others, model)

    def _models_of(self, provider: ProviderRow) -> tuple[ModelRow, ...]:
        models = self._models.get(provider.id)
        if models is None:
            models = self._models[provider.id] = models_of(provider)
        return models
