"""Requests go only to backends that have what they need, in every dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

KEY, NARROW = "capable-key-0123456789abcdef01", "narrow-key-0123456789abcdef01"
CONFIG = """
keys:
  all: {{secret: env:ALL_KEY}}
  narrow: {{secret: env:NARROW_KEY, models: [blind, plain]}}
backends:
  text: {{provider: openai, url: "{url}/v1", model: text, capabilities: []}}
  tooled: {{provider: openai, url: "{url}/v1", model: tooled, capabilities: [tools]}}
  seeing: {{provider: openai, url: "{url}/v1", model: seeing, capabilities: [vision, json_schema]}}
  claude: {{provider: anthropic, url: "{url}", credential: env:ALL_KEY, model: claude,
            capabilities: [tools]}}
  silent: {{provider: openai, url: "{url}/v1", model: silent}}
models:
  mixed: {{pools: [[text, tooled], [seeing]], retry: {{attempts: 3, backoff_s: 0.01}}}}
  blind: {{pools: [[text], [claude]]}}
  plain: {{pools: [[text]]}}
  eyes: {{pools: [[text, seeing]], needs: [vision]}}
  any: {{pools: [[silent]]}}
"""
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.net/a.png"}}
BLOCK = {"type": "image", "source": {"type": "url", "url": "https://example.net/a.png"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
TEXT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
SEEN: dict[str, Any] = {"messages": [{"role": "user", "content": [IMAGE]}]}


@pytest.fixture(scope="module")
def gateway(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    env = {"ALL_KEY": KEY, "NARROW_KEY": NARROW}
    config = CONFIG.format(url=scripted_session.url)
    with running_gateway(config, tmp_path_factory.mktemp("capable"), env=env) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway, upstream: ScriptedThread) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=gateway.root, headers=headers, timeout=30) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "more", "backends"),
    [
        (CHAT, TEXT, {"text", "tooled"}),
        (CHAT, TEXT | {"tools": [TOOL]}, {"tooled"}),
        (CHAT, SEEN, {"seeing"}),
        (CHAT, TEXT | {"response_format": FORM}, {"seeing"}),
        (MESSAGES, {"max_tokens": 9, "messages": [{"role": "user", "content": [BLOCK]}]},
         {"seeing"}),
        (RESPONSES, {"input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": "https://example.net/a.png"}]}]}, {"seeing"}),
        (RESPONSES, {"input": "Hello"}, {"text", "tooled"}),
    ],
)  # fmt: skip
def test_a_backend_without_it_is_not_asked(
    client: httpx.Client, path: str, more: dict[str, Any], backends: set[str]
) -> None:
    for stream in (False, True):
        for _ in range(4):
            answer = client.post(path, json=more | {"model": "mixed", "stream": stream})
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-headrace-backend"] in backends


def test_nor_after_a_fault(client: httpx.Client, upstream: ScriptedThread) -> None:
    upstream.script({"status": 503}, times=None, model="seeing")
    answer = client.post(CHAT, json=SEEN | {"model": "mixed"})
    assert answer.status_code == 503
    assert {call.json()["model"] for call in upstream.seen} == {"seeing"}


def test_what_the_model_demands_holds_for_every_call(client: httpx.Client) -> None:
    for _ in range(4):
        answer = client.post(CHAT, json=TEXT | {"model": "eyes"})
        assert answer.headers["x-headrace-backend"] == "seeing"


def test_who_says_nothing_is_tried(client: httpx.Client) -> None:
    body = SEEN | {"model": "any", "tools": [TOOL], "response_format": FORM}
    assert client.post(CHAT, json=body).status_code == 200


def test_openais_sdk_is_told_who_can(gateway: Gateway, upstream: ScriptedThread) -> None:
    with (
        openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client,
        pytest.raises(openai.BadRequestError) as caught,
    ):
        client.chat.completions.create(model="blind", **SEEN, stream=True)
    error = caught.value
    assert (error.code, error.param) == ("capability_missing", "messages")
    assert "read images (vision)" in error.message
    assert "Models that can: any, eyes, mixed." in error.message
    assert not upstream.seen


def test_anthropics_sdk_is_told_in_its_words(gateway: Gateway, upstream: ScriptedThread) -> None:
    with (
        anthropic.Anthropic(base_url=gateway.root, api_key=KEY, max_retries=0) as client,
        pytest.raises(anthropic.BadRequestError, match="call tools") as caught,
    ):
        client.messages.create(
            model="plain",
            max_tokens=9,
            messages=[{"role": "user", "content": "Hello"}],
            tools=[{"name": "f", "input_schema": {"type": "object"}}],
        )
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["details"]["error_code"] == "capability_missing"
    assert not upstream.seen


def test_nobody_hears_of_models_that_are_not_its_own(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    headers = {"authorization": f"Bearer {NARROW}"}
    with httpx.Client(base_url=gateway.root, headers=headers, timeout=30) as client:
        told = client.post(CHAT, json=TEXT | {"model": "plain", "tools": [TOOL]}).json()
        lost = client.post(CHAT, json=SEEN | {"model": "plain"}).json()
    assert "Models that can: blind." in told["error"]["message"]
    assert "Nor can any other model that you may use." in lost["error"]["message"]


def test_the_list_of_models_tells_it(client: httpx.Client) -> None:
    models = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
    assert models["blind"]["capabilities"] == ["tools"]
    assert set(models["mixed"]["capabilities"]) == {"json_schema", "tools", "vision"}
    assert "capabilities" not in models["any"]
    headers = {"anthropic-version": "2023-06-01"}
    told = client.get("/v1/models/blind", headers=headers).json()
    assert "capabilities" not in told
    assert [offer["capabilities"] for offer in told["offers"]] == [[], ["tools"]]
