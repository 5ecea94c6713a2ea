"""Which rules concern whom, and what is counted apart."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from headrace.allowances import BudgetRule, LimitRule
from headrace.gateway.limits.measures import Measures
from headrace.gateway.limits.rulebook import Rulebook, values_of
from headrace.nouns import Caller

ALICE = Caller(key_id="k1", user="alice", team="search", tenant="acme", tags=(("app", "shop"),))
BOB = Caller(key_id="k2", user="bob", team="search", tenant="acme")
LONER = Caller(key_id="k3")


def measures(caller: Caller, *rules: LimitRule | BudgetRule, **where: Any) -> Measures:
    book = Rulebook(
        [rule for rule in rules if isinstance(rule, LimitRule)],
        [rule for rule in rules if isinstance(rule, BudgetRule)],
    )
    return book.measures(
        caller, values_of(caller, where.get("model", "m"), where.get("ip", "10.0.0.1"))
    )


def key(caller: Caller, rule: LimitRule, **where: Any) -> str | None:
    found = measures(caller, rule, **where).requests
    return found[0].key if found else None


def test_one_count_for_all() -> None:
    rule = LimitRule(per="gateway", requests=1)
    assert key(ALICE, rule) == key(BOB, rule) == key(LONER, rule) is not None


def test_counts_of_their_own() -> None:
    assert key(ALICE, LimitRule(per="key", requests=1)) != key(
        BOB, LimitRule(per="key", requests=1)
    )
    team = LimitRule(per="team", requests=1)
    assert key(ALICE, team) == key(BOB, team)
    both = LimitRule(per=["team", "model"], requests=1)
    assert key(ALICE, both) == key(BOB, both)
    assert key(ALICE, both, model="n") != key(BOB, both, model="m")
    by_ip = LimitRule(per="ip", requests=1)
    assert key(ALICE, by_ip, ip="10.0.0.2") != key(ALICE, by_ip)


def test_who_lacks_a_dimension_is_not_concerned() -> None:
    assert key(LONER, LimitRule(per="team", requests=1)) is None
    assert key(LONER, LimitRule(per=["key", "user"], requests=1)) is None
    assert key(LONER, LimitRule(per="ip", requests=1), ip="") is None


def test_values_that_look_like_two_are_one() -> None:
    rule = LimitRule(per=["tenant", "team"], requests=1)
    one = Caller(key_id="a", tenant="x|y", team="z")
    other = Caller(key_id="a", tenant="x", team="y|z")
    assert key(one, rule) != key(other, rule)


def test_only() -> None:
    def concerned(caller: Caller, only: dict[str, str | list[str]], **where: Any) -> bool:
        return key(caller, LimitRule(per="gateway", requests=1, only=only), **where) is not None

    assert concerned(ALICE, {"tenant": "acme"})
    assert not concerned(LONER, {"tenant": "acme"})
    assert concerned(ALICE, {"model": ["m", "n"]}, model="n")
    assert not concerned(ALICE, {"model": ["m", "n"]}, model="o")
    assert concerned(ALICE, {"tag:app": "shop"})
    assert not concerned(BOB, {"tag:app": "shop"})
    assert not concerned(ALICE, {"tag:app": "shop", "team": "ads"})


def test_a_count_outlives_a_changed_amount_but_not_a_changed_meaning() -> None:
    before = LimitRule(per="key", requests=10)
    assert key(ALICE, before) == key(ALICE, LimitRule(per="key", requests=20, burst_s=5))
    assert key(ALICE, before) != key(ALICE, LimitRule(per="key", requests=10, every_s=1))
    assert key(ALICE, before) != key(ALICE, LimitRule(per="key", requests=10, only={"model": "m"}))
    named = LimitRule(name="n", per="key", requests=10)
    assert key(ALICE, named) == key(ALICE, LimitRule(name="n", per="key", requests=3, every_s=9))


def test_a_keys_own_rules_are_counted_by_themselves() -> None:
    own = LimitRule(per="tenant", requests=5)
    first = Caller(key_id="k1", tenant="acme", limits=(own,))
    second = Caller(key_id="k2", tenant="acme", limits=(own,))
    plain = measures(first, own).requests
    assert len(plain) == 2
    assert plain[0].key != plain[1].key
    assert plain[1].key != measures(second).requests[0].key
    budget = BudgetRule(per="key", usd="1.5")
    (made,) = measures(Caller(key_id="k1", budgets=(budget,))).budgets
    assert made.cap == 1_500_000


def test_all_measures_of_one_rule() -> None:
    found = measures(ALICE, LimitRule(per="key", requests=60, tokens=6_000, concurrent=3))
    assert [rate.burst_s for rate in (*found.requests, *found.tokens)] == [10.0, 10.0]
    assert found.at_once[0].most == 3
    day = measures(ALICE, LimitRule(per="key", requests=2, every_s=86_400.0)).requests[0]
    assert day.burst_s == 43_200.0, "one call at least"
    second = measures(ALICE, LimitRule(per="key", requests=5, every_s=1.0)).requests[0]
    assert second.burst_s == 1.0
    money = measures(ALICE, BudgetRule(per="key", usd="0.25", tokens=100, soft_share=0.5)).budgets
    assert [(b.unit, b.cap, b.soft) for b in money] == [
        ("usd", 250_000, 125_000),
        ("tokens", 100, 50),
    ]


def test_what_a_team_may_use_is_counted_over_its_keys() -> None:
    rule = LimitRule(per="team", requests=9)
    shared = (("team:acme/red", rule),)
    first = Caller(key_id="k1", tenant="acme", team="red", shared_limits=shared)
    second = Caller(key_id="k2", tenant="acme", team="red", shared_limits=shared)
    other = Caller(key_id="k3", tenant="acme", team="red", limits=(rule,))
    one, two, three = (measures(caller).requests[0].key for caller in (first, second, other))
    assert one == two != three


def test_a_key_says_which_budget_is_counted_under_it() -> None:
    """As after a restart, where nobody has called yet."""
    rules = [
        BudgetRule(per="team", usd="5", tokens=70, name="a|b:c"),
        BudgetRule(per=["user", "model"], tokens=900, every="month", only={"team": "search"}),
        BudgetRule(per="gateway", usd="50"),
    ]
    shared = (("team:default/search", BudgetRule(per="team", usd="8")),)
    caller = replace(ALICE, budgets=(BudgetRule(per="key", usd="1"),), shared_budgets=shared)
    book = Rulebook([], rules)
    found = book.measures(caller, values_of(caller, "m", "")).budgets
    own = [one for one in found if one.name in ("usd per key", "usd per team")]
    assert (len(found), len(own)) == (6, 2)
    for one in found:
        assert book.budget_under(one.key, None) == (None if one in own else one)
        assert book.budget_under(one.key, one) == one
        assert Rulebook([], []).budget_under(one.key, one) == (one if one in own else None)
    raised = Rulebook([], [BudgetRule(per="gateway", usd="80")])
    now = [raised.budget_under(one.key, None) for one in found]
    assert [(one.name, one.cap) for one in now if one] == [("usd per gateway", 80_000_000)]
    assert book.budget_under("sha256:00ff", None) is None, "what stands for a key that is too long"
