"""Where a caller may be answered from: a hard filter, before any other choice."""

from __future__ import annotations

import random

import pytest

from headrace.config.policies import BalancePolicy
from headrace.config.schema import Fallback
from headrace.errors import Reason, Refused
from headrace.gateway import answer_cache, canonical, coalescing
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.models import Chosen, Models, Patience, Target
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import Go
from headrace.nouns import Caller, Operation
from headrace.platform.http.messages import Origin
from headrace.services.openai import OpenAIService
from support.replies import call

PATIENCE = Patience(1.0, 1.0, 1.0, 1.0, 1.0)
PLACES = {"e1": "eu", "e2": "eu", "u1": "us", "n1": None, "big": "us"}


SERVICE = OpenAIService(
    origin=Origin.of("http://127.0.0.1:9"),
    path="",
    headers=[],
    model=None,
    provider="openai",
    priced_as=None,
    include_usage=True,
    operations=frozenset({Operation.CHAT}),
)


def models() -> tuple[Fleet, Models]:
    fleet = Fleet(random.Random(1))
    for name in PLACES:
        fleet.enlist(name)
    targets = {
        name: Target(name=name, service=SERVICE, patience=PATIENCE, region=place)
        for name, place in PLACES.items()
    }
    chosen = Chosen(
        route=Route(
            fleet,
            [["u1", "n1"], ["e1", "e2"]],
            balance=BalancePolicy(),
            windows={"e1": 100, "big": 1000},
            wider=["big"],
        ),
        targets=targets,
        fallback=Fallback(),
        affinity="none",
        affinity_header=b"",
        first_token_s=1.0,
        whole_s=1.0,
    )
    return fleet, Models({"m": {Operation.CHAT: chosen}, "*": {Operation.CHAT: chosen}})


def caller(*regions: str, key_id: str = "k") -> Caller:
    return Caller(key_id=key_id, regions=frozenset(regions))


def test_no_other_region_is_ever_asked() -> None:
    fleet, found = models()
    chosen = found.choose(call(model="m", caller=caller("eu")))
    assert [[b.name for b in tier.backends] for tier in chosen.route.tiers] == [["e1", "e2"]]
    assert set(chosen.targets) == {"e1", "e2"}
    assert chosen.route.wider.backends == ()
    assert chosen.route.windows == {"e1": 100}
    for seed in range(50):
        fleet.rng = random.Random(seed)
        step = CallPlan(fleet, chosen.route, 0.0, 10.0, stream=True).next(0.0)
        assert isinstance(step, Go)
        assert step.backend.name in ("e1", "e2")


def test_backends_are_the_same_ones() -> None:
    """Health and load belong to the backend, not to who may ask it."""
    fleet, found = models()
    chosen = found.choose(call(model="m", caller=caller("eu")))
    assert chosen.route.tiers[0].backends[0] is fleet["e1"]


def test_a_backend_without_a_region_is_in_none() -> None:
    _, found = models()
    chosen = found.choose(call(model="m", caller=caller("us", "eu")))
    assert "n1" not in chosen.targets


def test_a_region_without_backends_is_refused() -> None:
    _, found = models()
    for name in ("m", "anything"):
        with pytest.raises(Refused) as caught:
            found.choose(call(model=name, caller=caller("mars")))
        assert caught.value.reason is Reason.REGION_FORBIDDEN
        assert "mars" in caught.value.detail
    with pytest.raises(Refused) as caught:
        found.choose(call(model="m", caller=caller()))
    assert caught.value.reason is Reason.REGION_FORBIDDEN


def test_only_what_can_be_answered_is_listed() -> None:
    _, found = models()
    assert found.names(caller("eu")) == ["m"]
    assert found.names(caller("mars")) == []


def test_who_is_free_is_not_touched() -> None:
    _, found = models()
    free = found.choose(call(model="m"))
    assert set(free.targets) == set(PLACES)
    assert found.choose(call(model="m", caller=caller("eu"))) is found.choose(
        call(model="m", caller=caller("eu", key_id="other"))
    ), "made once for each set of regions"


def test_many_sets_of_regions_do_not_pile_up() -> None:
    _, found = models()
    for n in range(1000):
        found.choose(call(model="m", caller=caller("eu", f"r{n}")))
    assert len(found._within) <= 256


def test_no_answer_from_elsewhere_is_shared_or_kept() -> None:
    free, bound, same = call(), call(caller=caller("eu")), call(caller=caller("eu", key_id="b"))
    assert len({coalescing.key_of(c, "always") for c in (free, bound)}) == 2
    assert len({answer_cache.key_of(c) for c in (free, bound)}) == 2
    read = canonical.canonical(bound.body)
    assert read is not None
    assert canonical.digest(bound, read) == canonical.digest(same, read)
    assert canonical.digest(bound, read) != canonical.digest(call(caller=caller("e", "u")), read)


def test_operations_of_a_key_are_its_bounds() -> None:
    _, found = models()
    embeds = Caller(key_id="k", operations=frozenset({Operation.EMBEDDINGS}))
    with pytest.raises(Refused) as caught:
        found.choose(call(model="m", caller=embeds))
    assert caught.value.reason is Reason.OPERATION_FORBIDDEN
    assert "embeddings" in caught.value.detail
