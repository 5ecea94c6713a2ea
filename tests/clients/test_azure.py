"""Azure's SDK, and every kind of client before every kind of backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from clients.conftest import AZURE_KEY, CLIENT_KEY, PROVIDER_KEY
from headrace_upstream.openai import vector_of
from headrace_upstream.seen import Seen
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
VERSION = "2024-10-21"


def _azure(gateway: Gateway) -> openai.OpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=gateway.root, api_key=CLIENT_KEY, api_version=VERSION, max_retries=0
    )


def _azure_token(gateway: Gateway) -> openai.OpenAI:
    """As with Entra ID: the credential comes as a bearer."""
    return openai.AzureOpenAI(
        azure_endpoint=gateway.root, azure_ad_token=CLIENT_KEY, api_version=VERSION, max_retries=0
    )


def _azure_deployment(gateway: Gateway) -> openai.OpenAI:
    """The deployment is in the base URL; calls may name any model."""
    return openai.AzureOpenAI(
        azure_endpoint=gateway.root,
        azure_deployment="gpt-4o",
        api_key=CLIENT_KEY,
        api_version="2025-04-01-preview",
        max_retries=0,
    )


def _v1_api_key(gateway: Gateway) -> openai.OpenAI:
    """OpenAI's client on Azure's v1 surface, with Azure's header beside the one it always sends."""
    return openai.OpenAI(
        base_url=gateway.root + "/openai/v1/",
        api_key=CLIENT_KEY,
        default_headers={"api-key": CLIENT_KEY},
        max_retries=0,
    )


def _v1_bearer(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.root + "/openai/v1", api_key=CLIENT_KEY, max_retries=0)


def _openai(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0)


CLIENTS: dict[str, Callable[[Gateway], openai.OpenAI]] = {
    "openai": _openai,
    "azure": _azure,
    "azure token": _azure_token,
    "v1 api-key": _v1_api_key,
    "v1 bearer": _v1_bearer,
}
PATHS = {
    "gpt-4o": "/v1/",
    "alias": "/v1/",
    "azure-dated": "/openai/deployments/east/",
    "azure-v1": "/openai/v1/",
}
BODY_MODELS = {"alias": "gpt-4o-mini", "azure-v1": "west"}


@pytest.fixture(params=CLIENTS)
def any_client(
    request: pytest.FixtureRequest, gateway: Gateway, upstream: ScriptedThread
) -> Iterator[openai.OpenAI]:
    with CLIENTS[request.param](gateway) as client:
        yield client


def _check(seen: Seen, model: str, operation: str) -> None:
    """The path, the query and the credential that the backend's kind wants, and no other."""
    query = f"?api-version={VERSION}" if model == "azure-dated" else ""
    assert seen.path == f"{PATHS[model]}{operation}{query}"
    if "azure" in model:
        assert seen.header("api-key") == AZURE_KEY
        assert seen.header("authorization") is None
    else:
        assert seen.header("authorization") == f"Bearer {PROVIDER_KEY}"
        assert seen.header("api-key") is None
    everything = seen.body + repr(seen.headers).encode() + seen.path.encode()
    assert CLIENT_KEY.encode() not in everything
    if model != "azure-dated":  # there the path names the model
        assert seen.json()["model"] == BODY_MODELS.get(model, model)


@pytest.mark.parametrize("model", PATHS)
def test_whole(any_client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"text": "Grüße"})
    answer = any_client.chat.completions.create(model=model, messages=ASK)
    assert answer.choices[0].message.content == "Grüße"
    _check(upstream.only_seen(), model, "chat/completions")


@pytest.mark.parametrize("model", PATHS)
def test_streamed(any_client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"text": "Grüße aus der Mühle"})
    stream = any_client.chat.completions.create(model=model, messages=ASK, stream=True)
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Grüße aus der Mühle"
    assert not [c for c in chunks if "usage" in c.model_fields_set]
    _check(upstream.only_seen(), model, "chat/completions")


@pytest.mark.parametrize("model", PATHS)
def test_embeddings(any_client: openai.OpenAI, upstream: ScriptedThread, model: str) -> None:
    answer = any_client.embeddings.create(model=model, input="mill", dimensions=8)
    assert answer.data[0].embedding == vector_of("mill", 8).tolist()
    _check(upstream.only_seen(), model, "embeddings")


def test_errors(any_client: openai.OpenAI, upstream: ScriptedThread) -> None:
    with pytest.raises(openai.NotFoundError, match="Did you mean 'gpt-4o'"):
        any_client.chat.completions.create(model="gpt-4oo", messages=ASK)
    assert upstream.seen == []
    upstream.always(fault={"kind": "rate_limited", "retry_after": 1})
    with pytest.raises(openai.InternalServerError, match="provider's limit") as caught:
        any_client.chat.completions.create(model="azure-dated", messages=ASK)
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.headers["x-should-retry"] == "false"
    upstream.reset()
    upstream.always(status=500)
    with pytest.raises(openai.InternalServerError):
        any_client.chat.completions.create(model="azure-dated", messages=ASK, stream=True)


def test_models(any_client: openai.OpenAI, upstream: ScriptedThread) -> None:
    assert "azure-dated" in {model.id for model in any_client.models.list()}
    assert any_client.models.retrieve("alias").id == "alias"
    assert upstream.seen == []


@pytest.mark.parametrize("path", ["/openai/v1", "/v1", "/openai/deployments/azure-dated"])
def test_api_key_alone(gateway: Gateway, upstream: ScriptedThread, path: str) -> None:
    """Azure's header without `Authorization`, as curl users write it."""
    url = f"{gateway.root}{path}/chat/completions"
    body = {"model": "azure-dated", "messages": ASK}
    assert httpx.post(url, json=body, headers={"api-key": CLIENT_KEY}).status_code == 200
    _check(upstream.only_seen(), "azure-dated", "chat/completions")
    assert httpx.post(url, json=body, headers={"api-key": CLIENT_KEY[:-1]}).status_code == 401
    assert len(upstream.seen) == 1


def test_an_endpoint_that_ends_as_openais(gateway: Gateway, upstream: ScriptedThread) -> None:
    with (
        openai.AzureOpenAI(
            azure_endpoint=gateway.url, api_key=CLIENT_KEY, api_version="2024-10-21", max_retries=0
        ) as client,
        pytest.raises(openai.NotFoundError, match="this gateway's URL without `/v1`"),
    ):
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert upstream.seen == []


def test_wrong_key(gateway: Gateway, upstream: ScriptedThread) -> None:
    with (
        openai.AzureOpenAI(
            azure_endpoint=gateway.root,
            api_key="wrong-key-0123",
            api_version=VERSION,
            max_retries=0,
        ) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="gpt-4o", messages=ASK)
    assert upstream.seen == []


def test_deployment_of_the_client_wins(gateway: Gateway, upstream: ScriptedThread) -> None:
    """The path names the model; what the body says is the SDK's affair."""
    with _azure_deployment(gateway) as client:
        client.chat.completions.create(model="anything", messages=ASK)
    seen = upstream.only_seen()
    assert seen.path == "/v1/chat/completions"
    assert seen.header("authorization") == f"Bearer {PROVIDER_KEY}"


@pytest.mark.parametrize("model", PATHS)
def test_body_without_model(raw: httpx.Client, upstream: ScriptedThread, model: str) -> None:
    """As older Azure clients send it: the deployment in the path alone."""
    path = f"/openai/deployments/{model}/chat/completions?api-version=2023-05-15"
    assert raw.post(path, json={"messages": ASK}).status_code == 200
    seen = upstream.only_seen()
    if model == "azure-dated":
        assert seen.json() == {"messages": ASK}
    _check(seen, model, "chat/completions")


async def test_async(gateway: Gateway, upstream: ScriptedThread) -> None:
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=gateway.root, api_key=CLIENT_KEY, api_version=VERSION, max_retries=0
    ) as client:
        upstream.script({"text": "Grüße"}, times=2)
        answer = await client.chat.completions.create(model="azure-dated", messages=ASK)
        assert answer.choices[0].message.content == "Grüße"
        stream = await client.chat.completions.create(
            model="azure-dated",
            messages=ASK,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage is not None
        vectors = await client.embeddings.create(model="azure-dated", input="mill", dimensions=4)
        assert len(vectors.data[0].embedding) == 4
    for seen in upstream.seen:
        assert seen.path.startswith("/openai/deployments/east/")
        assert seen.header("api-key") == AZURE_KEY


def test_content_filter_results_come_through(
    any_client: openai.OpenAI, upstream: ScriptedThread
) -> None:
    """Azure's own members reach the client whole."""
    upstream.script({"fault": {"kind": "content_filter", "form": "finish", "after": 2}})
    answer = any_client.chat.completions.create(model="azure-dated", messages=ASK)
    choice = answer.choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.model_extra is not None
    assert choice.model_extra["content_filter_results"]["violence"]["filtered"] is True
    stream = any_client.chat.completions.create(model="azure-dated", messages=ASK, stream=True)
    first = next(iter(stream))
    assert first.model_extra is not None
    assert first.model_extra["prompt_filter_results"][0]["prompt_index"] == 0
