"""An upstream may say anything of what it used. What no answer can have is not believed: the answer
is the client's as it came, its tokens are estimated, and no sum or budget is the poorer for it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from chaos.conftest import CONFIG, KEYS
from chaos.pairs import ALL_PAIRS, CHAT, Dialect
from chaos.wire import Answer, ask
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, own_script

HUGE, LARGE = 2**70, 2**62
BUDGETS = """
budgets:
  - {{name: tokens, per: gateway, tokens: 1_000_000_000}}
  - {{name: dollars, per: gateway, usd: "1000000", unpriced: allow}}
"""
PAINTING = """  painting:
    {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-image-1,
     operations: [image_generations]}}
models:
  painting: {{pools: [[painting]]}}
"""
ABSURD = {
    "huge": {"input": HUGE, "output": LARGE},
    "one huge": {"output": LARGE},
    "negative": {"input": -1_000_000, "output": -1_000_000},
    "one negative": {"input": -1},
}
TEXT = "The mill wheel turns."
AT_ONCE = 8


@pytest.fixture(scope="module")
def careful(
    scripted_session: ScriptedThread, closed_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    url = scripted_session.url
    config = (CONFIG.replace("models:\n", PAINTING) + BUDGETS).format(
        url=url, https=url, closed=closed_port, fresh=url
    )
    with running_gateway(config, tmp_path_factory.mktemp("careful"), env=KEYS) as running:
        yield running


class Asked(NamedTuple):
    dialect: Dialect
    stream: bool
    usage: str


async def test_chats_whole_and_streamed(careful: Gateway) -> None:
    asked = [Asked(d, s, u) for d in ALL_PAIRS for s in (False, True) for u in ABSURD]
    turn = asyncio.Semaphore(AT_ONCE)

    async def answer(one: Asked) -> Answer:
        script = {"text": TEXT, "usage": ABSURD[one.usage]}
        async with turn:
            return await ask(careful, one.dialect, stream=one.stream, script=script)

    answers = await asyncio.gather(*map(answer, asked))
    for one, got in zip(asked, answers, strict=True):
        assert (got.status, got.error) == (200, None), (one, got.raw)
        assert not one.stream or one.dialect.is_complete(got.body), one
        assert one.dialect.path != CHAT or not one.stream or b'"usage"' not in got.body, one
        assert (got.text if one.stream else got.body.decode()).count(TEXT) == 1, (one, got.raw)
    calls = [str(got.header("x-request-id")) for got in answers]
    found = settled(careful.folder / ".headrace", calls)
    for one, call in zip(asked, calls, strict=True):
        row = found[call].settlement
        assert (row.finish, row.usage_source) == ("complete", "estimated"), one
        assert 0 < row.input_tokens < 1_000, (one, row)
        assert 0 <= row.output_tokens < 1_000, (one, row)
        assert row.cost_microusd is None or 0 < row.cost_microusd < 1_000_000, (one, row)
        (line,) = careful.log_lines(call)
        assert "told a usage that no answer can have" in line["cause"], one
        assert line["backend"] == one.dialect.model


async def test_what_is_passed_through_keeps_its_bytes(careful: Gateway) -> None:
    script = {"text": TEXT, "usage": ABSURD["huge"]}
    for dialect in (one for one in ALL_PAIRS if one.name in ("openai", "anthropic", "responses")):
        for stream in (False, True):
            more = {"stream_options": {"include_usage": True}} if dialect.name == "openai" else {}
            got = await ask(
                careful, dialect, stream=stream, script=script, **(more if stream else {})
            )
            assert b"%d" % HUGE in got.body, dialect
            assert b"%d" % LARGE in got.body, dialect
            if dialect.is_responses:
                await _goes_on(careful, dialect, got)


async def _goes_on(careful: Gateway, dialect: Dialect, got: Answer) -> None:
    """The response was kept."""
    found = re.search(rb'"id":"(resp_[^"]+)"', got.body)
    assert found is not None
    before = found[1].decode()
    again = await ask(careful, dialect, stream=False, previous_response_id=before)
    assert again.status == 200, again.raw


@pytest.mark.parametrize("usage", ["huge", "negative"])
async def test_others_than_chats(careful: Gateway, usage: str) -> None:
    text = own_script(usage=ABSURD[usage])
    prompt: dict[str, Any] = {"prompt": "A mill", "model": "plain", "user": text}
    picture = {**prompt, "model": "painting"}
    scripted = f"A mill [[script {json.dumps({'usage': ABSURD[usage]})} ]]"
    asked: list[tuple[str, dict[str, Any]]] = [
        ("completions", prompt),
        ("completions", {**prompt, "stream": True}),
        ("embeddings", {"model": "plain", "input": "A mill", "user": text}),
        ("embeddings", {"model": "cohere", "input": scripted}),
        ("embeddings", {"model": "mistral", "input": scripted}),
        ("images/generations", picture),
        ("images/generations", {**picture, "stream": True}),
    ]
    headers = {"authorization": f"Bearer {careful.key}"}
    async with httpx.AsyncClient(base_url=careful.url, headers=headers, timeout=60) as client:
        answers = [await client.post(f"/{path}", json=body) for path, body in asked]
    assert [got.status_code for got in answers] == [200] * len(asked), [a.text for a in answers]
    calls = [got.headers["x-request-id"] for got in answers]
    found = settled(careful.folder / ".headrace", calls)
    for (path, _), call in zip(asked, calls, strict=True):
        row = found[call].settlement
        assert (row.finish, row.usage_source) == ("complete", "estimated"), path
        assert 0 <= row.input_tokens < 1_000, path
        assert 0 <= row.output_tokens < 10_000, path
        (line,) = careful.log_lines(call)
        assert "told a usage that no answer can have" in line["cause"], path
