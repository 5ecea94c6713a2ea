"""What is kept of a choice of backends changes nothing of what its calls are reckoned at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec import Raw

from headrace.gateway.limits.measures import Need
from headrace.gateway.limits.reckoning import NOTHING, Reckoning
from headrace.gateway.limits.sellers import Sellers
from headrace.gateway.price_data import Snapshot
from headrace.gateway.prices import SHIPPED, PriceBook
from headrace.nouns import Call, Caller, Dialect, Operation, Passed, Usage

BY_DAY_UNIX_S = 1_795_537_799.0
"""2026-11-24T16:29:59Z: a second later some of DeepSeek's prices are those of the night."""


def book(unix: list[float]) -> PriceBook:
    """By a clock that shows what is in the list."""
    return PriceBook(
        msgspec.json.decode(SHIPPED.read_bytes(), type=Snapshot), None, lambda: unix[0]
    )


def choice(*sellers: tuple[str, str | None], resume: bool = False) -> Any:
    """Backends of these providers, which take the price of that model, or of the one asked for."""
    targets = {
        f"b{n}": SimpleNamespace(service=SimpleNamespace(provider=provider, priced_as=model))
        for n, (provider, model) in enumerate(sellers)
    }
    return SimpleNamespace(targets=targets, resume=resume, hedging=None)


def call_of(model: str, most: int | None = 10, body: bytes = b"x" * 100) -> Call:
    """`most` is its `max_tokens`, None if it names none."""
    call = Call(
        id="c",
        dialect=Dialect.OPENAI,
        operation=Operation.CHAT,
        model=model,
        body_model=model,
        body=body,
        stream=False,
        wants_usage=False,
        caller=Caller("k"),
        received_at=0.0,
    )
    if most is not None:
        call.max_tokens = Raw(b"%d" % most)
    return call


def test_a_choice_that_answers_any_model_takes_the_price_of_each() -> None:
    unix = [BY_DAY_UNIX_S]
    prices, anything = book(unix), choice(("openai", None))
    reckoning = Reckoning(Sellers(prices), None, 1024)
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4o", "o1", "nobody-knows-it", "gpt-4o"):
        need = reckoning.need(call_of(model), anything, "usd", unix[0])
        cost = prices.of_text(("openai", model), 100, 10)
        assert need == Need(100, 10, cost, 35, 110, True)
        assert (cost is None) == (model == "nobody-knows-it")


def test_a_price_that_changes_by_the_hour_holds_no_longer() -> None:
    unix = [BY_DAY_UNIX_S]
    prices, deepseek = book(unix), choice(("deepseek", "deepseek-chat"))
    reckoning = Reckoning(Sellers(prices), None, 1024)
    costs = []
    for _ in range(2):
        need = reckoning.need(call_of("m", 700_003), deepseek, "usd", unix[0])
        cost = prices.cost_microusd("deepseek", "deepseek-chat", Usage(100, 700_003))
        assert need.cost_microusd == cost
        costs.append(cost)
        unix[0] += 1
    assert costs[0] != costs[1]


def test_the_dearest_is_found_whatever_its_price_goes_by() -> None:
    """Of one price, of several, and of one that is higher for long prompts."""
    unix = [BY_DAY_UNIX_S]
    prices = book(unix)
    tiered = ("google", "gemini-2.5-pro")
    assert prices.price_of(*tiered)
    assert prices.quote(*tiered).line is None
    openais = [("openai", name) for name in ("gpt-4o-mini", "gpt-4o", "o1", "gpt-4", "gpt-4.1")]
    for names in (
        *([one, other] for one in openais for other in openais),
        [("openai", "gpt-4o"), ("azure", "gpt-4o")],
        [("openai", "gpt-4o"), ("openai", "gpt-4o-mini"), ("openai", "o1")],
        [tiered],
        [tiered, ("openai", "gpt-4o")],
        [("openai", "gpt-4o"), ("nobody", "x")],
    ):
        reckoning = Reckoning(Sellers(prices), None, 1024)
        for resume in (False, True):
            some = choice(*names, resume=resume)
            for size in (1, 1000, 300_001):
                need = reckoning.need(call_of("m", 20, b"x" * size), some, "usd", unix[0])
                prompt, most = (2 * size, 40) if resume else (size, 20)
                costs = [prices.of_text(name, prompt, most) for name in names]
                dearest = None if None in costs else max(cost or 0 for cost in costs)
                assert need.cost_microusd == dearest, (names, size)
                assert (need.input_tokens, need.output_tokens) == (prompt, most)
                assert need.budget_tokens == prompt + most
                assert need.tokens == size // 4 + 20, "limits count what is likely, once"


def test_what_nobody_reserves_is_not_bounded() -> None:
    unix = [BY_DAY_UNIX_S]
    reckoning, openai = Reckoning(Sellers(book(unix)), None, 1024), choice(("openai", "gpt-4o"))
    unnamed = call_of("gpt-4o", None)
    need = reckoning.need(unnamed, openai, None, unix[0])
    assert need == Need(100, None, None, 25 + 1024, 0, False)
    assert unnamed.reserved is need
    in_tokens = reckoning.need(unnamed, openai, "tokens", unix[0])
    assert in_tokens.cost_microusd is None
    assert in_tokens.output_tokens == 128_000
    assert in_tokens.budget_tokens == 128_100


def test_what_is_passed_on_is_taken_by_what_it_says_of_itself() -> None:
    unix = [BY_DAY_UNIX_S]
    reckoning, openai = Reckoning(Sellers(book(unix)), None, 1024), choice(("openai", "gpt-4o"))
    listed = call_of("gpt-4o", None)
    listed.passed = Passed(b"", Usage(), 0)
    assert reckoning.need(listed, openai, "usd", unix[0]) is NOTHING
    assert listed.reserved is None
    spoken = call_of("gpt-4o", None)
    spoken.passed = Passed(b"", Usage(7), 9, answer_tokens=5)
    need = reckoning.need(spoken, openai, "usd", unix[0])
    assert (need.input_tokens, need.output_tokens, need.tokens) == (9, 5, 12)
    assert need.cost_microusd == book(unix).of_text(("openai", "gpt-4o"), 9, 5)
