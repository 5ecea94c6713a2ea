"""Who decides what a call gets: its own script, a rule, the default; and how bytes go out."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest

from headrace_upstream import Behaviour, ScriptedUpstream
from upstream.wire import (
    AZURE,
    CHAT,
    CHAT_PATHS,
    MESSAGES,
    ask,
    chat_body,
    hang_up,
    read_answer,
    request_bytes,
)

CJK = "水車は回る。🎡 naïve — 물레방아 👩‍👩‍👧 Ω"
MARKED = 'Hi [[script {"text": "scripted", "fault": null}]] there'


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (chat_body(MARKED), ""),
        (chat_body(user='script:{"text": "scripted"}'), ""),
        (chat_body(metadata={"script": 'script:{"text": "scripted"}'}), ""),
        (chat_body(metadata={"user_id": 'script:{"text": "scripted"}'}), ""),
        (chat_body(), 'X-Script: {"text": "scripted"}\r\n'),
    ],
)
async def test_a_call_may_carry_its_script(body: dict[str, Any], headers: str) -> None:
    async with ScriptedUpstream(status=500) as up:
        up.default({"status": 200})
        up.script({"status": 503})
        answer = await ask(up, CHAT, body, headers=headers)
        assert answer.json()["choices"][0]["message"]["content"] == "scripted"
        assert (await ask(up)).status == 503


async def test_a_script_inherits_the_default() -> None:
    async with ScriptedUpstream(tokens=3) as up:
        body = chat_body('[[script {"model": "gpt-4o-2024-11-20"}]]')
        answer = (await ask(up, CHAT, body)).json()
    assert answer["usage"]["completion_tokens"] == 3
    assert answer["model"] == "gpt-4o-2024-11-20"


async def test_only_the_last_user_message_scripts() -> None:
    messages = [
        {"role": "user", "content": '[[script {"status": 500}]]'},
        {"role": "assistant", "content": '[[script {"status": 500}]]'},
        {"role": "user", "content": [{"type": "text", "text": '[[script {"text": "x"}]]'}]},
    ]
    async with ScriptedUpstream() as up:
        assert (await ask(up, CHAT, {"model": "m", "messages": messages})).status == 200


async def test_embedding_input_may_carry_a_script() -> None:
    async with ScriptedUpstream() as up:
        body = {"model": "e", "input": '[[script {"status": 503}]]'}
        assert (await ask(up, "/v1/embeddings", body)).status == 503


@pytest.mark.parametrize(
    "script", ['{"tokes": 3}', '{"fault": "unheard_of"}', '{"tokens": "x"}', '{"a": ']
)
async def test_a_wrong_script_is_told(script: str) -> None:
    async with ScriptedUpstream() as up:
        answer = await ask(up, CHAT, chat_body(user="script:" + script))
    assert answer.status == 400
    assert "script in this request is wrong" in answer.json()["error"]["message"]


async def test_echo_repeats_the_text_without_its_script() -> None:
    async with ScriptedUpstream(echo=True) as up:
        for text in ("one", "two", CJK, 'three [[script {"echo": true}]]'):
            said = (await ask(up, CHAT, chat_body(text))).json()
            assert said["choices"][0]["message"]["content"] == text.split(" [[")[0]


async def test_rules_are_used_up_in_order() -> None:
    async with ScriptedUpstream() as up:
        up.script({"status": 500}, times=2)
        up.script({"status": 503})
        assert [(await ask(up)).status for _ in range(4)] == [500, 500, 503, 200]


async def test_rules_match() -> None:
    async with ScriptedUpstream(tag="east") as up:
        up.script({"status": 401}, times=None, model="other")
        up.script({"status": 402}, times=None, deployment="east")
        up.script({"status": 403}, times=None, path="/v1/messages")
        up.script({"status": 404}, times=None, tag="west")
        up.script({"status": 408}, times=None, stream=True)
        up.script({"status": 409}, times=None, tag="east")
        assert (await ask(up, CHAT, chat_body(model="other"))).status == 401
        assert (await ask(up, AZURE)).status == 402
        assert (await ask(up, MESSAGES)).status == 403
        assert (await ask(up, CHAT, chat_body(stream=True))).status == 408
        assert (await ask(up)).status == 409


async def test_a_percentage_is_the_same_for_a_seed() -> None:
    async def statuses(seed: int) -> list[int]:
        async with ScriptedUpstream() as up:
            up.script({"status": 500}, times=None, percent=30, seed=seed)
            return [(await ask(up)).status for _ in range(40)]

    first = await statuses(1)
    assert first == await statuses(1) != await statuses(2)
    assert 4 <= first.count(500) <= 20


async def test_admin_endpoints() -> None:
    async with ScriptedUpstream() as up:
        script = {
            "default": {"text": "new"},
            "rules": [
                {"behaviour": {"fault": "money"}, "match": {"model": "gpt-4o"}, "times": 1},
            ],
        }
        assert (await ask(up, "/_script", script)).json()["rules"][0]["left"] == 1
        assert (await ask(up)).status == 429
        assert (await ask(up)).json()["choices"][0]["message"]["content"] == "new"
        await ask(up, "/_script", method="DELETE")
        assert (await ask(up)).json()["choices"][0]["message"]["content"] != "new"
        seen = (await ask(up, "/_seen", method="GET", headers="")).json()
        assert [call["status"] for call in seen] == [429, 200, 200]
        stats = (await ask(up, "/_stats", method="GET")).json()
        assert (stats["calls"], stats["completed"], stats["faulted"]) == (3, 2, 1)
        await ask(up, "/_seen", method="DELETE")
        assert (await ask(up, "/_seen", method="GET")).json() == []
        wrong = await ask(up, "/_script", {"default": {"fault": {"kind": "cut", "how": "x"}}})
        assert (wrong.status, "how" in wrong.json()["error"]) == (400, True)
        assert (await ask(up, "/_nothing", method="GET")).status == 404


async def test_seen_shows_no_credential() -> None:
    async with ScriptedUpstream() as up:
        await ask(
            up, headers="Authorization: Bearer sk-secret-secret\r\nX-Api-Key: sk-other-key\r\n"
        )
        shown = (await ask(up, "/_seen", method="GET")).body
        assert up.seen[0].header("Authorization") == "Bearer sk-secret-secret"
    assert b"secret-s" not in shown
    assert b"other" not in shown


async def test_require_key() -> None:
    async with ScriptedUpstream(require_key="right") as up:
        assert (await ask(up)).status == 401
        assert (await ask(up, headers="authorization: Bearer wrong\r\n")).status == 401
        assert (await ask(up, headers="authorization: Bearer right\r\n")).status == 200
        assert (await ask(up, AZURE, headers="api-key: right\r\n")).status == 200
        assert (await ask(up, MESSAGES, headers="x-api-key: right\r\n")).status == 200


@pytest.mark.parametrize("path", CHAT_PATHS)
@pytest.mark.parametrize("split", ["utf8", 1, 7, [3, 400, 401]])
async def test_split_changes_the_chunks_not_the_bytes(path: str, split: Any) -> None:
    async with ScriptedUpstream(text=CJK) as up:
        whole = await ask(up, path, chat_body(stream=True))
        cut = await ask(up, path, chat_body(stream=True), script={"text": CJK, "split": split})
    assert _without_ids(cut.body) == _without_ids(whole.body)
    if split == "utf8":
        ends = [chunk[-1] for chunk in cut.chunks[:-1]]
        assert all(byte >= 0xC0 for byte in ends)
        assert len(ends) == sum(ord(char) > 127 for char in CJK)
    elif isinstance(split, list):
        assert [len(chunk) for chunk in cut.chunks[:-1]] == [3, 397, 1]
    else:
        assert {len(chunk) for chunk in cut.chunks[:-1]} == {split}


async def test_split_cuts_a_whole_answer_too() -> None:
    async with ScriptedUpstream(text=CJK, split=5, framing="chunked") as up:
        answer = await ask(up)
    assert {len(chunk) for chunk in answer.chunks[:-1]} == {5}
    assert answer.json()["choices"][0]["message"]["content"] == CJK


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_framing(framing: str, stream: bool) -> None:
    async with ScriptedUpstream(framing=framing) as up:
        answer = await ask(up, CHAT, chat_body(stream=stream))
    assert ("content-length" in answer.headers) == (framing == "length")
    assert ("transfer-encoding" in answer.headers) == (framing == "chunked")
    assert answer.ended == ("eof" if framing == "close" else "open")
    assert answer.body.endswith(b"data: [DONE]\n\n" if stream else b"}")


async def test_line_ends_and_comments() -> None:
    async with ScriptedUpstream(eol="crlf", comment_every=2, tokens=4) as up:
        body = (await ask(up, CHAT, chat_body(stream=True))).body
    assert body.count(b"\n") == body.count(b"\r\n")
    assert body.count(b": keep-alive\r\n\r\n") == 3
    assert body.endswith(b"data: [DONE]\r\n\r\n")


async def test_headers_and_connection_close() -> None:
    async with ScriptedUpstream(headers={"x-request-id": "mine", "x-more": "1"}) as up:
        up.default({"keep_alive": False})
        answer = await ask(up)
    assert (answer.headers["x-request-id"], answer.headers["x-more"]) == ("mine", "1")
    assert (answer.headers["connection"], answer.ended) == ("close", "eof")


async def test_waits_change_no_byte() -> None:
    async with ScriptedUpstream(tokens=4) as up:
        swift = await ask(up, CHAT, chat_body(stream=True))
        waits = {"tokens": 4, "head_ms": 3, "ttft_ms": 3, "gap_ms": 3}
        slow = await ask(up, CHAT, chat_body(stream=True), script=waits)
    assert _without_ids(slow.body) == _without_ids(swift.body)
    assert [len(chunk) for chunk in slow.chunks] == [len(chunk) for chunk in swift.chunks]


async def test_usage_as_scripted() -> None:
    usage = {"input": 1000, "output": 7, "cached": 900, "reasoning": 5}
    async with ScriptedUpstream(usage=usage) as up:
        told = (await ask(up)).json()["usage"]
        assert (told["prompt_tokens"], told["completion_tokens"]) == (1000, 7)
        assert told["total_tokens"] == 1007
        assert told["prompt_tokens_details"]["cached_tokens"] == 900
        assert told["completion_tokens_details"]["reasoning_tokens"] == 5
        assert (up.seen[0].tokens_in, up.seen[0].tokens_out) == (1000, 7)
        assert "usage" not in (await ask(up, script={"report_usage": False})).json()


async def test_pipelined_calls_are_answered_in_order() -> None:
    async with ScriptedUpstream(echo=True, ttft_ms=1) as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        texts = [f"call {number}" for number in range(20)]
        writer.write(b"".join(request_bytes(CHAT, chat_body(text)) for text in texts))
        said = b""
        while said.count(b'"chat.completion"') < len(texts):
            said += await reader.read(65536)
        await hang_up(writer)
    places = [said.find(b'"content":"%b"' % text.encode()) for text in texts]
    assert -1 not in places
    assert places == sorted(places)


async def test_expect_continue_is_answered() -> None:
    async with ScriptedUpstream() as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        head, _, body = request_bytes(
            CHAT, chat_body(), headers="Expect: 100-continue\r\n"
        ).partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await read_answer(reader)).status == 200
        await hang_up(writer)


async def test_bytes_that_are_not_http() -> None:
    async with ScriptedUpstream() as up:
        reader, writer = await asyncio.open_connection(up.host, up.port)
        writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await read_answer(reader)).status == 400
        await hang_up(writer)
        assert (up.stats.bad_requests, up.stats.calls) == (1, 0)


def test_a_behaviour_is_json() -> None:
    behaviour = Behaviour(text="x", split=[1, 2])
    assert msgspec.json.decode(msgspec.json.encode(behaviour), type=Behaviour) == behaviour


def _without_ids(body: bytes) -> bytes:
    return re.sub(rb'"created":\d+|(?<=[-_])0[0-9a-f]{23}', b"", body)
