"""The embedded chat model, over its real port."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from headrace.services.local.process import Endpoint
from services.local.calling import at_work, idle, post, slots, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT = "/v1/chat/completions"


def asking(text: str, **more: object) -> dict[str, object]:
    body = {"model": "any", "messages": [{"role": "user", "content": text}], "temperature": 0}
    return body | {"max_tokens": 24} | more


FRANCE = "What is the capital of France? Answer in one sentence."


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


async def test_it_answers(one: Endpoint) -> None:
    reply = await post(one, CHAT, asking(FRANCE))
    assert reply.status == 200
    answer = reply.json
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["prompt_tokens"] > 10
    assert 0 < usage["completion_tokens"] <= 24
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    # The path of the file on this machine must not be shown.
    assert answer["model"] == "smollm2-135m-instruct"
    assert ".gguf" not in reply.text


async def test_it_streams_with_usage_and_done(one: Endpoint) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    reply = await post(one, CHAT, asking(FRANCE, **options))
    assert reply.headers["content-type"] == "text/event-stream"
    *chunks, last = events(reply.text)
    assert last == "[DONE]"
    decoded = [json.loads(chunk) for chunk in chunks]
    said = "".join(
        choice["delta"].get("content") or "" for chunk in decoded for choice in chunk["choices"]
    )
    assert "Paris" in said
    assert decoded[-1]["choices"] == []
    assert decoded[-1]["usage"]["completion_tokens"] > 0
    assert not any("usage" in chunk for chunk in decoded[:-1])
    whole = await post(one, CHAT, asking(FRANCE))
    assert whole.json["choices"][0]["message"]["content"] == said


async def test_a_stream_tells_usage_only_if_asked(one: Endpoint) -> None:
    reply = await post(one, CHAT, asking(FRANCE, stream=True))
    assert '"usage"' not in reply.text
    assert events(reply.text)[-1] == "[DONE]"


async def test_content_may_be_parts(one: Endpoint) -> None:
    parts = [{"type": "text", "text": FRANCE}]
    reply = await post(one, CHAT, asking("") | {"messages": [{"role": "user", "content": parts}]})
    assert "Paris" in reply.json["choices"][0]["message"]["content"]


async def test_json_by_a_schema(one: Endpoint) -> None:
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["capital"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    reply = await post(one, CHAT, asking("The capital of France, as JSON.", response_format=wanted))
    content = json.loads(reply.json["choices"][0]["message"]["content"])
    assert content["capital"] in ("Paris", "Rome")


async def test_plain_completions(one: Endpoint) -> None:
    body = {"prompt": "The capital of France is", "max_tokens": 4, "temperature": 0}
    reply = await post(one, "/v1/completions", body)
    assert reply.json["object"] == "text_completion"
    assert "Paris" in reply.json["choices"][0]["text"]


async def test_a_prompt_over_the_context_is_refused(one: Endpoint) -> None:
    reply = await post(one, CHAT, asking("word " * 3000))
    assert reply.status == 400
    fault = reply.json["error"]
    assert fault["type"] == "exceed_context_size_error"
    assert fault["n_ctx"] == 1024


@pytest.mark.parametrize("body", [b"{bad", b"{}", b'{"messages": "x"}'])
async def test_a_bad_body_is_refused(one: Endpoint, body: bytes) -> None:
    reply = await post(one, CHAT, body)
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_image_is_the_clients_mistake(one: Endpoint, stream: bool) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    asked = {"messages": [{"role": "user", "content": [image]}], "stream": stream}
    reply = await post(one, CHAT, asked)
    assert reply.status == 400
    assert "reads text alone" in reply.json["error"]["message"]


@pytest.mark.parametrize("key", ["", "wrong"])
async def test_only_the_key_opens_it(one: Endpoint, key: str) -> None:
    reply = await post(one, CHAT, asking(FRANCE), key=key)
    assert reply.status == 401


async def test_two_models_answer_at_once(one: Endpoint, two: Endpoint) -> None:
    assert one.origin != two.origin
    assert one.key != two.key
    replies = await asyncio.gather(post(one, CHAT, asking(FRANCE)), post(two, CHAT, asking(FRANCE)))
    for reply in replies:
        assert "Paris" in reply.json["choices"][0]["message"]["content"]
    assert (await post(two, CHAT, asking(FRANCE), key=one.key)).status == 401


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot(two: Endpoint, stream: bool) -> None:
    """`two` has one slot: the next call is answered only when the endless one was given up."""
    endless = asking("Tell a story.", max_tokens=400, ignore_eos=True, stream=stream)
    body = json.dumps(endless).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", two.origin.port)
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (CHAT.encode(), two.key.encode(), len(body), body)
    )
    await until(lambda: at_work(two))
    writer.close()
    await writer.wait_closed()
    task = (await slots(two))[0]["id_task"]
    await until(lambda: idle(two))
    slot = (await slots(two))[0]
    assert slot["id_task"] == task
    assert slot["next_token"][0]["n_decoded"] < 300


WEATHER = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.mark.parametrize(
    "body",
    [
        asking(FRANCE),
        asking("Tell a story.", max_tokens=5),
        asking(FRANCE, logprobs=True, top_logprobs=2, max_tokens=3),
        asking(FRANCE, n=2),
        asking(FRANCE, tools=[{"type": "function", "function": WEATHER}]),
        asking(FRANCE, stop=["capital"]),
    ],
)
async def test_a_whole_answer_is_what_llama_cpp_gives(
    one: Endpoint, body: dict[str, object]
) -> None:
    """Without `/v1` the worker passes llama.cpp's own whole answer through."""
    put_together = await post(one, CHAT, body)
    own = await post(one, CHAT.removeprefix("/v1"), body)
    assert put_together.status == own.status == 200
    assert lasting(put_together.json) == lasting(own.json)


def lasting(answer: Any) -> Any:
    """An answer without what differs from call to call, and without usage."""
    return {k: v for k, v in answer.items() if k not in ("id", "created", "timings", "usage")}


async def test_usage_counts_every_choice(one: Endpoint) -> None:
    single = (await post(one, CHAT, asking(FRANCE))).json["usage"]
    double = (await post(one, CHAT, asking(FRANCE, n=2))).json["usage"]
    assert double["completion_tokens"] == 2 * single["completion_tokens"]
    assert double["prompt_tokens"] == single["prompt_tokens"]
    assert double["total_tokens"] == double["prompt_tokens"] + double["completion_tokens"]


async def test_completions_of_several_prompts(one: Endpoint) -> None:
    body = {"prompt": ["A", "One, two,"], "max_tokens": 3, "temperature": 0, "n": 2}
    answer = (await post(one, "/v1/completions", body)).json
    texts = [choice["text"] for choice in answer["choices"]]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert texts[0] == texts[1] != texts[2] == texts[3]
    assert answer["usage"]["completion_tokens"] == 4 * 3
