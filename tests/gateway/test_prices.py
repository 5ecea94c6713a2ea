"""Our prices are those of genai-prices: all its models, all its rules, at many moments."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NoReturn

import genai_prices
import msgspec
import pytest
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from headrace.config.pricing import OwnPrice
from headrace.gateway import price_data, price_snapshot
from headrace.gateway.own_prices import own_prices
from headrace.gateway.prices import MOST_REMEMBERED, SHIPPED, Price, PriceBook
from headrace.nouns import Usage

UTC = datetime.UTC
PROVIDERS = get_snapshot().providers
MOMENTS = [
    datetime.datetime(2025, 12, 31, 23, 59, tzinfo=UTC),
    datetime.datetime(2026, 3, 12, 23, 59, 59, tzinfo=UTC),
    datetime.datetime(2026, 3, 13, 0, 0, tzinfo=UTC),
    datetime.datetime(2026, 9, 10, 0, 29, 59, tzinfo=UTC),
    datetime.datetime(2026, 10, 19, 0, 30, tzinfo=UTC),
    datetime.datetime(2026, 11, 24, 3, 59, 59, tzinfo=UTC),
    datetime.datetime(2026, 11, 24, 4, 0, tzinfo=UTC),
    datetime.datetime(2026, 11, 24, 16, 29, 59, tzinfo=UTC),
    datetime.datetime(2026, 11, 24, 16, 30, tzinfo=UTC),
    datetime.datetime(2030, 1, 1, 8, 0, tzinfo=UTC),
]
NOW = MOMENTS[6]
USAGES = [
    Usage(),
    Usage(input_tokens=1),
    Usage(input_tokens=1, output_tokens=1),
    Usage(input_tokens=1234, output_tokens=567, cached_tokens=1000, reasoning_tokens=321),
    Usage(input_tokens=777, output_tokens=3, cached_tokens=777, reasoning_tokens=3),
    Usage(input_tokens=900_001, output_tokens=70_003, cached_tokens=11, reasoning_tokens=5),
    Usage(input_tokens=5_000, output_tokens=70, cached_tokens=300, cache_write_tokens=4_000),
]


def book_at(moment: datetime.datetime, **own: OwnPrice) -> PriceBook:
    snapshot = msgspec.json.decode(SHIPPED.read_bytes(), type=price_data.Snapshot)
    return PriceBook(snapshot, own_prices(own), clock=moment.timestamp)


SHORT = book_at(
    NOW,
    own=OwnPrice(input="0.15", cached_input="0.075", output="0.6", reasoning="1.7"),
    bare=OwnPrice(input="0.3"),
)


def theirs(provider: str, model: str, usage: Usage, at: datetime.datetime) -> int | None:
    """What genai-prices says, and None where we say that the price is not known on purpose."""
    try:
        said = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=usage.cached_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                output_reasoning_tokens=usage.reasoning_tokens,
            ),
            model,
            provider_id=provider,
            genai_request_timestamp=at,
        )
    except LookupError:
        return None
    free = not said.model_price._comparable_values() and said.model.id.endswith(":free")
    if said.model_price.input_mtok is None and not free:
        return None  # priced by the hour, page or character, or not at all: not zero, as it says
    if said.model_price.output_mtok is None and usage.output_tokens and not free:
        return None  # it has no price for what was used, and counts that as zero
    return math.ceil(Fraction(said.total_price) * 1_000_000)


def thresholds(model: types.ModelInfo) -> set[int]:
    prices = model.prices if isinstance(model.prices, list) else [model]
    return {
        tier.start
        for price in prices
        for part in vars(price.prices).values()
        if isinstance(part, types.TieredPrices)
        for tier in part.tiers
    }


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.id)
def test_every_model_costs_what_genai_prices_says(provider: types.Provider) -> None:
    book = book_at(NOW)
    for model in provider.models:
        edges = [
            Usage(input_tokens=start + more, output_tokens=13, cached_tokens=start // 3)
            for start in thresholds(model)
            for more in (-1, 0, 1)
        ]
        for usage in USAGES + edges:
            ours = book.cost_microusd(provider.id, model.id, usage)
            assert ours == theirs(provider.id, model.id, usage, NOW), (model.id, usage)


def test_what_is_reckoned_before_a_call_is_what_it_would_cost() -> None:
    book = book_at(NOW)
    told = 0
    for provider in PROVIDERS:
        for model in provider.models:
            edges = {start + more for start in thresholds(model) for more in (0, 1)}
            for tokens in (0, 1, 1234, 900_001, *edges):
                for answer in (0, 70_003):
                    cost = book.cost_microusd(provider.id, model.id, Usage(tokens, answer))
                    assert book.of_text((provider.id, model.id), tokens, answer) == cost, model.id
                    told += cost is not None
    assert told > 1_000


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_prices_that_change_hold_from_their_day_and_hour(moment: datetime.datetime) -> None:
    book = book_at(moment)
    for provider in PROVIDERS:
        for model in provider.models:
            if isinstance(model.prices, list):
                ours = book.cost_microusd(provider.id, model.id, USAGES[3])
                assert ours == theirs(provider.id, model.id, USAGES[3], moment), model.id


def test_a_remembered_price_changes_with_the_clock() -> None:
    moment = MOMENTS[7].timestamp()
    snapshot = msgspec.json.decode(SHIPPED.read_bytes(), type=price_data.Snapshot)
    book = PriceBook(snapshot, clock=lambda: moment)
    by_day = book.cost_microusd("deepseek", "deepseek-chat", USAGES[5])
    assert by_day == theirs("deepseek", "deepseek-chat", USAGES[5], MOMENTS[7])
    moment += 1
    by_night = book.cost_microusd("deepseek", "deepseek-chat", USAGES[5])
    assert by_night == theirs("deepseek", "deepseek-chat", USAGES[5], MOMENTS[8])
    assert by_night != by_day


def test_most_models_have_a_price() -> None:
    """So that the agreement above is not one of unknowns."""
    book = book_at(NOW)
    priced = [
        book.price_of(provider.id, model.id) is not None
        for provider in PROVIDERS
        for model in provider.models
    ]
    assert sum(priced) > 0.9 * len(priced) > 1000


def texts(rule: Any) -> Iterator[str]:
    for part in getattr(rule, "or_", None) or getattr(rule, "and_", None) or ():
        yield from texts(part)
    for name in ("equals", "starts_with", "ends_with", "contains"):
        if text := getattr(rule, name, None):
            yield text
    if pattern := getattr(rule, "regex", None):
        yield pattern.strip("^$").replace(r"\d{8}", "20260102").replace("\\", "")


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda p: p.id)
def test_names_mean_the_same_models(provider: types.Provider) -> None:
    snapshot = msgspec.json.decode(SHIPPED.read_bytes(), type=price_data.Snapshot)
    row = snapshot.provider(provider.id)
    assert row is not None
    own = price_data.models_of(row)
    fallbacks = [snapshot.provider(id) for id in row.fallback]
    others = [model for f in fallbacks if f is not None for model in price_data.models_of(f)]
    sellers = [provider, *(p for p in PROVIDERS if p.id in row.fallback)]
    seeds = [t for p in sellers for model in p.models for t in (model.id, *texts(model.match))]
    for number, seed in enumerate(dict.fromkeys(seeds)):
        changed = (seed.upper(), f"{seed}-20251211", f"x/{seed}", f"{seed}-20251341")[number % 4]
        for name in (seed, changed):
            their_model = provider.find_model(name, all_providers=PROVIDERS)
            our_model = price_data.find_model(own, others, name)
            assert (our_model and our_model.id) == (their_model and their_model.id), name
            if our_model is not None and their_model is not None:
                assert our_model.context_window == their_model.context_window
                assert our_model.deprecated == bool(their_model.deprecated)


def test_a_compact_date_counts_as_a_dashed_one() -> None:
    book = book_at(NOW)
    dashed = book.price_of("openai", "gpt-4o-2024-11-20")
    assert dashed is not None
    assert book.price_of("openai", "gpt-4o-20241120") == dashed
    assert book.price_of("openai", "gpt-4o-20241341") is None


@pytest.mark.parametrize(
    "id",
    ["OpenAI", " azure ", "vertex-ai", "google-gla", "bedrock", "xai", "together_ai", "nobody"],
)
def test_provider_ids_mean_the_same_providers(id: str) -> None:
    from genai_prices.data_snapshot import find_provider_by_id

    their_provider = find_provider_by_id(PROVIDERS, id)
    snapshot = msgspec.json.decode(SHIPPED.read_bytes(), type=price_data.Snapshot)
    our_provider = snapshot.provider(id)
    assert (our_provider and our_provider.id) == (their_provider and their_provider.id)


def test_azure_sells_models_of_openai() -> None:
    book = book_at(NOW)
    assert book.price_of("azure", "gpt-4o") == book.price_of("openai", "gpt-4o") is not None


def test_the_snapshot_is_that_of_the_installed_package() -> None:
    assert SHIPPED.read_bytes() == price_snapshot.snapshot(), "run `make lock`"
    assert PriceBook.shipped().version == f"genai-prices {genai_prices.__version__}"


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "llama-3.3-70b-versatile"),  # Groq's; an OpenAI-compatible server may have it
        ("openai", ""),
        ("openai", "gpt-4o" + "o" * 1000),
        ("openai", "omni-moderation-latest"),  # named, without a price
        ("unknown", "gpt-4o"),
        ("", "gpt-4o"),
        ("github-copilot", "gpt-4o"),  # part of a subscription
    ],
)
def test_an_unknown_price_is_none(provider: str, model: str) -> None:
    book = PriceBook.shipped()
    assert book.price_of(provider, model) is None
    assert book.cost_microusd(provider, model, USAGES[3]) is None


def test_used_tokens_without_a_price_are_not_free() -> None:
    book = PriceBook.shipped()
    embedding = "text-embedding-3-small"
    assert book.cost_microusd("openai", embedding, Usage(input_tokens=1_000_000)) == 20_000
    assert book.cost_microusd("openai", embedding, Usage(1_000_000, output_tokens=1)) is None


def test_local_models_cost_nothing() -> None:
    book = PriceBook.shipped()
    assert book.cost_microusd("local", "anything", USAGES[3]) == 0
    assert book.cost_microusd("local", "x" * 1000, USAGES[3]) == 0


def test_own_prices_win() -> None:
    own = OwnPrice(input="2.5", output="10", cached_input="1.25", reasoning="20")
    book = book_at(NOW, **{"gpt-4o": own, "Ours": own})
    usage = Usage(input_tokens=10, output_tokens=7, cached_tokens=4, reasoning_tokens=2)
    for provider in ("openai", "unknown", "local"):
        for model in ("gpt-4o", "ours", "GPT-4o"):
            # 6 * 2.5 + 4 * 1.25 + 5 * 10 + 2 * 20
            assert book.cost_microusd(provider, model, usage) == 110
    assert book.cost_microusd("openai", "gpt-4o-mini", usage) != 110
    assert book.cost_microusd("openai", "gpt-4o-2024-05-13", usage) != 110, "another model"
    assert book.cost_microusd("unknown", "gpt-4o-2024-11-20", usage) is None


def test_an_own_price_holds_for_the_names_that_are_known_to_mean_its_model() -> None:
    book = book_at(NOW, **{"gpt-4o-mini": OwnPrice(input="7")})
    million = Usage(input_tokens=1_000_000)
    assert book.cost_microusd("openai", "gpt-4o-mini-2024-07-18", million) == 7_000_000
    assert book.cost_microusd("azure", "gpt-4o-mini", million) == 7_000_000


def test_an_own_price_of_a_provider_is_of_no_other_and_goes_first() -> None:
    seven, nine = OwnPrice(input="7"), OwnPrice(input="9")
    book = book_at(NOW, **{"azure/gpt-4o": seven, "gpt-4o": nine, "openrouter/a/b": seven})
    million = Usage(input_tokens=1_000_000)
    assert book.cost_microusd("azure", "gpt-4o", million) == 7_000_000
    assert book.cost_microusd("openai", "gpt-4o", million) == 9_000_000
    assert book.cost_microusd("openrouter", "A/b", million) == 7_000_000


def test_what_an_own_price_leaves_out() -> None:
    """Cached and written tokens cost as input, reasoning as output; output is unknown."""
    usage = Usage(10, 4, cached_tokens=2, reasoning_tokens=1, cache_write_tokens=3)
    full = OwnPrice(input="1", output="100", per_thousand_requests="5")
    assert book_at(NOW, m=full).cost_microusd("x", "m", usage) == 10 + 400 + 5_000
    book = book_at(NOW, m=OwnPrice(input="1"))
    assert book.cost_microusd("x", "m", usage) is None
    assert book.cost_microusd("x", "m", Usage(10)) == 10


def test_own_prices_are_exact() -> None:
    """0.1 as a binary fraction would be a little more, and be rounded up to 100,001."""
    book = book_at(NOW, m=OwnPrice(input="0.1", cached_input="0.000000001"))
    assert book.cost_microusd("x", "m", Usage(1_000_000)) == 100_000
    assert book.cost_microusd("x", "m", Usage(10**9, cached_tokens=10**9)) == 1
    assert book.cost_microusd("x", "m", Usage(10**9 + 1, cached_tokens=10**9 + 1)) == 2


def test_the_version_tells_the_prices_in_force() -> None:
    shipped = book_at(NOW).version
    one, two = OwnPrice(input="1"), OwnPrice(input="2")
    book = book_at(NOW, a=one, b=two)
    assert re.fullmatch(re.escape(shipped) + r"\+own:[0-9a-f]{8}", book.version)
    assert book_at(NOW, b=two, A=one).version == book.version
    assert len({book_at(NOW, a=two, b=two).version, book_at(NOW, a=one).version, book.version}) == 3
    assert book.cost_microusd("x", "a", Usage(10)) == 10
    book.take_own(own_prices({"a": two}))
    assert book.cost_microusd("x", "a", Usage(10)) == 20
    book.take_own(own_prices({}))
    assert (book.cost_microusd("x", "a", Usage(10)), book.version) == (None, shipped)


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "a lot", ""])
def test_what_is_no_price_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="no amount of dollars"):
        Price.per_million(input=amount)


def test_a_cost_is_rounded_up_once() -> None:
    price = Price.per_million(input="0.1", output="0.3")
    assert price.cost_microusd(Usage(input_tokens=1)) == 1
    assert price.cost_microusd(Usage(input_tokens=7, output_tokens=1)) == 1
    assert price.cost_microusd(Usage(input_tokens=8, output_tokens=1)) == 2


usages = st.builds(
    Usage,
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 10**7),
    st.integers(0, 9),
    st.integers(0, 9),
    cache_write_tokens=st.just(0) | st.integers(0, 10**7),
)


@given(usages, st.sampled_from(("gpt-4o", "gpt-5", "o3", "gpt-4o-audio-preview", "own", "bare")))
def test_the_book_s_short_way_says_what_the_price_itself_does(usage: Usage, model: str) -> None:
    """Whatever upstreams tell: also more cached tokens than input, more reasoning than output."""
    price = SHORT.price_of("openai", model)
    assert price is not None
    assert SHORT.cost_microusd("openai", model, usage) == price.cost_microusd(usage)


def test_more_cached_than_input_tokens_are_charged_in_full() -> None:
    price = Price.per_million(input="2", output="5", cached="1")
    assert price.cost_microusd(Usage(input_tokens=3, cached_tokens=10)) == 10


def no_floats(text: str) -> NoReturn:
    raise AssertionError(f"a float: {text}")


def test_no_float_comes_near_money() -> None:
    json.loads(SHIPPED.read_bytes(), parse_float=no_floats)
    book = book_at(NOW)
    usage = Usage(10**17 + 1, 10**17 + 3, cached_tokens=7)
    for provider in PROVIDERS:
        for model in provider.models:
            price = book.price_of(provider.id, model.id)
            if price is None or price.rates.output is None or not price.by_tokens:
                continue
            rates = price.tiers[0][1] if price.tiers else price.rates
            assert rates.output is not None
            exact = (
                Fraction((10**17 - 6) * rates.input + 7 * rates.cached, price.scale)
                + Fraction((10**17 + 3) * rates.output, price.scale)
                + Fraction(price.per_request, price.scale)
            )
            cost = book.cost_microusd(provider.id, model.id, usage)
            assert type(cost) is int
            assert cost == math.ceil(exact)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://API.OpenAI.com", "openai"),
        ("https://key@api.openai.com:443/v1", "openai"),
        ("api.groq.com", "groq"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://api.moonshot.cn/v1", "moonshotai"),
        ("https://east.openai.azure.com", "azure"),
        ("https://x.services.ai.azure.com/models", "azure"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "google"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1", "aws"),
        ("https://router.huggingface.co/groq/openai/v1", "huggingface_groq"),
        ("http://127.0.0.1:8000/v1", None),
        ("http://[::1]:8000/v1", None),
        ("http://localhost:11434/v1", None),
        ("localhost", None),
        ("https://models.example.com/v1", None),
        ("https://api.openai.com.example.com/v1", None),
        ("https://api.openai.com@example.com/v1", None),
        ("https://example.com/api.openai.com", None),
        ("https://example.com/?u=https://api.openai.com", None),
        ("", None),
    ],
)
def test_provider_of_url(url: str, provider: str | None) -> None:
    assert PriceBook.shipped().provider_of_url(url) == provider


def test_context_window() -> None:
    book = PriceBook.shipped()
    assert book.context_window("openai", "gpt-4o") == 128_000
    assert book.context_window("openai", "nothing") is None


def test_what_is_remembered_is_bounded() -> None:
    book = PriceBook.shipped()
    for number in range(MOST_REMEMBERED + 100):
        book.price_of("cursor", f"model-{number}")
    assert len(book._quotes) == MOST_REMEMBERED
    assert book.cost_microusd("cursor", "model-0", USAGES[3]) is None
    for number in range(MOST_REMEMBERED + 100):
        assert book.cost_microusd("local", f"model-{number}", USAGES[3]) == 0
    assert set(book.flat) == set(book._quotes)


def test_rules_that_the_package_may_come_to_use() -> None:
    """Of which today's data has no case: an unanchored pattern, a date that is none."""
    assert price_data.matches(price_data.Regex("b+"), "abba")
    row = price_data.ModelRow("m", "m-2025-02-30", None, price_data.PriceRow())
    assert price_data.find_model([row], [], "m-2025-02-30") is row
    assert price_data.find_model([row], [], "m-20250230") is None
