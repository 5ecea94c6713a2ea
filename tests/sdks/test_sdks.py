"""What single SDKs have beside the table: handoffs, responses that are kept, embeddings, calls that
block, and types that the gateway itself sees to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clients.conftest import CLIENT_KEY
from sdks.compatibility import CLIENTS, ROME
from sdks.program import Program
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

pytestmark = pytest.mark.sdks

Does = Callable[..., dict[str, Any]]


@pytest.fixture
def does(gateway: Gateway, upstream: ScriptedThread, programs: Callable[[str], Program]) -> Does:
    """Has an SDK do something; what it gave."""

    def done(sdk: str, what: str, way: str, model: str, **members: Any) -> dict[str, Any]:
        answer = programs(sdk).does(
            do=what, root=gateway.root, key=CLIENT_KEY, model=model, **{"as": way}, **members
        )
        assert "got" in answer, answer
        got: dict[str, Any] = answer["got"]
        return got

    return done


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("way", "model"),
    [("responses", "responding"), ("responses", "claude-sonnet"), ("chat", "gemini")],
)
def test_an_agent_hands_over(
    does: Does, upstream: ScriptedThread, way: str, model: str, stream: bool
) -> None:
    upstream.script({"tool_calls": [{"name": "transfer_to_clerk", "arguments": {}}]})
    upstream.script({"text": "One bag."})
    got = does("openai-agents", "handoff", way, model, stream=stream)
    assert (got["agent"], got["text"]) == ("Clerk", "One bag.")
    first, second = upstream.seen
    assert "Be short." in str(first.json())
    assert "You sell flour." in str(second.json())


@pytest.mark.parametrize("model", ["responding", "gpt-4o", "claude-sonnet"])
def test_agents_go_on_with_what_is_kept(does: Does, upstream: ScriptedThread, model: str) -> None:
    upstream.script({"text": "In Bern."})
    upstream.script({"text": "By train."})
    got = does("openai-agents", "kept_turns", "responses", model)
    assert got["text"] == "By train."
    sent = str(upstream.seen[1].json())
    assert (got["before"] if model == "responding" else "In Bern.") in sent


@pytest.mark.parametrize("sdk", ["litellm", "semantic-kernel", "ai"])
@pytest.mark.parametrize("model", ["text-embedding-3-small", "gemini-embedding-001"])
def test_embeddings(does: Does, sdk: str, model: str) -> None:
    assert does(sdk, "embeddings", "chat", model)["lengths"] == [1536, 1536]


@pytest.mark.parametrize("way", ["chat", "azure", "messages", "responses"])
def test_litellm_blocks(does: Does, upstream: ScriptedThread, way: str) -> None:
    upstream.script({"text": "By train."})
    assert does("litellm", "ask_blocking", way, "vllm")["text"] == "By train."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [name for name in CLIENTS if name.startswith("instructor")])
def test_instructor_blocks(does: Does, upstream: ScriptedThread, name: str, stream: bool) -> None:
    upstream.script(CLIENTS[name].typed_answer(ROME, "vLLM"))
    got = does("instructor", "typed_blocking", CLIENTS[name].way, "vllm", stream=stream)
    assert got["typed"] == ROME


def test_the_gateway_asks_again_before_the_sdk_does(does: Does, upstream: ScriptedThread) -> None:
    upstream.script({"text": '{"city": "Rome", "degrees": "warm"}'})
    upstream.script({"text": json.dumps(ROME)})
    got = does("instructor", "typed", "json_schema", "mended", tries=1)
    assert got["typed"] == ROME
    assert len(upstream.seen) == 2
