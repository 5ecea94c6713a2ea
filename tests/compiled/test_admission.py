"""Admission in C decides, counts and tells as that in Python does."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from headrace.allowances import BudgetRule, LimitRule
from headrace.data.budget_file import BudgetFile
from headrace.errors import Refused
from headrace.gateway.limits import gate as gate_module
from headrace.gateway.limits.gate import Gate
from headrace.gateway.limits.memory import MemoryCounters
from headrace.gateway.limits.reckoning import Reckoning
from headrace.gateway.limits.rulebook import Rulebook
from headrace.gateway.limits.sellers import Sellers
from headrace.gateway.limits.token_caps import TokenCaps
from headrace.gateway.models import Chosen
from headrace.gateway.own_prices import own_prices
from headrace.gateway.prices import PriceBook
from headrace.nouns import NO_MEMBER, Call, Caller, Dialect, Operation
from support.measured import MIDNIGHT

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps

CALLER = Caller(key_id="k1", user="alice", team="red")


class Sold:
    """What a backend sells as."""

    def __init__(self, provider: str, priced_as: str) -> None:
        self.service = self
        self.provider = provider
        self.priced_as = priced_as


class Choice:
    """What the gate looks at of one."""

    hedging = None

    def __init__(self, *, resume: bool, priced_as: str) -> None:
        self.resume = resume
        self.targets: dict[str, Any] = {"a": Sold("openai", priced_as)}


CHOICES = [
    Choice(resume=resume, priced_as=name)
    for resume in (False, True)
    for name in ("gpt-4o", "a model that nobody knows")
]


class Clock:
    """Both clocks, as far as a gate asks them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.unix = MIDNIGHT + 3600.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.unix

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.unix += seconds


@pytest.fixture(scope="module")
def clock() -> Iterator[Clock]:
    made = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate_module, "time", made)
        yield made


class World:
    """A gate with counters of its own."""

    def __init__(self, rules: list[LimitRule | BudgetRule], folder: Path, steps: Any) -> None:
        self.file = BudgetFile(folder, MIDNIGHT)
        self.counters = MemoryCounters(self.file)
        self.running: list[Call] = []
        rulebook = Rulebook(
            [rule for rule in rules if isinstance(rule, LimitRule)],
            [rule for rule in rules if isinstance(rule, BudgetRule)],
        )
        prices = PriceBook.shipped(own_prices({}))
        reckoning = Reckoning(Sellers(prices), None, 1024)
        self.gate = Gate(rulebook, TokenCaps(()), reckoning, self.counters, steps)

    def admit(self, call: Call, choice: Choice) -> tuple[Any, ...]:
        """What is to be seen of it."""
        try:
            assert self.gate.admit(call, cast(Chosen, choice)) is None
        except Refused as refused:
            return refused.reason, refused.detail, refused.retry_after_s, call.standing
        self.running.append(call)
        return call.standing, call.reserved, call.hold is not None

    def end(self, which: int, tokens: int, microusd: int, now: float) -> None:
        if self.running:
            hold = self.running.pop(which % len(self.running)).hold
            if hold is not None:
                hold.settle(tokens, microusd, now)

    def counts(self) -> tuple[Any, ...]:
        counters = self.counters
        return (
            {key: (s.arrival, s.returned) for key, s in counters._rates.items()},
            {key: s.running for key, s in counters._at_once.items()},
            {key: (s.spent, s.reserved, s.ends_at) for key, s in counters._budgets.items()},
            bytes(self.file._map),
        )


def call_of(size: int, members: dict[str, Raw], before: int, marks: bytes) -> Call:
    return Call(
        id="c",
        dialect=Dialect.OPENAI,
        operation=Operation.CHAT,
        model="m",
        body_model="m",
        body=b'{"model":"m","messages":["' + marks + b"x" * size + b'"]}',
        stream=False,
        wants_usage=False,
        caller=CALLER,
        received_at=0.0,
        tokens_before=before,
        **members,  # type: ignore[arg-type]
    )


NUMBERS = st.sampled_from([b"0", b"1", b"7", b"40", b"999999999", b"1234567890123", b"-1", b"1.5",
                           b'"5"', b"null", b"1e2", b" 3"]).map(Raw)  # fmt: skip
SOME = st.sampled_from([b"1", b"20", b"64"]).map(Raw)
ASKED = st.builds(
    call_of,
    st.integers(0, 400),
    st.fixed_dictionaries(
        {},
        optional={
            "max_tokens": SOME | NUMBERS,
            "max_completion_tokens": SOME | NUMBERS,
            "n": st.just(NO_MEMBER) | SOME | NUMBERS,
        },
    )
    | st.fixed_dictionaries({"max_tokens": SOME}),
    st.just(0) | st.integers(0, 100),
    st.sampled_from([b"", b"", b'"type"', b'"type" "image_url"', b'"source"', b'"type" "source"']),
)
USED = st.integers(-5, 400) | st.sampled_from([0, 2**40, 2**53, 2**70])
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 2.0, 40.0, 4000.0, 86_400.0]),
        st.tuples(ASKED, st.sampled_from(CHOICES[:1] * 4 + CHOICES))
        | st.tuples(st.integers(0, 9), USED, st.integers(0, 400)),
    ),
    min_size=10,
    max_size=40,
)


@st.composite
def some_rules(draw: st.DrawFn) -> list[LimitRule | BudgetRule]:
    """At most one of each kind, mostly; small, so that they refuse."""
    unit = draw(st.sampled_from(["usd", "tokens"]))
    amount: dict[str, Any] = (
        {"usd": draw(st.sampled_from(["0.01", "0.9", "900000"]))}
        if unit == "usd"
        else {"tokens": draw(st.sampled_from([900, 10**6, 10**12]))}
    )
    kinds: list[LimitRule | BudgetRule] = [
        LimitRule(
            name=draw(st.sampled_from([None, "50 % of \\ it", 'a "name"'])),
            per="key",
            requests=draw(st.sampled_from([3, 30, 6000])),
            every_s=draw(st.sampled_from([1.0, 60.0, 86_400.0])),
            burst_s=draw(st.sampled_from([None, 0.5, 7200.0])),
        ),
        LimitRule(per="user", tokens=draw(st.sampled_from([500, 5000, 10**9])), every_s=60.0),
        LimitRule(per="team", concurrent=draw(st.sampled_from([2, 50]))),
        BudgetRule(
            per="key",
            every="day",
            stop=draw(st.booleans()),
            soft_share=draw(st.sampled_from([0.3, 1.0])),
            unpriced=draw(st.sampled_from(["refuse", "allow"])),
            **amount,
        ),
    ]
    return [rule for rule in kinds if draw(st.integers(0, 3))]


@given(some_rules(), STEPS)
def test_it_is_that_in_python(
    clock: Clock, steps: Steps, rules: list[LimitRule | BudgetRule], path: list[Any]
) -> None:
    """Calls that are admitted or refused and ends of earlier ones, as time goes by."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        by_c, by_python = World(rules, Path(one), steps), World(rules, Path(other), None)
        for later_s, step in path:
            clock.passes(later_s)
            if isinstance(step[0], int):
                which, tokens, microusd = step
                for world in (by_c, by_python):
                    world.end(which, tokens, microusd, clock.now)
            else:
                call, choice = step
                told = by_c.admit(_anew(call), choice)
                assert told == by_python.admit(_anew(call), choice)
            assert by_c.counts() == by_python.counts()


AT = st.sampled_from([0.0, 0.25, 1.0, 2.5, 4.0, 6.0])
ENDS = st.lists(st.tuples(AT, st.integers(0, 60), st.integers(0, 9)), min_size=4, max_size=12)


@given(ENDS, st.sampled_from([600, 1200]))
def test_it_gives_back_what_python_does(
    clock: Clock, steps: Steps, path: list[tuple[float, int, int]], tokens: int
) -> None:
    """Calls that overlap, and end while some of what they took is paid for."""
    rules: list[LimitRule | BudgetRule] = [LimitRule(per="key", tokens=tokens, burst_s=60.0)]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        worlds = (World(rules, Path(one), steps), World(rules, Path(other), None))
        for later_s, used, which in path:
            for world in worlds:
                world.admit(call_of(0, {"max_tokens": Raw(b"50")}, 0, b""), CHOICES[0])
            clock.passes(later_s)
            for world in worlds:
                if which % 3:
                    world.end(which, used, 0, clock.now)
            assert worlds[0].counts() == worlds[1].counts()


def _anew(call: Call) -> Call:
    return Call(**{name: getattr(call, name) for name in call.__struct_fields__})


FEW: list[LimitRule | BudgetRule] = [
    LimitRule(per="key", requests=1000),
    LimitRule(per="key", tokens=10**9),
    LimitRule(per="key", concurrent=1000),
    BudgetRule(per="key", usd="1000000"),
]


def test_usual_calls_go_by_c(clock: Clock, steps: Steps, tmp_path: Path) -> None:
    """Else the rest of these tests would say nothing."""
    world = World(FEW, tmp_path, steps)
    world.admit(call_of(0, {}, 0, b""), CHOICES[0])  # the budget's period begins
    for members in ({}, {"max_tokens": Raw(b"50")}, {"max_completion_tokens": Raw(b"7")}):
        call = call_of(1000, members, 0, b"")
        world.admit(call, CHOICES[0])
        assert type(call.hold).__name__ == "Held"
    for _ in range(4):
        world.end(0, 100, 2000, clock.now)
    spent = world.counts()[2]
    assert [sums[:2] for sums in spent.values()] == [(8000, 0)]


def test_each_kind_by_itself_goes_by_c(clock: Clock, steps: Steps, tmp_path: Path) -> None:
    for place, rule in enumerate(FEW):
        world = World([rule], tmp_path / str(place), steps)
        world.admit(call_of(0, {}, 0, b""), CHOICES[0])
        call = call_of(10, {"max_tokens": Raw(b"50")}, 0, b"")
        world.admit(call, CHOICES[0])
        assert type(call.hold).__name__ == "Held", rule


def test_the_last_token_of_a_budget_is_taken(clock: Clock, steps: Steps, tmp_path: Path) -> None:
    call = call_of(0, {"max_tokens": Raw(b"5")}, 0, b"")
    needed = len(call.body) + 5
    for cap, fits in ((2 * needed - 1, False), (2 * needed, True)):
        world = World([BudgetRule(per="key", tokens=cap)], tmp_path / str(cap), steps)
        world.admit(_anew(call), CHOICES[0])
        world.admit(_anew(call), CHOICES[0])
        assert len(world.running) == 1 + fits
        assert (type(world.running[-1].hold).__name__ == "Held") is fits


@pytest.mark.parametrize("every_s", [60.0, 36_000.0, 604_800.0])
def test_it_tells_when_all_is_there_again(
    clock: Clock, steps: Steps, tmp_path: Path, every_s: float
) -> None:
    """In milliseconds, seconds, minutes and hours."""
    for quota in (6000, 61, 20, 1):
        rule, standing = LimitRule(per="key", requests=quota, every_s=every_s), []
        for by in (steps, None):
            world, call = World([rule], tmp_path / f"{quota} {by}", by), call_of(0, {}, 0, b"")
            world.admit(call, CHOICES[0])
            standing.append(call.standing)
            assert (type(call.hold).__name__ == "Held") is (by is not None)
        assert standing[0] == standing[1]


def test_a_warning_is_left_to_python(clock: Clock, steps: Steps, tmp_path: Path) -> None:
    world = World([BudgetRule(per="key", tokens=1000, soft_share=0.1)], tmp_path, steps)
    begun, first, second = (call_of(0, {"max_tokens": Raw(b"5")}, 0, b"") for _ in range(3))
    world.admit(begun, CHOICES[0])
    world.admit(first, CHOICES[0])
    world.end(0, 200, 0, clock.now)
    world.admit(second, CHOICES[0])
    assert b"x-headrace-budget-warning" in second.standing
    assert type(first.hold).__name__ == "Held"
    assert type(second.hold).__name__ != "Held"


def test_nothing_is_kept_for_ever(clock: Clock, steps: Steps, tmp_path: Path) -> None:
    """Every object that a step makes or takes is given back."""
    world = World(FEW, tmp_path, steps)

    def calls(count: int) -> int:
        for _ in range(count):
            clock.passes(1.0)
            world.admit(call_of(100, {"max_tokens": Raw(b"50")}, 0, b""), CHOICES[0])
            world.end(0, 100, 2000, clock.now)
        gc.collect()
        return sys.getallocatedblocks()

    before = calls(200)
    assert calls(2000) - before < 200
