"""OpenAI's wire format: what is changed of a body, what is seen in an event."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.nouns import Call, Caller, Dialect, Operation
from headrace.platform.http.messages import Origin
from headrace.services.openai import OpenAIService
from headrace.services.openai_wire import OpenAIStreamReader, asking_for_usage, members_of, written
from headrace.services.service import BadAnswer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(max_size=6) | st.sampled_from(["model", "stream"]), VALUES)


@settings(max_examples=80, deadline=None)
@given(BODIES, st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_only_what_must_change_changes(
    body: dict[str, Any], ascii_only: bool, separators: tuple[str, str]
) -> None:
    raw = json.dumps(body, ensure_ascii=ascii_only, separators=separators).encode()
    changed = written(members_of(raw) | {"model": msgspec.Raw(b'"other"')})
    assert json.loads(changed) == body | {"model": "other"}
    before = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    after = msgspec.json.decode(changed, type=dict[str, msgspec.Raw])
    for name in before:
        assert name == "model" or bytes(before[name]) == bytes(after[name])
    assert json.loads(written(members_of(raw))) == body


def test_a_compact_body_keeps_its_bytes() -> None:
    raw = b'{"model":"m","messages":[ {"a" : 1e400} ],"\xc3\xa9":"\\u00e9"}'
    assert written(members_of(raw)) == raw


@pytest.mark.parametrize(
    "raw",
    [
        b'{"model":"a","model":"b"}',
        b'{"mod\\u0065l":"a","model":"b"}',
        b'{"model":"b","mod\\u0065l":"b"}',
    ],
)
def test_what_could_be_read_in_two_ways_is_written_once(raw: bytes) -> None:
    assert written(members_of(raw)) == b'{"model":"b"}'


@pytest.mark.parametrize(
    ("body", "options"),
    [
        (b"{}", {"include_usage": True}),
        (b'{"stream_options":null}', {"include_usage": True}),
        (b'{"stream_options":{"include_usage":false}}', {"include_usage": True}),
        (
            b'{"stream_options":{"include_obfuscation":false}}',
            {"include_obfuscation": False, "include_usage": True},
        ),
    ],
)
def test_asking_for_usage_keeps_other_options(body: bytes, options: dict[str, bool]) -> None:
    asked = asking_for_usage(members_of(body).get("stream_options"))
    assert json.loads(bytes(asked)) == options


def call(**fields: Any) -> Call:
    made: dict[str, Any] = {
        "id": "an-id-1", "dialect": Dialect.OPENAI, "operation": Operation.CHAT, "model": "alias",
        "body_model": "alias", "body": b'{"model":"alias","messages":[]}', "stream": False,
        "wants_usage": False, "caller": Caller(key_id="k"), "received_at": 0.0,
    }  # fmt: skip
    return Call(**{**made, **fields})


def test_requests() -> None:
    service = OpenAIService(
        origin=Origin("http", "h", 80),
        path="/v1",
        headers=[(b"Authorization", b"Bearer secret")],
        model="real",
    )
    request = service.request(call(stream=True))
    assert json.loads(request.body) == {
        "model": "real", "messages": [], "stream_options": {"include_usage": True}
    }  # fmt: skip
    assert b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\n" in request.head
    assert request.head.endswith(b"x-request-id: an-id-1\r\n")
    assert "secret" not in repr(service) + repr(request)
    asked = call(stream=True, wants_usage=True, body=b'{"model":"real"}', body_model="real")
    assert service.request(asked).body == asked.body


def events(*chunks: dict[str, Any] | str) -> list[tuple[bytes, bytes]]:
    datas = [
        c.encode() if isinstance(c, str) else json.dumps(c, separators=(",", ":")).encode()
        for c in chunks
    ]
    return [(b"data: %b\n\n" % data, data) for data in datas]


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
STREAM = events(
    chunk({"role": "assistant", "content": ""}, usage=None),
    chunk({"content": "Hi"}, usage=None),
    chunk({}, "stop", usage=None),
    {"choices": [], "usage": USAGE},
    "[DONE]",
)


def test_usage_is_read_and_hidden() -> None:
    reader = OpenAIStreamReader(hide_usage=True)
    reads = [reader.read(*event) for event in STREAM]
    assert [read.content for read in reads] == [False, True, True, False, False]
    assert b"usage" not in b"".join(read.forward for read in reads)
    assert reads[3].forward == b""
    assert reads[3].usage is not None
    assert (reads[3].usage.input_tokens, reads[3].usage.cached_tokens) == (3, 1)
    assert reads[4].terminal


MEMBERS = st.dictionaries(st.sampled_from(["id", "x", "é", "usage"]), VALUES, max_size=3)


@settings(max_examples=80, deadline=None)
@given(
    MEMBERS.map(lambda members: {k: v for k, v in members.items() if k != "usage"}),
    MEMBERS,
    st.sampled_from([None, USAGE]),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.booleans(),
)
def test_hiding_usage_takes_nothing_else(
    around: dict[str, Any],
    inside: dict[str, Any],
    usage: dict[str, Any] | None,
    first: bool,
    separators: tuple[str, str],
    begun: bool,
) -> None:
    """A `usage` of the event goes, one anywhere inside it stays, and all else with it."""
    rest = {**around, "choices": [{"index": 0, "delta": {"content": "x", "more": inside}}]}
    chunk = {"usage": usage, **rest} if first else {**rest, "usage": usage}
    data = json.dumps(chunk, separators=separators).encode()
    reader = OpenAIStreamReader(hide_usage=True)
    if begun:
        reader.read(*STREAM[1])
    read = reader.read(b"data: %b\n\n" % data, data)
    assert json.loads(read.forward.removeprefix(b"data: ")) == rest
    assert (read.usage is not None) == (usage is not None)
    assert read.content


def test_usage_that_was_asked_for_passes() -> None:
    reader = OpenAIStreamReader(hide_usage=False)
    reads = [reader.read(*event) for event in STREAM]
    assert b"".join(read.forward for read in reads) == b"".join(event for event, _ in STREAM)
    assert reads[3].usage is not None


def test_usage_beside_content() -> None:
    """Some providers send it with the last content: that stays, the usage goes."""
    (event,) = events(chunk({"content": "!"}, "stop", usage=USAGE, id="x"))
    read = OpenAIStreamReader(hide_usage=True).read(*event)
    assert read.usage is not None
    assert json.loads(read.forward[6:]) == chunk({"content": "!"}, "stop", id="x")


@pytest.mark.parametrize(
    "delta",
    [{"content": "x"}, {"tool_calls": [{"index": 0}]}, {"refusal": "no"}, {"reasoning": "hm"}],
)
def test_what_counts_as_content(delta: dict[str, Any]) -> None:
    (event,) = events(chunk(delta))
    assert OpenAIStreamReader(hide_usage=True).read(*event).content


@pytest.mark.parametrize("data", ["{", "[]", '"x"', "{}", '{"choices":7}', "<html>"])
@pytest.mark.parametrize("begun", [False, True])
def test_bad_events(data: str, begun: bool) -> None:
    reader = OpenAIStreamReader(hide_usage=True)
    if begun:
        reader.read(*STREAM[1])
    (event,) = events(data)
    with pytest.raises(BadAnswer):
        reader.read(*event)


@pytest.mark.parametrize("begun", [False, True])
def test_errors_in_a_stream(begun: bool) -> None:
    reader = OpenAIStreamReader(hide_usage=True)
    if begun:
        reader.read(*STREAM[1])
    (event,) = events({"error": {"message": "boom"}})
    read = reader.read(*event)
    assert read.error == b'{"message":"boom"}'
    assert read.forward == b""
    (fine,) = events({**chunk({"content": "x"}), "error": None})
    assert reader.read(*fine).content
