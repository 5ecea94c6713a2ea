"""What of a chat's stream can be continued, and how the rest becomes one answer with it."""

from __future__ import annotations

import json
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from headrace.gateway import continuation
from headrace.gateway.continuation import TEXT_LIMIT_BYTES, Transcript
from headrace.gateway.resuming import Resumable
from headrace.nouns import Usage
from headrace.services.service import BadAnswer
from support.replies import Listener

ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
USED = Usage(input_tokens=100, output_tokens=7, source="estimated")


def body(**fields: Any) -> bytes:
    return json.dumps(ASK | fields).encode()


def chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> bytes:
    choices = [{"index": 0, "delta": delta or {}, "finish_reason": finish, "logprobs": None}]
    return json.dumps(
        {"id": "1", "created": 5, "model": "one", "choices": choices} | fields
    ).encode()


def event(data: bytes, eol: bytes = b"\n") -> bytes:
    return b"data: " + data + 2 * eol


def said(*pieces: str) -> Transcript:
    transcript = Transcript()
    transcript.read(event(chunk({"role": "assistant", "content": ""})))
    for piece in pieces:
        transcript.read(event(chunk({"content": piece})))
    return transcript


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 1},
        {"n": None, "tools": [], "logprobs": False, "top_logprobs": None},
        {"response_format": {"type": "text"}, "modalities": ["text"]},
        {"messages": [{"role": "assistant", "content": "a"}, {"role": "user", "content": [1]}]},
    ],
)
def test_plain_text_is_asked_for(fields: dict[str, Any]) -> None:
    assert continuation.is_plain(body(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"tools": [{"type": "function"}]},
        {"functions": [{}]},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema"}},
        {"logprobs": True},
        {"top_logprobs": 2},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
        {"web_search_options": {"a": 1}},
        {"messages": []},
        {"messages": ["hi"]},
        {"messages": [{"role": "user"}, {"role": "assistant", "content": "I"}]},
    ],
)
def test_other_than_plain_text_is_asked_for(fields: dict[str, Any]) -> None:
    assert not continuation.is_plain(body(**fields))
    assert not continuation.is_plain(b"{}")


@given(st.lists(st.text(), min_size=1), st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_the_text_is_what_was_said(pieces: list[str], escaped: bool, eol: bytes) -> None:
    transcript = Transcript()
    for piece in pieces:
        data = json.loads(chunk())
        data["choices"][0]["delta"] = {"content": piece}
        transcript.read(event(json.dumps(data, ensure_ascii=escaped).encode(), eol))
    text = "".join(pieces)
    assert transcript.text() == (text or None)


@pytest.mark.parametrize(
    "events",
    [
        event(chunk({}, "stop")),
        event(chunk({"content": "x"}, "length")),
        event(chunk({"tool_calls": [{"index": 0}]})),
        event(chunk({"refusal": "no"})),
        event(chunk({"reasoning_content": "hm"})),
        event(chunk({"content": [{"type": "text"}]})),
        event(b'{"choices":[{"index":1,"delta":{"content":"x"}}]}'),
        event(b'{"choices":[{"delta":{"content":"x"},"logprobs":{"content":[1]}}]}'),
        event(b'{"choices":[{"delta":"x"}]}'),
        event(b'{"choices":[{"delta":{"content":"half a character: \\ud83c"}}]}'),
        event(chunk({"content": "x" * (TEXT_LIMIT_BYTES + 1)})),
    ],
)
def test_what_cannot_be_continued(events: bytes) -> None:
    transcript = said("some text")
    assert transcript.text() == "some text"
    transcript.read(events)
    assert transcript.text() is None
    transcript.read(event(chunk({"content": "more"})))
    assert transcript.text() is None


@pytest.mark.parametrize("delta", [{"refusal": None}, {"tool_calls": []}, {"content": None}, {}])
def test_what_says_nothing_hinders_nothing(delta: dict[str, Any]) -> None:
    transcript = said("a")
    transcript.read(b": ping\n\n" + event(chunk(delta)) + event(b'{"choices":[],"usage":null}'))
    assert transcript.text() == "a"


def test_nothing_was_said() -> None:
    assert Transcript().text() is None
    assert said().text() is None


@pytest.mark.parametrize(
    ("provider", "last"),
    [
        ("openai", {"role": "assistant", "content": 'Ü"\n'}),
        ("mistral", {"role": "assistant", "content": 'Ü"\n', "prefix": True}),
        ("deepseek", {"role": "assistant", "content": 'Ü"\n', "prefix": True}),
    ],
)
def test_what_the_next_is_asked(provider: str, last: dict[str, Any]) -> None:
    asked = body(max_tokens=10, max_completion_tokens=3, seed=1, stream=True)
    made = json.loads(continuation.request(asked, 'Ü"\n', provider, 4))
    assert made.pop("messages") == [*ASK["messages"], last]
    assert made == {
        "model": "m",
        "max_tokens": 6,
        "max_completion_tokens": 1,
        "seed": 1,
        "stream": True,
    }


def rest(*events: bytes, shown: bool = False) -> list[Any]:
    """What the client gets of them: the data of each event."""
    transcript = said("Hello")
    transcript.continued(USED)
    out = transcript.rewritten(b"".join(events))
    parts = [part for part in out.split(b"\n\n") if part]
    return [json.loads(part[6:]) for part in parts if part != b"data: [DONE]"]


def other(delta: Any, finish: str | None = None, **fields: Any) -> bytes:
    return event(chunk(delta, finish, **({"id": "2", "created": 6, "model": "two"} | fields)))


def test_the_rest_has_the_first_ones_identity_and_no_second_role() -> None:
    got = rest(
        other({}, choices=[], prompt_filter_results=[]),
        other({"role": "assistant", "content": "", "refusal": None}),
        other({"role": "assistant", "content": " ü"}, system_fingerprint="fp"),
        other({}, "stop"),
        b"data: [DONE]\n\n",
    )
    assert {(g["id"], g["created"], g["model"]) for g in got} == {("1", 5, "one")}
    choices = [choice for g in got for choice in g["choices"]]
    assert [c["delta"] for c in choices] == [{"content": " ü"}, {}]
    assert [c["finish_reason"] for c in choices] == [None, "stop"]
    assert got[1]["system_fingerprint"] == "fp"


def test_the_rest_keeps_its_bytes_where_nothing_must_change() -> None:
    transcript = said("Hello")
    transcript.continued(USED)
    odd = b'{"choices":[{"index":0,"delta":{"content":"\\u00fc\\ud83c\\udf0d"},"x":1e2}],"y":1.0}'
    out = transcript.rewritten(event(odd))
    assert b'"\\u00fc\\ud83c\\udf0d"' in out
    assert b'"x":1e2' in out
    assert b'"y":1.0' in out
    assert transcript.text() == "Helloü🌍"


def test_usage_is_of_both() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 3,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    (got,) = rest(other({}, choices=[], usage=usage))
    assert got["usage"] == {
        "prompt_tokens": 110,
        "completion_tokens": 10,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    for absurd in ({"prompt_tokens": 2**70}, {"completion_tokens": -1}, {"prompt_tokens": "x"}, 5):
        (told,) = rest(other({}, choices=[], usage=absurd))
        assert told["usage"] == absurd
    (null,) = rest(other({"content": "x"}, usage=None))
    assert null["usage"] is None


@pytest.mark.parametrize(
    "data", [b'{"choices":[{"delta":"x"}]}', b'{"choices":[1]}', b"[]", b'{"choices":{}}']
)
def test_what_is_no_event_of_a_chat(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        rest(event(data))


def test_comments_pass() -> None:
    transcript = said("Hello")
    transcript.continued(USED)
    events = b": ping\n\n" + b"data: [DONE]\n\n"
    assert transcript.rewritten(events) == events


def test_the_clients_reply_is_begun_once() -> None:
    client = Listener()
    reply = Resumable(client)
    committed = [reply.committed]
    reply.begin(b"x-headrace-backend: a\r\n")
    first = event(chunk({"role": "assistant", "content": "Hel"}))
    reply.send(first)
    committed.append(reply.committed)
    reply.goes_on(USED)
    committed.append(reply.committed)
    assert client.committed
    reply.begin(b"x-headrace-backend: b\r\nx-headrace-cost-usd: 0.1\r\n")
    committed.append(reply.committed)
    assert committed == [False, True, False, True]  # of the attempt that runs
    reply.send(other({"role": "assistant", "content": ""}))
    reply.send(other({"content": "lo"}))
    reply.end(other({}, "stop") + b"data: [DONE]\n\n")
    assert client.ended
    assert client.sent[0] == first
    assert client.sent[1] == b": x-headrace-resumed: 1\n: x-headrace-backend: b\n\n"
    assert client.text.count(b"role") == 1
    assert client.text.count(b"[DONE]") == 1
