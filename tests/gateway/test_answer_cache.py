"""Answers are kept by tenant, only whole ones, and given in the form that is asked for."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from headrace.config.sharing import AnswerCachePolicy
from headrace.gateway.answer_cache import CacheKey, MemoryAnswers, answer_for, key_of
from headrace.gateway.answer_forms import as_asked, stopped
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call, Caller, Operation, Usage
from headrace.platform.http.sse import EventSplitter, data_of
from support.replies import call

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
HEAD = {"id": "c-1", "created": 1, "model": "real-model", "system_fingerprint": "fp"}


def whole(content: str | None = "Hello", finish: str = "stop", **message: Any) -> Recorded:
    said = {"role": "assistant", "content": content} | message
    choice = {"index": 0, "message": said, "finish_reason": finish, "logprobs": None}
    answer = HEAD | {"object": "chat.completion", "choices": [choice], "usage": USAGE}
    return Recorded(about=b"x: y\r\n", body=json.dumps(answer).encode())


def event(data: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(data).encode()


def stream(
    pieces: list[str], finish: str | None = "stop", *, usage: bool = False, **delta: Any
) -> Recorded:
    head = HEAD | {"object": "chat.completion.chunk"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""} | delta]
    deltas += [{"content": piece} for piece in pieces]
    events = [
        event(head | {"choices": [{"index": 0, "delta": d, "finish_reason": None}]}) for d in deltas
    ]
    events.append(event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    if usage:
        events.append(event(head | {"choices": [], "usage": USAGE}))
    events.append(b": ping\n\ndata: [DONE]\n\n")
    return Recorded(about=b"x: y\r\n", events=tuple(events))


def data_in(recorded: Recorded) -> list[bytes]:
    events = EventSplitter().feed(b"".join(recorded.events))
    return [data for e in events if (data := data_of(e)) is not None]


def text_of(recorded: Recorded) -> str:
    if recorded.body is not None:
        answer = ChatCompletion.model_validate_json(recorded.body, strict=True)
        return answer.choices[0].message.content or ""
    *chunks, done = data_in(recorded)
    assert done == b"[DONE]"
    read = [ChatCompletionChunk.model_validate_json(c, strict=True) for c in chunks]
    return "".join(c.choices[0].delta.content or "" for c in read if c.choices)


# --- forms


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6))
def test_a_stream_and_a_whole_answer_say_the_same_in_either_form(pieces: list[str]) -> None:
    content = "".join(pieces)
    asked, streamed = call(), call(stream=True)
    for recorded in (whole(content), stream(pieces), stream(pieces, usage=True)):
        for wants in (asked, streamed):
            given_ = as_asked(recorded, wants)
            assert given_ is not None
            assert (given_.body is None) is wants.stream
            assert text_of(given_) == content
            assert given_.about == recorded.about


def test_a_converted_answer_keeps_its_head_end_and_usage() -> None:
    made = as_asked(stream(["a", "b"], usage=True), call())
    assert made is not None and made.body is not None
    answer = json.loads(made.body)
    assert {name: answer[name] for name in HEAD} == HEAD
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == USAGE


def test_the_same_form_is_given_as_it_is() -> None:
    for recorded, asked in (
        (whole(), call()),
        (stream(["a"]), call(stream=True)),
        (stream(["a"], usage=True), call(stream=True, wants_usage=True)),
        (whole(None, tool_calls=[{"id": "1"}]), call()),
    ):
        assert as_asked(recorded, asked) is recorded


def test_usage_is_shown_in_a_stream_exactly_if_it_was_asked_for() -> None:
    for recorded in (whole(), stream(["a"], usage=True)):
        hidden = as_asked(recorded, call(stream=True))
        assert hidden is not None and b"usage" not in b"".join(hidden.events)
        shown = as_asked(recorded, call(stream=True, wants_usage=True))
        assert shown is not None
        chunks = [json.loads(d) for d in data_in(shown)[:-1]]
        assert chunks[-1]["usage"] == USAGE and chunks[-1]["choices"] == []


def test_usage_that_the_stream_hid_comes_from_the_record_or_it_is_a_miss() -> None:
    asked = call(stream=True, wants_usage=True)
    assert as_asked(stream(["a"]), asked) is None
    known = msgspec.structs.replace(stream(["a"]), usage=Usage(input_tokens=5, output_tokens=2))
    shown = as_asked(known, asked)
    assert shown is not None and json.loads(data_in(shown)[-2])["usage"] == USAGE


@pytest.mark.parametrize(
    "recorded",
    [
        whole(None, tool_calls=[{"id": "1"}]),
        whole("a", audio={"id": "1"}),
        Recorded(
            about=b"",
            body=(whole().body or b"").replace(
                b'"logprobs": null', b'"logprobs": {"content": [1]}'
            ),
        ),
        whole("", refusal="I will not."),
        stream(["a"], tool_calls=[{"index": 0}]),
        stream(["a"], finish=None),
        Recorded(about=b"", body=b"not json"),
        Recorded(about=b"", body=b"[]"),
        Recorded(about=b"", body=b'{"choices":[]}'),
        Recorded(about=b"", body=b'{"choices":[1]}'),
        Recorded(about=b"", events=(b"data: 1\n\n",)),
        Recorded(about=b"", events=(b"data: [DONE]\n\n",)),
    ],
)
def test_what_is_not_plain_text_has_no_other_form(recorded: Recorded) -> None:
    asked = call(stream=recorded.body is not None)
    assert as_asked(recorded, asked) is None


def test_other_operations_have_no_other_form() -> None:
    assert as_asked(whole(), call(stream=True, operation=Operation.COMPLETIONS)) is None


# --- what is kept


@pytest.mark.parametrize(
    ("recorded", "operation", "kept"),
    [
        (whole(), Operation.CHAT, True),
        (stream(["a"]), Operation.CHAT, True),
        (whole(finish="length"), Operation.CHAT, False),
        (whole(finish="content_filter"), Operation.CHAT, False),
        (whole(None, finish="tool_calls"), Operation.CHAT, False),
        (stream(["a"], finish="length"), Operation.CHAT, False),
        (stream(["a"], finish=None), Operation.CHAT, False),
        (Recorded(about=b"", body=b'{"data":[{"embedding":[1]}]}'), Operation.EMBEDDINGS, True),
        (Recorded(about=b"", body=b'{"data":[]}'), Operation.EMBEDDINGS, False),
        (Recorded(about=b"", body=b"<html>"), Operation.CHAT, False),
        (Recorded(about=b"", body=b'{"choices":[]}'), Operation.CHAT, False),
    ],
)
async def test_only_answers_to_their_natural_end_are_kept(
    recorded: Recorded, operation: Operation, kept: bool
) -> None:
    assert stopped(recorded, operation) is kept
    cache, key = MemoryAnswers(AnswerCachePolicy()), CacheKey("t", b"d", operation)
    assert await cache.put(key, recorded, 0.0) is kept
    assert (await cache.get(key, 1.0) is recorded) is kept


async def test_what_stood_in_for_an_answer_is_not_kept_as_one() -> None:
    cache, key = MemoryAnswers(AnswerCachePolicy()), CacheKey("t", b"d", Operation.CHAT)
    for name in (b"cache", b"message"):
        lines = b"x-headrace-answered-by: %b\r\n" % name
        assert not await cache.put(key, msgspec.structs.replace(whole(), about=lines), 0.0)


def test_one_choice_of_several_that_was_cut_spoils_the_answer() -> None:
    choices = [{"index": n, "finish_reason": f} for n, f in enumerate(["stop", "length"])]
    recorded = Recorded(about=b"", body=json.dumps({"choices": choices}).encode())
    assert not stopped(recorded, Operation.CHAT)


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [{"type": "function"}]},
        {"functions": [{"name": "f"}]},
        {"store": True},
        {"web_search_options": {"search_context_size": "low"}},
        {"messages": [{"role": "tool", "content": "42"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]},
    ],
)
def test_calls_with_tools_or_effects_have_no_key(members: dict[str, Any]) -> None:
    plain: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
    assert key_of(call(json.dumps(plain).encode())) is not None
    assert key_of(call(json.dumps(plain | members).encode())) is None


async def test_an_answer_is_found_in_either_form_but_by_its_tenant_alone() -> None:
    cache = MemoryAnswers(AnswerCachePolicy())
    key = key_of(call())
    assert key is not None
    await cache.put(key, whole("Hello"), 0.0)
    streamed = call(b'{"stream":true,' + call().body[1:], stream=True)
    found = await answer_for(cache, key_of(streamed), streamed, 1.0)
    assert found is not None and text_of(found) == "Hello"
    other: Call = call(caller=Caller(key_id="key-1", tenant="other"))
    assert await answer_for(cache, key_of(other), other, 1.0) is None
    assert await answer_for(cache, None, call(), 1.0) is None


async def test_a_purge_takes_one_tenants_answers() -> None:
    cache = MemoryAnswers(AnswerCachePolicy())
    keys = [CacheKey(t, d, Operation.CHAT) for t in ("a", "b") for d in (b"1", b"2")]
    for key in keys:
        await cache.put(key, whole(), 0.0)
    assert cache.purge("a") == 2
    assert [await cache.get(k, 0.0) is not None for k in keys] == [False, False, True, True]
    assert cache.purge("nobody") == 0


async def test_answers_end_by_chance_around_their_time() -> None:
    policy = AnswerCachePolicy(keep_s=100.0, keep_jitter=0.1)
    cache = MemoryAnswers(policy, random.Random(1))
    keys = [CacheKey("t", b"%d" % n, Operation.CHAT) for n in range(200)]
    for key in keys:
        await cache.put(key, whole(), 0.0)
    left = [sum([await cache.get(k, now) is not None for k in keys]) for now in (89, 100, 111)]
    assert left[0] == 200 and 50 < left[1] < 150 and left[2] == 0
    assert (len(cache), cache.kept_bytes) == (0, 0)


class CacheMachine(RuleBasedStateMachine):
    """Against a list in the order of use."""

    SIZES = st.integers(0, 400)
    KEYS = st.builds(
        CacheKey,
        st.sampled_from("ab"),
        st.sampled_from([b"1", b"2", b"3"]),
        st.just(Operation.CHAT),
    )

    def __init__(self) -> None:
        super().__init__()
        self.policy = AnswerCachePolicy(
            keep_s=10, keep_jitter=0, most_answers=4, most_bytes=1500, answer_bytes=600
        )
        self.cache = MemoryAnswers(self.policy)
        self.now = 0.0
        self.kept: list[tuple[CacheKey, Recorded, float]] = []

    @rule(key=KEYS, size=SIZES)
    def put(self, key: CacheKey, size: int) -> None:
        recorded = whole("x" * size)
        stored = run(self.cache.put(key, recorded, self.now))
        assert stored is (recorded.size_bytes <= 600)
        if not stored:
            return
        self.kept = [k for k in self.kept if k[0] != key]
        self.kept.append((key, recorded, self.now + 10))
        while len(self.kept) > 4 or sum(k[1].size_bytes for k in self.kept) > 1500:
            del self.kept[0]

    @rule(key=KEYS)
    def get(self, key: CacheKey) -> None:
        found = run(self.cache.get(key, self.now))
        mine = [k for k in self.kept if k[0] == key]
        self.kept = [k for k in self.kept if k[0] != key]
        if mine and self.now < mine[0][2]:
            assert found is mine[0][1]
            self.kept += mine
        else:
            assert found is None

    @rule(tenant=st.sampled_from("ab"))
    def purge(self, tenant: str) -> None:
        self.cache.purge(tenant)
        self.kept = [k for k in self.kept if k[0].tenant != tenant]

    @rule(seconds=st.floats(0, 11))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def as_many(self) -> None:
        assert len(self.cache) == len(self.kept)
        assert self.cache.kept_bytes == sum(k[1].size_bytes for k in self.kept)


def run(waiting: Any) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        waiting.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


TestCache = CacheMachine.TestCase
