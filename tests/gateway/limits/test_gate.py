"""Whose counts a call goes through, whatever the gate remembers of callers."""

from __future__ import annotations

from typing import Any, cast

import pytest
from msgspec import Raw
from msgspec.structs import replace

from headrace.allowances import BudgetRule, LimitRule
from headrace.errors import Refused
from headrace.gateway.limits.gate import Gate
from headrace.gateway.limits.memory import MemoryCounters
from headrace.gateway.limits.reckoning import Reckoning
from headrace.gateway.limits.rulebook import Rulebook
from headrace.gateway.limits.sellers import Sellers
from headrace.gateway.limits.token_caps import TokenCaps
from headrace.gateway.models import Chosen
from headrace.gateway.prices import PriceBook
from headrace.nouns import Call, Caller, Dialect, Operation

ALICE = Caller(key_id="k1", user="alice", team="red")


class Service:
    provider = "openai"
    priced_as = "gpt-4o"


class Target:
    service = Service


class NobodysService:
    provider = "nobody"
    priced_as = "x"


class Nobodys:
    service = NobodysService


class Choice:
    """What the gate looks at of one: a backend that takes OpenAI's prices."""

    resume = False
    hedging = None

    def __init__(self) -> None:
        self.targets: dict[str, Any] = {"a": Target}


CHOICE = Choice()


def gate(*rules: LimitRule | BudgetRule, counters: MemoryCounters | None = None) -> Gate:
    rulebook = Rulebook(
        [rule for rule in rules if isinstance(rule, LimitRule)],
        [rule for rule in rules if isinstance(rule, BudgetRule)],
    )
    reckoning = Reckoning(Sellers(PriceBook.shipped()), None, 1024)
    return Gate(rulebook, TokenCaps(()), reckoning, counters or MemoryCounters())


def call_of(caller: Caller, model: str = "m", ip: str = "10.0.0.1") -> Call:
    return Call(
        id="c",
        dialect=Dialect.OPENAI,
        operation=Operation.CHAT,
        model=model,
        body_model=model,
        body=b'{"model":"m","messages":[]}',
        stream=False,
        wants_usage=False,
        caller=caller,
        received_at=0.0,
        max_tokens=Raw(b"10"),
        ip=ip,
    )


def admitted(one: Gate, caller: Caller, choice: Any = CHOICE, **where: str) -> Call | None:
    """None if it was refused."""
    call = call_of(caller, **where)
    try:
        assert one.admit(call, cast(Chosen, choice)) is None
    except Refused:
        return None
    return call


def test_a_caller_and_its_twin_have_one_count() -> None:
    """As after a rotation: two secrets of one key, each with a caller of its own."""
    one = gate(LimitRule(per="key", requests=4, every_s=3600, burst_s=3600))
    twin = replace(ALICE)
    assert twin is not ALICE
    passed = [admitted(one, caller) for caller in (ALICE, twin, ALICE, twin, ALICE, twin)]
    assert [call is not None for call in passed] == [True] * 4 + [False] * 2


def test_a_key_whose_rules_change_gets_the_new_ones() -> None:
    one = gate(LimitRule(per="gateway", requests=1000))
    assert admitted(one, ALICE)
    own = replace(ALICE, limits=(LimitRule(per="key", requests=1, every_s=3600),))
    assert [admitted(one, own) is not None for _ in range(2)] == [True, False]
    assert admitted(one, ALICE), "the rule is gone again"
    moved = replace(ALICE, team="blue")
    assert admitted(one, moved)


@pytest.mark.parametrize("per", ["model", "ip"])
@pytest.mark.parametrize("whose", ["the configuration's", "its own", "its team's"])
def test_what_a_call_brings_is_counted_apart(per: Any, whose: str) -> None:
    rule = LimitRule(per=per, requests=1, every_s=3600)
    one = gate(*([rule] if whose == "the configuration's" else []))
    caller = ALICE
    if whose == "its own":
        caller = replace(ALICE, limits=(rule,))
    elif whose == "its team's":
        caller = replace(ALICE, shared_limits=(("team:default/red", rule),))
    wheres: list[dict[str, str]] = [{"model": "m"}, {"model": "n", "ip": "10.0.0.2"}]
    passed = [admitted(one, caller, **where) is not None for where in (*wheres, *wheres)]
    assert passed == [True, True, False, False]


def test_a_budget_of_one_model_concerns_no_other() -> None:
    mine = replace(ALICE, budgets=(BudgetRule(per="key", tokens=40, only={"model": "m"}),))
    one = gate()
    assert [admitted(one, mine, model=model) is not None for model in "mnmn"] == [
        *(True, True, False, True)
    ]


def test_callers_that_are_forgotten_come_again() -> None:
    counters = MemoryCounters()
    one = gate(LimitRule(per="key", requests=2, every_s=3600, burst_s=3600), counters=counters)
    assert admitted(one, ALICE)
    for _ in range(4):
        one.sweep()
    assert admitted(one, ALICE), "its count is not forgotten"
    assert admitted(one, ALICE) is None
    one.close()
    assert all(state.users == 0 for state in counters._rates.values())


def test_what_is_reserved_is_the_dearest_that_may_be_paid() -> None:
    one = gate(BudgetRule(per="team", usd="1"))
    call = admitted(one, ALICE)
    assert call is not None
    assert call.reserved is not None
    size = len(call.body)
    cost = PriceBook.shipped().of_text(("openai", "gpt-4o"), size, 10)
    assert (call.reserved.input_tokens, call.reserved.output_tokens) == (size, 10)
    assert call.reserved.cost_microusd == cost
    twice = Choice()
    twice.resume = True
    again = admitted(one, ALICE, twice)
    assert again is not None
    assert again.reserved is not None
    assert again.reserved.cost_microusd == PriceBook.shipped().of_text(
        ("openai", "gpt-4o"), 2 * size, 20
    )
    unknown = Choice()
    unknown.targets = {"b": Nobodys}
    assert admitted(one, ALICE, unknown) is None, "a budget can't bound what has no price"
