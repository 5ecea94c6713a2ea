"""SDKs before the embedded models: nothing scripted anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import pytest
import pytest_asyncio
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests
from openai.types.chat import ChatCompletionMessageParam

from support.accounts import settled
from support.gateway_process import Gateway, running_gateway

CONFIG = """
backends:
  chat: {provider: local, model: smollm2-135m-instruct}
  vectors: {provider: local, model: all-minilm-l6-v2}
models:
  small: {pools: [[chat]]}
  smollm2-135m-instruct: {pools: [[chat]]}
  vectors: {pools: [[vectors]]}
"""
ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def local_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(CONFIG, tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.fixture
def local_client(local_gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=local_gateway.url, api_key=local_gateway.key, max_retries=0
    ) as made:
        yield made


def test_whole(local_client: openai.OpenAI, local_gateway: Gateway) -> None:
    raw = local_client.chat.completions.with_raw_response.create(
        model="small", messages=ASK, max_tokens=12, temperature=0
    )
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.usage is not None
    call = raw.headers["x-request-id"]
    settlement = settled(local_gateway.folder / ".headrace", [call])[call].settlement
    assert settlement.input_tokens == answer.usage.prompt_tokens > 0
    assert settlement.output_tokens == answer.usage.completion_tokens > 0


def test_stream_says_the_same(local_client: openai.OpenAI) -> None:
    """Greedy decoding: the stream has the whole answer's text."""
    whole = local_client.chat.completions.create(
        model="small", messages=ASK, max_tokens=12, temperature=0
    )
    stream = local_client.chat.completions.create(
        model="small", messages=ASK, max_tokens=12, temperature=0, stream=True
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == whole.choices[0].message.content
    assert not [c for c in chunks if "usage" in c.model_fields_set and c.usage is not None]


def test_stream_with_usage(local_client: openai.OpenAI) -> None:
    stream = local_client.chat.completions.create(
        model="small",
        messages=ASK,
        max_tokens=4,
        stream=True,
        stream_options={"include_usage": True},
    )
    usages = [chunk.usage for chunk in stream if chunk.usage is not None]
    assert [usage.completion_tokens for usage in usages] == [4]


def test_azure_client(local_gateway: Gateway) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=local_gateway.root,
        api_key=local_gateway.key,
        api_version="2024-10-21",
        max_retries=0,
    ) as client:
        answer = client.chat.completions.create(model="small", messages=ASK, max_tokens=4)
        assert answer.choices[0].message.content
        vector = client.embeddings.create(model="vectors", input="mill").data[0].embedding
    assert len(vector) == 384


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_mean_something(local_client: openai.OpenAI, encoding: Any) -> None:
    texts = ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose."]
    default = local_client.embeddings.create(model="vectors", input=texts)
    raw = local_client.embeddings.with_raw_response.create(
        model="vectors", input=texts, encoding_format=encoding
    )
    packed = raw.http_response.json()["data"][0]["embedding"]
    assert isinstance(packed, str if encoding == "base64" else list)
    cat, kitten, rates = (item.embedding for item in default.data)
    assert _dot(cat, kitten) > 2 * _dot(cat, rates)


def test_context_too_long(local_client: openai.OpenAI) -> None:
    """A real refusal of a real server, told as a provider's would be."""
    with pytest.raises(openai.BadRequestError, match="longer than this model can read"):
        local_client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "water wheel " * 6000}]
        )


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


class TestEmbeddedModel(ChatModelIntegrationTests):
    """LangChain's standard tests, without those that need a model that can call tools."""

    @pytest_asyncio.fixture(autouse=True)
    async def _prepared(self, local_gateway: Gateway) -> AsyncIterator[None]:
        self._gateway = local_gateway
        with httpx2.Client(verify=False) as self._http:
            async with httpx2.AsyncClient(verify=False) as self._async_http:
                yield

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "small",
            "base_url": self._gateway.url,
            "api_key": self._gateway.key,
            "max_retries": 0,
            "stream_usage": True,
            "max_tokens": 8,
            "http_client": self._http,
            "http_async_client": self._async_http,
        }

    @property
    def has_tool_calling(self) -> bool:
        return False

    @property
    def has_structured_output(self) -> bool:
        return False

    @property
    def model_override_value(self) -> str | None:
        return "smollm2-135m-instruct"
