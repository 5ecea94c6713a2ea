"""SDKs before the embedded models: nothing scripted anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clients.test_embedded import CONFIG
from sdks.compatibility import CLIENTS
from sdks.program import Program
from support.gateway_process import Gateway, running_gateway

pytestmark = pytest.mark.sdks

MOST = 16
"""Tokens of an answer: the least that `litellm` asks for of the Responses API."""
TEXTS = [name for name in CLIENTS if "streams" in CLIENTS[name].has and name != "openai-agents"]
"""By the Responses API `openai-agents` takes an answer that its limit cut off for an error."""
Asks = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def local_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(CONFIG, tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.fixture
def asks(programs: Callable[[str], Program], local_gateway: Gateway) -> Asks:
    """Has a client of `CLIENTS` do something; what it gave."""

    def asked(name: str, what: str, model: str, **members: Any) -> dict[str, Any]:
        client, gateway = CLIENTS[name], local_gateway
        where = {"root": gateway.root, "key": gateway.key, "model": model, "as": client.way}
        answer = programs(client.sdk).does(do=what, **where, **members)
        assert "got" in answer, answer
        got: dict[str, Any] = answer["got"]
        return got

    return asked


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_texts(asks: Asks, name: str, stream: bool) -> None:
    got = asks(name, "ask", "small", most=MOST, stream=stream)
    assert got["text"]
    assert 0 < got["usage"]["output"] <= MOST
    assert got["usage"]["input"] > 0


@pytest.mark.parametrize("stream", [False, True])
def test_types(asks: Asks, stream: bool) -> None:
    """Whatever the model says, its words are held to the schema."""
    typed = asks("instructor, JSON schema", "typed", "small", most=200, stream=stream)["typed"]
    assert isinstance(typed["city"], str)
    assert isinstance(typed["degrees"], int)


@pytest.mark.parametrize("name", ["semantic-kernel", "litellm, openai", "ai, @ai-sdk/openai chats"])
def test_embeddings(asks: Asks, name: str) -> None:
    assert asks(name, "embeddings", "vectors")["lengths"] == [384, 384]
