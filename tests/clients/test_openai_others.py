"""Embeddings, completions and models with OpenAI's SDK."""

from __future__ import annotations

import base64
import struct

import httpx
import openai
import pytest

from clients.conftest import CLIENT_KEY, NARROW_KEY
from headrace_upstream.openai import vector_of
from support.accounts import settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

EMBEDDING = "text-embedding-3-small"
TEXTS = ["The wheel turns.", "水車", "The wheel turns."]


def _floats(text: str) -> list[float]:
    data = base64.b64decode(text)
    return list(struct.unpack(f"<{len(data) // 4}f", data))


def test_embeddings_default(
    client: openai.OpenAI, upstream: ScriptedThread, gateway: Gateway
) -> None:
    """The SDK asks for base64 on its own and gives floats."""
    raw = client.embeddings.with_raw_response.create(model=EMBEDDING, input=TEXTS)
    answer = raw.parse()
    assert [len(item.embedding) for item in answer.data] == [1536] * 3
    assert answer.data[0].embedding == answer.data[2].embedding != answer.data[1].embedding
    assert answer.data[1].embedding == vector_of(TEXTS[1], 1536).tolist()
    seen = upstream.only_seen()
    assert seen.body == raw.http_request.content
    assert seen.json()["encoding_format"] == "base64"
    call = raw.headers["x-request-id"]
    settlement = settled(gateway.folder / ".headrace", [call])[call].settlement
    assert (settlement.input_tokens, settlement.output_tokens) == (seen.tokens_in, 0)


def test_embeddings_float(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    answer = client.embeddings.create(
        model=EMBEDDING, input="mill", encoding_format="float", dimensions=8
    )
    assert answer.data[0].embedding == vector_of("mill", 8).tolist()


def test_embeddings_base64(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    raw = client.embeddings.with_raw_response.create(
        model=EMBEDDING, input="mill", encoding_format="base64", dimensions=8
    )
    packed = raw.http_response.json()["data"][0]["embedding"]
    assert _floats(packed) == vector_of("mill", 8).tolist()


def test_embeddings_of_token_ids(client: openai.OpenAI, upstream: ScriptedThread) -> None:
    """As LangChain sends them."""
    answer = client.embeddings.create(model=EMBEDDING, input=[[1, 2, 3], [4, 5]], dimensions=8)
    assert len(answer.data) == 2
    assert upstream.only_seen().json()["input"] == [[1, 2, 3], [4, 5]]


async def test_embeddings_async(aclient: openai.AsyncOpenAI, upstream: ScriptedThread) -> None:
    answer = await aclient.embeddings.create(model=EMBEDDING, input="mill", dimensions=8)
    assert answer.data[0].embedding == vector_of("mill", 8).tolist()


def test_embeddings_do_not_stream(raw: httpx.Client, upstream: ScriptedThread) -> None:
    """A stray `stream` does not make an embedding a stream."""
    body = {"model": EMBEDDING, "input": "mill", "stream": True, "dimensions": 4}
    answer = raw.post("/v1/embeddings", json=body)
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json()["data"][0]["embedding"]) == 4


@pytest.mark.parametrize("model", ["gpt-4o", "alias", "azure-dated", "azure-v1"])
def test_completions(client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"text": "turns the wheel"})
    answer = client.completions.create(model=model, prompt="Water")
    assert answer.choices[0].text == "turns the wheel"
    assert "/completions" in upstream.only_seen().path
    assert "/chat" not in upstream.only_seen().path


@pytest.mark.parametrize("asked", [False, True])
def test_completions_streamed(client: openai.OpenAI, upstream: ScriptedThread, asked: bool) -> None:
    upstream.script({"text": "turns the wheel"})
    options = {"stream_options": {"include_usage": True}} if asked else {}
    stream = client.completions.create(
        model="gpt-4o", prompt="Water", stream=True, extra_body=options
    )
    chunks = list(stream)
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "turns the wheel"
    assert any(c.usage is not None for c in chunks) == asked
    assert any("usage" in c.model_fields_set for c in chunks) == asked


def test_models(client: openai.OpenAI, gateway: Gateway, upstream: ScriptedThread) -> None:
    names = [model.id for model in client.models.list()]
    assert names.index("patient") < names.index("azure-responding") < names.index("gpt-4o")
    assert {"gpt-4o", "alias", "azure-dated"} < set(names)
    model = client.models.retrieve("alias")
    assert (model.id, model.object, model.owned_by) == ("alias", "model", "headrace")
    with pytest.raises(openai.NotFoundError, match="Did you mean 'alias'"):
        client.models.retrieve("alia")
    assert upstream.seen == []
    narrow = client.with_options(api_key=NARROW_KEY)
    assert [model.id for model in narrow.models.list()] == ["gpt-4o"]
    with pytest.raises(openai.NotFoundError) as caught:
        narrow.models.retrieve("alias")
    assert "azure" not in str(caught.value)  # it must not tell which others there are
    raw = client.models.with_raw_response.list()
    assert len(raw.headers["x-request-id"]) == 24
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=gateway.url, api_key="x" + CLIENT_KEY, max_retries=0).models.list()
