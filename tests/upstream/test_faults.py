"""Every fault, as it is on the raw socket."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import pytest

from headrace_upstream import ScriptedUpstream
from headrace_upstream.faults import AnyFault
from upstream.wire import (
    AZURE,
    CHAT,
    CHAT_PATHS,
    MESSAGES,
    Answer,
    ask,
    chat_body,
    hang_up,
    request_bytes,
)

STREAM = chat_body(stream=True)


async def fault(kind: str, path: str = CHAT, stream: bool = False, **fields: Any) -> Answer:
    """What a call gets from an upstream with this fault."""
    async with ScriptedUpstream(fault={"kind": kind, **fields}, tokens=6) as up:
        answer = await ask(up, path, chat_body(stream=stream))
        assert up.seen[0].fault == kind
        return answer


@pytest.mark.parametrize(
    ("field", "header", "value"),
    [
        ("retry_after", "retry-after", 20),
        ("retry_after", "retry-after", 1.5),
        ("retry_after", "retry-after", "-1"),
        ("retry_after", "retry-after", 0),
        ("retry_after", "retry-after", "soon"),
        ("retry_after_ms", "retry-after-ms", 3000),
        ("reset_requests", "x-ratelimit-reset-requests", "6m0s"),
        ("reset_tokens", "x-ratelimit-reset-tokens", -1),
    ],
)
@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_rate_limit_says_when(path: str, field: str, header: str, value: Any) -> None:
    answer = await fault("rate_limited", path, **{field: value})
    assert answer.status == 429
    assert answer.headers[header] == str(value)
    assert "error" in answer.json()


async def test_rate_limit_without_a_word_says_nothing() -> None:
    assert "retry-after" not in (await fault("rate_limited")).headers


@pytest.mark.parametrize("skew_s", [0.0, 3600.0, -3600.0])
async def test_http_date_is_relative_to_the_date_header(skew_s: float) -> None:
    script = {"kind": "rate_limited", "retry_after_date_s": 30, "reset_rfc3339_s": 30}
    async with ScriptedUpstream(fault=script, date_skew_s=skew_s) as up:
        answer = await ask(up)
        now_s = up.seen[0].time_s
    date = parsedate_to_datetime(answer.headers["date"])
    assert (parsedate_to_datetime(answer.headers["retry-after"]) - date).total_seconds() == 30
    assert int(date.timestamp()) == int(now_s + skew_s)
    assert answer.headers["anthropic-ratelimit-requests-reset"].endswith("Z")


@pytest.mark.parametrize(
    ("path", "form", "status", "words"),
    [
        (CHAT, None, 429, b"insufficient_quota"),
        (AZURE, None, 429, b"insufficient_quota"),
        (MESSAGES, None, 429, b"enforced_spend_limit_reached"),
        (MESSAGES, "credit_balance", 400, b"credit balance is too low"),
        (CHAT, "payment_required", 402, b"Payment required"),
    ],
)
async def test_money(path: str, form: str | None, status: int, words: bytes) -> None:
    answer = await fault("money", path, form=form)
    assert answer.status == status
    assert words in answer.body
    assert not any("retry" in name for name in answer.headers)


@pytest.mark.parametrize("status", [401, 403, 404, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_status_in_the_dialects_words(path: str, status: int) -> None:
    async with ScriptedUpstream(status=status) as up:
        answer = await ask(up, path)
    assert answer.status == status
    error = answer.json()["error"]
    assert (
        set(error)
        == {
            CHAT: {"message", "type", "param", "code"},
            AZURE: {"code", "message"},
            MESSAGES: {"type", "message"},
        }[path]
    )


async def test_connection_is_reset_before_bytes() -> None:
    assert (await fault("reset"))[3] == "reset"


async def test_connection_is_closed_before_bytes() -> None:
    assert await fault("hangup") == Answer(0, {}, b"", "eof")


async def test_connections_are_refused() -> None:
    async with ScriptedUpstream() as up:
        up.refuse_connections(1)
        assert (await ask(up)).ended in ("reset", "eof")
        assert (await ask(up)).status == 200
        assert (up.stats.connections_refused, up.stats.calls) == (1, 1)


async def test_a_stopped_upstream_refuses_and_a_restarted_one_answers() -> None:
    async with ScriptedUpstream() as up:
        await up.stop()
        with pytest.raises(ConnectionRefusedError):
            await ask(up)
        await up.restart()
        assert (await ask(up)).status == 200


@pytest.mark.parametrize("path", CHAT_PATHS)
@pytest.mark.parametrize("after", [-1, 0, 2])
@pytest.mark.parametrize(
    ("how", "framing", "ended"),
    [
        ("eof", "close", "eof"),
        ("rst", "close", "reset"),
        ("clean_end", "chunked", "open"),
        ("broken_chunk", "chunked", "eof"),
    ],
)
async def test_cut(path: str, after: int, how: str, framing: str, ended: str) -> None:
    answer = await fault("cut", path, stream=True, after=after, how=how)
    assert answer.status == 200
    assert answer.ended == ended
    assert ("transfer-encoding" in answer.headers) == (framing == "chunked")
    assert _tokens(answer) == max(after, 0)
    assert bool(answer.events) == (after >= 0)
    assert b"[DONE]" not in answer.body
    assert b"message_stop" not in answer.body
    assert answer.raw.endswith(b"0\r\n\r\n") == (how == "clean_end")


async def test_cut_at_a_byte() -> None:
    assert len((await fault("cut", stream=True, at_byte=101)).body) == 101


@pytest.mark.parametrize("how", ["eof", "rst", "clean_end", "broken_chunk"])
async def test_whole_answer_is_cut_in_its_body(how: str) -> None:
    answer = await fault("cut", how=how)
    with pytest.raises(msgspec.DecodeError):
        answer.json()
    if how in ("eof", "rst"):
        assert int(answer.headers["content-length"]) > len(answer.raw)


@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_stall_goes_on_after_its_time(path: str) -> None:
    answer = await fault("stall", path, stream=True, after=2, for_ms=20, pings_every_ms=5)
    assert _tokens(answer) == 6
    assert answer.body.count(b"ping") >= 3
    assert answer.ended == "open"


@pytest.mark.parametrize("pings_every_ms", [None, 1.0])
async def test_stall_lasts_until_the_client_leaves(pings_every_ms: float | None) -> None:
    script = {"kind": "stall", "after": 2, "pings_every_ms": pings_every_ms}
    async with ScriptedUpstream(fault=script) as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(_request(STREAM))
        await reader.readuntil(b" mill")
        if pings_every_ms:
            await reader.readuntil(b": ping\n\n")
            await reader.readuntil(b": ping\n\n")
        await hang_up(writer)
        await up.wait_for(lambda stats: stats.client_gone == 1 and stats.connections_open == 0)
        assert (up.seen[0].ended, up.seen[0].tokens_sent) == ("client_gone", 2)


async def test_silence_until_the_client_leaves() -> None:
    async with ScriptedUpstream(fault="silent") as up:
        _, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(_request(STREAM))
        await up.wait_for(lambda stats: stats.in_flight == 1)
        await hang_up(writer)
        await up.wait_for(lambda stats: stats.client_gone == 1)
        assert up.seen[0].bytes_sent == 0


async def test_slow_first_token_sends_the_head_first() -> None:
    async with ScriptedUpstream(fault={"kind": "slow_first_token", "wait_ms": 600_000}) as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(_request(STREAM))
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert b'"role":"assistant"' in await reader.readuntil(b"\n\n")
        await hang_up(writer)
        await up.wait_for(lambda stats: stats.client_gone == 1)
        assert up.seen[0].tokens_sent == 0


@pytest.mark.parametrize("form", ["bad_json", "garbage", "no_blank_line", "huge_event", "html"])
@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_bad_sse(path: str, form: str) -> None:
    answer = await fault("bad_sse", path, stream=True, form=form, after=1, bytes=1 << 20)
    marks = {
        "bad_json": b'data: {"id": "chatcmpl-\n',
        "garbage": b"\xff\xfe",
        "no_blank_line": b"}\ndata: " if path != MESSAGES else b"}\nevent: ",
        "huge_event": b"x" * ((1 << 20) - 64),
        "html": b"<html>",
    }
    assert marks[form] in answer.body
    assert answer.ended == "open"
    assert b"[DONE]" in answer.body or b"message_stop" in answer.body


@pytest.mark.parametrize("then", ["end", "done", "rst"])
@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_error_event(path: str, then: str) -> None:
    answer = await fault("error_event", path, stream=True, after=2, then=then, message="canary")
    errors = [event for event in answer.events if b"error" in event]
    assert msgspec.json.decode(errors[0])["error"]["message"] == "canary"
    assert _tokens(answer) == 2
    assert (b"[DONE]" in answer.body or b"message_stop" in answer.body) == (then == "done")
    assert answer.ended == ("reset" if then == "rst" else "open")


@pytest.mark.parametrize(
    ("form", "content_type", "mark"),
    [
        ("error_object", "application/json", b'"error"'),
        ("html", "text/html; charset=utf-8", b"<html>"),
        ("empty", "application/json", b""),
        ("other_json", "application/json", b'"items"'),
        ("truncated_json", "application/json", b'"choices":[{"ind'),
        ("text", "text/plain", b"upstream connect error"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_wrong_body(form: str, content_type: str, mark: bytes, stream: bool) -> None:
    answer = await fault("wrong_body", stream=stream, form=form)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert mark in answer.body
    assert (answer.body == b"") == (form == "empty")


async def test_content_filter_refuses() -> None:
    azure = (await fault("content_filter", AZURE)).json()["error"]
    assert azure["code"] == "content_filter"
    assert azure["innererror"]["code"] == "ResponsibleAIPolicyViolation"
    assert azure["innererror"]["content_filter_result"]["violence"]["filtered"] is True
    openai = await fault("content_filter", CHAT)
    assert (openai.status, openai.json()["error"]["code"]) == (400, "content_policy_violation")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_content_filter_stops_the_answer(path: str, stream: bool) -> None:
    answer = await fault("content_filter", path, stream=stream, form="finish", after=2)
    word = b'"refusal"' if path == MESSAGES else b'"content_filter"'
    assert word in answer.body
    if stream:
        assert _tokens(answer) == 2


async def test_anthropic_refuses_with_a_stop_reason() -> None:
    answer = await fault("content_filter", MESSAGES)
    assert (answer.status, answer.json()["stop_reason"]) == (200, "refusal")


async def test_azure_says_that_the_filter_did_not_run() -> None:
    choice = (await fault("content_filter", AZURE, form="filter_error")).json()["choices"][0]
    assert choice["content_filter_results"]["error"]["code"] == "content_filter_error"
    assert choice["finish_reason"] == "stop"


async def test_azures_late_verdict_comes_after_the_text() -> None:
    answer = await fault("content_filter", AZURE, stream=True, form="late")
    last = msgspec.json.decode(answer.events[-2])["choices"][0]
    assert _tokens(answer) == 6
    assert last["content_filter_results"]["violence"]["filtered"] is True
    assert last["content_filter_offsets"]["start_offset"] == 0


@pytest.mark.parametrize(
    ("path", "form", "status", "words"),
    [
        (CHAT, "input", 400, b"context_length_exceeded"),
        (AZURE, "input", 400, b"context_length_exceeded"),
        (MESSAGES, "input", 400, b"prompt is too long: 130001 tokens > 128000 maximum"),
        (MESSAGES, "max_tokens", 400, b"exceed context limit: 128000 + 2001 > 128000"),
        (MESSAGES, "request_too_large", 413, b"request_too_large"),
        (CHAT, "bedrock", 400, b"Input is too long for requested model."),
    ],
)
async def test_context_too_long(path: str, form: str, status: int, words: bytes) -> None:
    answer = await fault("context_too_long", path, form=form)
    assert answer.status == status
    assert words in answer.body


@pytest.mark.parametrize("path", [CHAT, AZURE])
async def test_bad_tool_json(path: str) -> None:
    answer = await fault("bad_tool_json", path, name="weather")
    called = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert called["name"] == "weather"
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(called["arguments"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_endless_is_bounded_by_its_bytes(path: str, stream: bool) -> None:
    answer = await fault("endless", path, stream=stream, bytes=3_000_000)
    assert 3_000_000 <= len(answer.body) < 3_100_000
    if not stream:
        answer.json()


async def test_endless_waits_for_a_slow_reader() -> None:
    async with ScriptedUpstream(fault="endless") as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(_request(STREAM))
        await reader.readexactly(1 << 20)
        await hang_up(writer)
        await up.wait_for(lambda stats: stats.client_gone == 1)
        assert up.seen[0].bytes_sent < 64 << 20


async def test_endless_to_a_client_that_left_is_not_played_to_its_end() -> None:
    """It had asked and reset its connection before the upstream wrote: a write is the first that
    finds out."""
    async with ScriptedUpstream(fault={"kind": "endless", "bytes": 64 << 20}) as up:
        with socket.create_connection((up.host, up.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(_request(STREAM))
        await up.wait_for(lambda stats: stats.in_flight == 0 and stats.calls == 1)
        assert up.stats.client_gone == 1
        assert up.seen[0].bytes_sent < 1 << 20


@pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])
async def test_bomb(encoding: str, wbits: int) -> None:
    answer = await fault("bomb", bytes=50_000_000, encoding=encoding)
    assert answer.headers["content-encoding"] == encoding
    assert len(answer.body) < 200_000
    inflated = zlib.decompress(answer.body, wbits=wbits)
    assert len(inflated) > 50_000_000
    msgspec.json.decode(inflated)


@pytest.mark.parametrize("form", ["html", "stack_trace", "hostnames", "keys", "control_characters"])
async def test_hostile(form: str) -> None:
    answer = await fault("hostile", form=form, canary="CANARY", status=502)
    assert answer.status == 502
    assert answer.body.count(b"CANARY") >= 3


async def test_wrong_content_type() -> None:
    answer = await fault("wrong_content_type", stream=True, content_type="text/html")
    assert answer.headers["content-type"] == "text/html"
    assert answer.events[-1] == b"[DONE]"


@pytest.mark.parametrize("path", CHAT_PATHS)
async def test_missing_done(path: str) -> None:
    answer = await fault("missing_done", path, stream=True)
    assert _tokens(answer) == 6
    assert answer.ended == "open"
    assert b"[DONE]" not in answer.body
    assert b"message_stop" not in answer.body


async def test_huge_headers() -> None:
    answer = await fault("huge_headers", bytes=100_000, count=10)
    assert sum(len(value) for value in answer.headers.values()) > 100_000
    assert answer.json()["object"] == "chat.completion"


async def test_redirect() -> None:
    answer = await fault("redirect")
    assert answer.status == 302
    assert answer.headers["location"].startswith("http://169.254.169.254/")


def test_every_fault_is_tested_here() -> None:
    kinds = {each.__struct_config__.tag for each in AnyFault.__args__}
    with open(__file__) as file:
        text = file.read()
    assert {kind for kind in kinds if f'"{kind}"' not in text} == set()


def _tokens(answer: Answer) -> int:
    return sum(
        b'"text_delta"' in event or (b'"content":"' in event and b'"content":""' not in event)
        for event in answer.events
    )


def _request(body: dict[str, Any]) -> bytes:
    return request_bytes(CHAT, body)
