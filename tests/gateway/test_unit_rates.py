"""What costs more than text: sound, pictures, minutes, characters."""

from __future__ import annotations

import pytest

from headrace.config.pricing import OwnPrice
from headrace.gateway.own_prices import own_prices
from headrace.gateway.prices import PriceBook
from headrace.nouns import Units, Usage


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.shipped()


def _estimated(**units: int) -> Usage:
    return Usage(50, 0, source="estimated", units=Units(**units))


@pytest.mark.parametrize(
    ("model", "usage", "cost"),
    [
        ("whisper-1", _estimated(audio_ms=3_600_000), 360_000),
        ("whisper-1", _estimated(audio_ms=1), 1),
        ("whisper-1", _estimated(), None),
        ("whisper-1", Usage(10, 10), None),
        ("tts-1", _estimated(characters=1_000), 15_000),
        ("tts-1", _estimated(characters=1_000, images=1), None),
        ("gpt-4o-mini-tts", _estimated(characters=1_000), None),
        ("gpt-4o-mini-tts", Usage(10, 100), 6 + 1_200),
        ("gpt-image-1", Usage(100, 10, units=Units(images=1)), 500 + 400),
        ("gpt-image-1", Usage(100, 10, units=Units(image_input_tokens=60)), 200 + 600 + 400),
        ("gpt-image-1", _estimated(images=1), None),
        ("gpt-4o", Usage(100, 0, units=Units(image_input_tokens=60)), None),
        ("gpt-realtime", Usage(100, 10, audio_input_tokens=100), 3_200 + 160),
        (
            "gpt-realtime",
            Usage(
                100,
                0,
                cached_tokens=50,
                audio_input_tokens=100,
                units=Units(cached_audio_tokens=50),
            ),
            1_600 + 20,
        ),
    ],
)
def test_costs(book: PriceBook, model: str, usage: Usage, cost: int | None) -> None:
    assert book.cost_microusd("openai", model, usage) == cost


def test_own_prices_by_the_unit() -> None:
    own = own_prices(
        {
            "dall-e-3": OwnPrice(input="0", per_image="0.04"),
            "ranker": OwnPrice(input="0", per_thousand_searches="2"),
            "voice": OwnPrice(input="1", output="2", audio_input="10", audio_output="20"),
        }
    )
    book = PriceBook.shipped(own)
    assert book.cost_microusd("openai", "dall-e-3", _estimated(images=3)) == 120_000
    assert book.cost_microusd("openai", "dall-e-3", _estimated(characters=3)) is None
    assert book.cost_microusd("cohere", "ranker", _estimated(searches=2)) == 4_000
    said = Usage(10, 10, audio_input_tokens=5, audio_output_tokens=5)
    assert book.cost_microusd("any", "voice", said) == 5 + 10 + 50 + 100
