"""The format of `prices.json`: providers, their models and how a model's name is matched.

A compact copy of what the package genai-prices (https://github.com/pydantic/genai-prices, MIT)
knows; `price_snapshot` makes it. The rules of matching are that package's, in its order: see
`find_provider_by_id` in its `data_snapshot.py` and `Provider.find_model` in its `types.py`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class StartsWith(Struct, frozen=True, array_like=True, tag="starts_with"):
    text: str


class EndsWith(Struct, frozen=True, array_like=True, tag="ends_with"):
    text: str


class Contains(Struct, frozen=True, array_like=True, tag="contains"):
    text: str


class Regex(Struct, frozen=True, array_like=True, tag="regex"):
    pattern: str


class AnyOf(Struct, frozen=True, array_like=True, tag="or"):
    of: tuple[Match, ...]


class AllOf(Struct, frozen=True, array_like=True, tag="and"):
    of: tuple[Match, ...]


Match = str | StartsWith | EndsWith | Contains | Regex | AnyOf | AllOf
"""A rule about a lower-case name; a bare string is the whole name. Texts are lower-case."""


def matches(rule: Match, name: str) -> bool:
    """Whether `rule` holds for `name`, which is lower-case."""
    match rule:
        case str():
            return name == rule
        case StartsWith(text):
            return name.startswith(text)
        case EndsWith(text):
            return name.endswith(text)
        case Contains(text):
            return text in name
        case Regex(pattern):
            return re.search(pattern, name) is not None
        case AnyOf(of):
            return any(matches(part, name) for part in of)
        case AllOf(of):
            return all(matches(part, name) for part in of)


class RateRow(Struct, frozen=True, omit_defaults=True):
    """Decimal dollars per million tokens of a kind. None: the kind has no price of its own."""

    input: str | None = None
    cached: str | None = None
    cache_write: str | None = None
    output: str | None = None
    reasoning: str | None = None


class UnitRow(Struct, frozen=True, omit_defaults=True):
    """Decimal dollars for what is no token of text. None: not known, or charged as text."""

    audio_input: str | None = None
    """A million tokens of sound that was heard."""
    audio_output: str | None = None
    """A million tokens of sound that was made."""
    image_input: str | None = None
    """A million tokens of pictures that were sent."""
    audio_hour: str | None = None
    """An hour of sound that was heard."""
    million_characters: str | None = None
    """That were spoken."""
    image: str | None = None
    """A picture that was made."""
    thousand_searches: str | None = None


class PriceRow(RateRow, frozen=True, omit_defaults=True):
    """A price. Without `input` it is not known, or by `units` alone."""

    per_thousand_requests: str | None = None
    units: UnitRow | None = None
    above: tuple[tuple[int, RateRow], ...] = ()
    """Rates for all tokens of a call with more input tokens than this, ascending."""


class Dated(Struct, frozen=True, omit_defaults=True):
    """A price and when it holds; of several that hold, the last one counts."""

    price: PriceRow
    since: datetime.date | None = None
    """From this day on, UTC."""
    daily: tuple[datetime.time, datetime.time] | None = None
    """From this time of day to before that one, UTC, maybe over midnight. Whole minutes."""

    def holds(self, now: datetime.datetime) -> bool:
        if self.since is not None:
            return now.date() >= self.since
        if self.daily is not None:
            start, end = self.daily
            time = now.time()
            if end < start:
                return time >= start or time < end
            return start <= time < end
        return True


class ModelRow(Struct, frozen=True, array_like=True):
    """A model of a provider."""

    id: str
    match: Match
    context_window: int | None
    """The most tokens that it takes."""
    prices: PriceRow | tuple[Dated, ...]
    deprecated: bool = False
    """Its provider advises against it, or no longer answers with it."""

    def price_at(self, now: datetime.datetime) -> PriceRow:
        """The price at a moment in UTC; the first of all if none holds, as genai-prices does."""
        if isinstance(self.prices, PriceRow):
            return self.prices
        for dated in reversed(self.prices):
            if dated.holds(now):
                return dated.price
        return self.prices[0].price


class ProviderRow(Struct, frozen=True, omit_defaults=True):
    """A provider. `models` stays undecoded until one is asked for."""

    id: str
    url: str
    """A regular expression that matches its API's URLs from their start."""
    models: msgspec.Raw
    match: Match | None = None
    """Other ids that mean this provider."""
    fallback: tuple[str, ...] = ()
    """Providers whose models and prices this one sells, too."""


class Snapshot(Struct, frozen=True):
    """All of `prices.json`."""

    version: str
    providers: tuple[ProviderRow, ...]

    def provider(self, id: str) -> ProviderRow | None:
        """The provider with an id, or with a rule that matches it."""
        id = id.lower().strip()
        for provider in self.providers:
            if provider.id == id:
                return provider
        for provider in self.providers:
            if provider.match is not None and matches(provider.match, id):
                return provider
        return None

    def provider_of_url(self, url: str) -> str | None:
        """The id of the provider whose API is at `url` (or at a bare host), None if unknown.

        Unlike genai-prices, takes no host that merely begins like a provider's: the server at
        `api.openai.com.proxy.internal` has prices that nobody here knows.
        """
        parts = urlsplit(url if "://" in url else f"https://{url}")
        authority = parts.netloc.rpartition("@")[2].lower()
        plain = f"{parts.scheme.lower()}://{authority}{parts.path}"
        for provider in self.providers:
            found = re.match(provider.url, plain)
            if found is None:
                continue
            rest = plain[found.end() :]
            if not rest or rest[0] in ":/" or found.group().endswith((".", "/")):
                return provider.id
        return None


def models_of(provider: ProviderRow) -> tuple[ModelRow, ...]:
    return msgspec.json.decode(provider.models, type=tuple[ModelRow, ...])


def find_model(own: Sequence[ModelRow], others: Sequence[ModelRow], name: str) -> ModelRow | None:
    """The model that `name` means among a provider's own, then among those of its fallbacks.

    A name with a compact date (`gpt-5.2-20251211`, of LiteLLM and OpenRouter) that means nothing
    as it is counts as `gpt-5.2-2025-12-11`.
    """
    name = name.lower()
    for spelling in dict.fromkeys((name, COMPACT_DATE.sub(_dashed, name))):
        for models in (own, others):
            for model in models:
                if matches(model.match, spelling):
                    return model
    return None


def _dashed(match: re.Match[str]) -> str:
    year, month, day = match.group(2), match.group(3), match.group(4)
    try:
        datetime.date(int(year), int(month), int(day))
    except ValueError:
        return match.group()
    return f"-{year}-{month}-{day}"
