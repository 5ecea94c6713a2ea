"""Who calls, and what a model's name leads to."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.config.schema import Fallback
from headrace.errors import Reason, Refused
from headrace.gateway.callers import Known
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.identity import Identity, fingerprint
from headrace.gateway.keyring import Keyring
from headrace.gateway.models import Chosen, Models, attempt_until
from headrace.nouns import Caller, Operation
from support.replies import call

KEY = "hr_0123456789abcdefghij"
ANYONE = Caller(key_id="free")
BOUND = Caller(key_id="app", models=frozenset({"gpt-4o", "other"}))


def chosen() -> Chosen:
    return Chosen(
        route=Route(Fleet(random.Random(0)), [[]]),
        targets={},
        fallback=Fallback(),
        affinity="none",
        affinity_header=b"",
        first_token_s=1.0,
        whole_s=1.0,
    )


ONE, ANY, EMBED = chosen(), chosen(), chosen()
LISTED = {"gpt-4o": {Operation.CHAT: ONE}, "embed": {Operation.EMBEDDINGS: EMBED}}
MODELS = Models(LISTED)
WITH_ANY = Models({**LISTED, "*": {Operation.CHAT: ANY}})


def refused(models: Models, model: str, caller: Caller = ANYONE) -> Refused:
    with pytest.raises(Refused) as caught:
        models.choose(call(model=model, caller=caller))
    assert caught.value.param == "model"
    return caught.value


def holding(digest: bytes) -> Identity:
    keyring = Keyring()
    keyring.write({}, {digest: Known(BOUND)})
    return Identity(keyring)


def test_a_key_proves_its_caller() -> None:
    identity = holding(fingerprint(KEY.encode()))
    assert identity.identify(KEY.encode()) is BOUND
    for credential in (None, b"", KEY.encode()[:-1], KEY.encode() + b" ", KEY.upper().encode()):
        with pytest.raises(Refused) as caught:
            identity.identify(credential)
        assert caught.value.reason is Reason.UNAUTHENTICATED
        assert KEY not in caught.value.detail


def test_the_kept_form_of_a_key_opens_nothing() -> None:
    """GHSA-69x8-hrgq-fjj8: the hash was taken for the key."""
    kept = fingerprint(KEY.encode())
    identity = holding(kept)
    for credential in (kept, kept.hex().encode(), hashlib.sha256(kept).digest()):
        with pytest.raises(Refused):
            identity.identify(credential)


@given(st.binary(max_size=80))
def test_any_other_bytes_prove_nobody(credential: bytes) -> None:
    identity = holding(fingerprint(KEY.encode()))
    with pytest.raises(Refused):
        identity.identify(credential)


def test_a_listed_name_comes_before_any() -> None:
    assert MODELS.choose(call(model="gpt-4o")) is ONE
    assert WITH_ANY.choose(call(model="gpt-4o")) is ONE
    assert WITH_ANY.choose(call(model="whatever")) is ANY
    assert WITH_ANY.choose(call(model="*")) is ANY


def test_a_name_that_is_not_allowed_is_forbidden_whether_there_is_such_a_model_or_not() -> None:
    for name in ("embed", "no-such"):
        for models in (MODELS, WITH_ANY):
            fault = refused(models, name, BOUND)
            assert fault.reason is Reason.MODEL_FORBIDDEN
            assert "It may use: gpt-4o." in fault.detail
    assert WITH_ANY.choose(call(model="other", caller=BOUND)) is ANY


def test_an_unknown_name_gets_a_suggestion_of_what_the_caller_may_use() -> None:
    fault = refused(MODELS, "gpt4o")
    assert fault.reason is Reason.UNKNOWN_MODEL
    assert fault.detail.endswith("Did you mean 'gpt-4o'?")
    assert refused(MODELS, "xyz").detail.endswith("You can use: embed, gpt-4o.")
    hidden = MODELS.unknown("embedd", BOUND)
    assert "Did you mean" not in hidden.detail
    assert hidden.detail.endswith("You can use: gpt-4o.")
    assert Models({}).unknown("x", ANYONE).detail.endswith("You can use: none yet.")
    many = Models({f"m{n:02}": {} for n in range(20)})
    assert many.unknown("xyz", ANYONE).detail.endswith(", m11 and 8 more.")


def test_a_model_that_does_not_do_this() -> None:
    fault = refused(MODELS, "embed")
    assert fault.reason is Reason.UNSUPPORTED_OPERATION
    assert "does not do chat" in fault.detail


@pytest.mark.parametrize("name", ["a\r\nb: c", "\x00", "\x1b[31m", "é" * 500])
def test_names_are_shown_short_and_without_control_characters(name: str) -> None:
    for fault in (refused(MODELS, name), refused(MODELS, name, BOUND)):
        assert fault.detail.isprintable()
        assert len(fault.detail) < 300


def test_names_are_those_that_the_caller_may_ask_for() -> None:
    assert WITH_ANY.names(ANYONE) == ["embed", "gpt-4o"]
    assert WITH_ANY.names(BOUND) == ["gpt-4o"]


def test_names_stand_in_the_order_of_the_configuration_too() -> None:
    models = Models({name: {} for name in ("zeta", "*", "gpt-4o", "alpha")})
    assert models.names_as_configured(ANYONE) == ["zeta", "gpt-4o", "alpha"]
    assert models.names_as_configured(BOUND) == ["gpt-4o"]
    assert models.names(ANYONE) == ["alpha", "gpt-4o", "zeta"]


def test_an_attempt_leaves_time_for_the_next() -> None:
    deadline = now = 100.0
    deadline += 60.0
    for made, most_s in ((0, 40.0), (1, 13.4), (2, 6.7)):
        until = attempt_until(made, 3, now, deadline)
        assert 0.0 < until - now <= most_s
        now = until
    assert now == deadline
    assert attempt_until(0, 1, 100.0, deadline) == deadline
