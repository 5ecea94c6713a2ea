"""The embedded sentence embeddings, over their real port."""

from __future__ import annotations

import asyncio
import base64
import math
import struct

import pytest

from headrace.services.local.process import Endpoint
from services.local.calling import post

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATH = "/v1/embeddings"
PASSWORD = "I forgot my password, how can I reset it?"
RESET = "How do I reset my password?"
WEATHER = "Tomorrow it will rain in the mountains."


async def embed(endpoint: Endpoint, texts: str | list[str]) -> list[list[float]]:
    reply = await post(endpoint, PATH, {"model": "m", "input": texts})
    assert reply.status == 200
    return [item["embedding"] for item in reply.json["data"]]


def dot(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


async def test_its_form_is_openais(vectors: Endpoint) -> None:
    reply = await post(vectors, PATH, {"model": "m", "input": [RESET, WEATHER]})
    answer = reply.json
    assert reply.headers["content-type"] == "application/json"
    assert answer["object"] == "list"
    assert answer["model"] == "all-minilm-l6-v2"
    assert [item["index"] for item in answer["data"]] == [0, 1]
    assert {item["object"] for item in answer["data"]} == {"embedding"}
    assert {len(item["embedding"]) for item in answer["data"]} == {384}
    # [CLS] how do i reset my password ? [SEP] and [CLS] tomorrow ... . [SEP]
    assert answer["usage"] == {"prompt_tokens": 19, "total_tokens": 19}


async def test_paraphrases_are_near_and_vectors_are_unit(vectors: Endpoint) -> None:
    password, reset, weather = await embed(vectors, [PASSWORD, RESET, WEATHER])
    for vector in (password, reset, weather):
        assert math.isclose(dot(vector, vector), 1.0, abs_tol=1e-5)
    assert dot(password, reset) > 0.85
    assert dot(password, weather) < 0.3


async def test_base64_is_the_same_floats(vectors: Endpoint) -> None:
    (floats,) = await embed(vectors, RESET)
    reply = await post(vectors, PATH, {"input": RESET, "encoding_format": "base64"})
    raw = base64.b64decode(reply.json["data"][0]["embedding"])
    assert list(struct.unpack("<384f", raw)) == pytest.approx(floats, abs=1e-7)


async def test_a_batch_of_any_lengths_keeps_its_order(vectors: Endpoint) -> None:
    texts = [f"{'very ' * (index * 7 % 40)}long text {index}" for index in range(70)]
    together = await embed(vectors, texts)
    assert len(together) == 70
    for index in (0, 33, 69):
        (alone,) = await embed(vectors, texts[index])
        assert dot(alone, together[index]) > 0.9999


async def test_long_text_is_cut_at_256_tokens(vectors: Endpoint) -> None:
    start = "word " * 254
    reply = await post(vectors, PATH, {"input": start + "ocean " * 500})
    assert reply.json["usage"]["prompt_tokens"] == 256
    (cut,) = await embed(vectors, start)
    assert dot(cut, reply.json["data"][0]["embedding"]) > 0.9999


async def test_many_at_once(vectors: Endpoint) -> None:
    replies = await asyncio.gather(*(embed(vectors, f"text {index}") for index in range(20)))
    assert len({tuple(vector[:4]) for (vector,) in replies}) == 20


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"input": [1, 2, 3]}, "input", "not arrays of tokens"),
        ({"input": [[1, 2], [3]]}, "input", "not arrays of tokens"),
        ({"input": []}, "input", "a text or a list"),
        ({"input": ""}, "input", "non-empty"),
        ({"input": ["a", None]}, "input", "non-empty"),
        ({"input": {"text": "a"}}, "input", "a text or a list"),
        ({"input": ["a"] * 2049}, "input", "at most 2048"),
        ({"input": "a", "dimensions": 64}, "dimensions", "leave out 'dimensions'"),
        ({"input": "a", "encoding_format": "hex"}, None, "encoding_format"),
        ({}, None, "input"),
        (b"{bad", None, "not valid JSON"),
    ],
)
async def test_what_it_cannot_do_is_refused_clearly(
    vectors: Endpoint, body: object, param: str | None, says: str
) -> None:
    reply = await post(vectors, PATH, body)
    assert reply.status == 400
    assert says in reply.json["error"]["message"]
    assert reply.json["error"]["param"] == param
    assert reply.json["error"]["type"] == "invalid_request_error"


async def test_other_paths_and_keys_are_refused(vectors: Endpoint) -> None:
    assert (await post(vectors, "/v1/chat/completions", {})).status == 404
    assert (await post(vectors, PATH, {"input": "a"}, key="wrong")).status == 401
