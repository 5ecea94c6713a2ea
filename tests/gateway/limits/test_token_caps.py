"""Defaults and maxima of `max_tokens`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from headrace.config.caps import TokenCapRule
from headrace.errors import Reason, Refused
from headrace.gateway.limits.token_caps import TokenCaps
from headrace.nouns import Call, Caller, Operation
from support.replies import call

MEMBER = "max_output_tokens"
SUMMARY = Caller(key_id="k", tags=(("request_type", "summary"),))


def asking(caller: Caller | None = None, **members: Any) -> Call:
    body = {"model": "m", "messages": [], **members}
    raw = {
        name: Raw(json.dumps(body[name]).encode())
        for name in ("max_tokens", "max_completion_tokens")
        if name in body
    }
    made = call(json.dumps(body).encode(), **raw)
    if caller is not None:
        made.caller = caller
    return made


def sent(rule: TokenCapRule | list[TokenCapRule], asked: Call) -> dict[str, Any]:
    TokenCaps(rule if isinstance(rule, list) else [rule]).apply(asked)
    body: dict[str, Any] = json.loads(asked.body)
    for member in ("max_tokens", "max_completion_tokens"):
        raw = bytes(getattr(asked, member))
        assert body.get(member) == (json.loads(raw) if raw else None), "what is reserved is sent"
    return {k: v for k, v in body.items() if k.startswith("max_")}


def test_the_default_is_for_those_who_say_nothing() -> None:
    rule = TokenCapRule(default=100, most=500)
    assert sent(rule, asking()) == {"max_tokens": 100}
    assert sent(rule, asking(max_tokens=None)) == {"max_tokens": 100}
    assert sent(rule, asking(max_tokens=400)) == {"max_tokens": 400}
    assert sent(TokenCapRule(most=500), asking()) == {"max_tokens": 500}


def test_more_is_clamped_in_the_member_that_the_client_used() -> None:
    rule = TokenCapRule(most=500)
    assert sent(rule, asking(max_tokens=501)) == {"max_tokens": 500}
    assert sent(rule, asking(max_completion_tokens=10**9)) == {"max_completion_tokens": 500}
    both = asking(max_tokens=900, max_completion_tokens=5)
    assert sent(rule, both) == {"max_tokens": 500, "max_completion_tokens": 5}


@pytest.mark.parametrize("value", [1e9, "900", [5], True, -1, 10**15])
def test_what_is_no_number_is_no_way_around(value: Any) -> None:
    assert sent(TokenCapRule(most=500), asking(max_tokens=value)) == {"max_tokens": 500}


def test_more_is_refused_by_choice() -> None:
    rule = TokenCapRule(name="chats", most=500, above="refuse")
    with pytest.raises(Refused) as caught:
        sent(rule, asking(max_completion_tokens=501))
    assert caught.value.reason is Reason.TOKENS_OVER_CAP
    assert caught.value.param == "max_completion_tokens"
    assert "501" in caught.value.detail
    assert "'chats'" in caught.value.detail
    assert sent(rule, asking(max_tokens=500)) == {"max_tokens": 500}


def test_models_that_take_only_the_new_member() -> None:
    rule = TokenCapRule(default=100)
    for model in ("o3-mini", "gpt-5", "openai/o1"):
        asked = asking()
        asked.model = model
        assert sent(rule, asked) == {"max_completion_tokens": 100}
    new = TokenCapRule(default=100, written_as="max_completion_tokens")
    assert sent(new, asking()) == {"max_completion_tokens": 100}


def test_the_strictest_of_all_that_concern_a_call() -> None:
    rules = [
        TokenCapRule(most=1000, default=300),
        TokenCapRule(only={"model": "m"}, most=200, above="refuse"),
        TokenCapRule(only={"model": "other"}, most=10),
    ]
    assert sent(rules, asking()) == {"max_tokens": 200}
    with pytest.raises(Refused):
        sent(rules, asking(max_tokens=201))


def test_by_type_of_request() -> None:
    rules = [
        TokenCapRule(only={"type": "summary"}, most=50),
        TokenCapRule(only={"type": "chat"}, most=900),
    ]
    assert sent(rules, asking()) == {}
    said = asking()
    said.request_type = "chat"
    assert sent(rules, said) == {"max_tokens": 900}
    tagged = asking(SUMMARY)
    tagged.request_type = "chat"  # the key's tag is not the client's to change
    assert sent(rules, tagged) == {"max_tokens": 50}


def test_embeddings_have_no_answer_to_cap() -> None:
    asked = asking()
    asked.operation = Operation.EMBEDDINGS
    assert sent(TokenCapRule(most=1), asked) == {}


def test_the_rest_of_the_body_stays_as_it_is() -> None:
    body = b'{"messages":[{"role":"user","content":"\\u00e9 1.0"}],"x":1.50,"model":"m"}'
    asked = call(body)
    TokenCaps([TokenCapRule(default=7)]).apply(asked)
    assert asked.body == body[:-1] + b',"max_tokens":7}'


def test_responses_have_a_member_of_their_own() -> None:
    def responding(limit: int | None) -> dict[str, Any]:
        body = {"model": "o3", "input": "Hi", **({} if limit is None else {MEMBER: limit})}
        asked = call(json.dumps(body).encode(), max_tokens=Raw(json.dumps(limit).encode()))
        asked.operation = Operation.RESPONSES
        TokenCaps([TokenCapRule(default=100, most=500, written_as="max_tokens")]).apply(asked)
        read: dict[str, Any] = json.loads(asked.body)
        assert json.loads(bytes(asked.max_tokens)) == read[MEMBER], "what is reserved is sent"
        return {k: v for k, v in read.items() if k.startswith("max_")}

    assert responding(None) == {MEMBER: 100}
    assert responding(501) == {MEMBER: 500}
    assert responding(7) == {MEMBER: 7}
