"""What SDKs tell their users when the gateway refuses: a wrong key, an unknown model, a rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clients.conftest import CLIENT_KEY
from sdks.compatibility import CLIENTS
from sdks.program import Program
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

pytestmark = pytest.mark.sdks

EVERY_S = 3
"""More than any SDK waits before it tries again if it is not told how long: `ai` waits 2 s."""
CONFIG = """
keys:
{keys}
backends:
  plain: {{provider: openai, url: "{url}/v1"}}
models:
  gpt-4o: {{pools: [[plain]]}}
limits:
  - {{per: key, requests: 1, every_s: {every_s}}}
"""
WAITING = (
    "openai-agents",
    "semantic-kernel",
    "litellm, openai",
    "litellm, anthropic",
    "instructor, tools",
    "instructor, anthropic",
    "ai, @ai-sdk/openai",
    "ai, @ai-sdk/anthropic",
)
"""Of the ways to use an SDK, one for each client of HTTP in it."""
Asks = Callable[..., dict[str, Any]]


@pytest.fixture
def asks(programs: Callable[[str], Program]) -> Asks:
    """Has a client of `CLIENTS` ask one thing; all it said."""

    def asked(name: str, gateway: Gateway, model: str, key: str, **members: Any) -> dict[str, Any]:
        client = CLIENTS[name]
        where = {"root": gateway.root, "key": key, "model": model, "as": client.way}
        return programs(client.sdk).does(do="ask", **where, **members)

    return asked


@pytest.mark.parametrize("name", CLIENTS)
def test_a_wrong_key(asks: Asks, gateway: Gateway, upstream: ScriptedThread, name: str) -> None:
    raised = asks(name, gateway, "gpt-4o", "wrong-key-0123456789")["raised"]
    assert 401 in raised["statuses"]
    assert "not known here" in raised["text"]
    assert upstream.seen == []


@pytest.mark.parametrize("name", CLIENTS)
def test_an_unknown_model(
    asks: Asks, gateway: Gateway, upstream: ScriptedThread, name: str
) -> None:
    raised = asks(name, gateway, "gpt-4oo", CLIENT_KEY)["raised"]
    assert 404 in raised["statuses"]
    assert "Did you mean 'gpt-4o'" in raised["text"]
    assert upstream.seen == []


@pytest.fixture(scope="module")
def limited(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """It admits one call of each key in `EVERY_S` seconds."""
    keys = "\n".join(f"  key-{n}: {{secret: env:KEY_{n}}}" for n in range(len(WAITING)))
    config = CONFIG.format(url=scripted_session.url, keys=keys, every_s=EVERY_S)
    env = {f"KEY_{n}": _key(n) for n in range(len(WAITING))}
    with running_gateway(config, tmp_path_factory.mktemp("limited"), env=env) as running:
        yield running


@pytest.mark.parametrize("name", WAITING)
def test_a_rate_is_waited_for(
    asks: Asks, limited: Gateway, upstream: ScriptedThread, name: str
) -> None:
    """One repetition is enough, since it comes when the refusal's `Retry-After` is over."""
    upstream.always(**CLIENTS[name].answer("OpenAI"))
    key = _key(WAITING.index(name))
    for _ in range(100):
        got = asks(name, limited, "gpt-4o", key)
        if "raised" in got:
            break
    assert 429 in got["raised"]["statuses"]
    assert "requests per key" in got["raised"]["text"]
    asked = len(upstream.seen)
    assert "got" in asks(name, limited, "gpt-4o", key, again=1)
    assert len(upstream.seen) == asked + 1


def _key(n: int) -> str:
    return f"limited-key-{n}-0123456789abcdef"
