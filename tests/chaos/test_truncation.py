"""T02: a stream that was cut never looks complete, wherever and however it was cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio

from chaos.conftest import SOAK
from chaos.wire import AZURE, COMPLETED, DONE, PAIRS, Dialect, ask, asking, carried
from support.accounts import settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread, own_script

Client = openai.AsyncOpenAI | anthropic.AsyncAnthropic
ERRORS: tuple[type[openai.APIError] | type[anthropic.APIError], ...] = (
    openai.APIError,
    anthropic.APIError,
)
HOW = ("eof", "rst", "clean_end", "broken_chunk")
COUNT = 1_000 if SOAK else 30
"""Streams for each way of cutting in each dialect."""
AT_ONCE = 8
TRIES = 20
TOKENS = 6


def _stream_bytes(upstream: ScriptedThread, dialect: Dialect) -> bytes:
    """The uncut stream, as the upstream sends it to the gateway."""
    script = carried(dialect.wire == "anthropic", {"tokens": TOKENS})
    body = {
        "model": dialect.model,
        **asking(dialect.wire == "responses"),
        "stream": True,
        "stream_options": {"include_usage": True},
        **script,
    }
    return httpx.post(upstream.url + dialect.upstream_path, json=body).content


def _cuts(whole: bytes, dialect: Dialect) -> list[int]:
    """Offsets: before all, inside and after the role's event, after each event, in the middle of
    each, right before the terminal one, and with the last byte alone missing; the rest by dice."""
    ends = [at + 2 for at in range(len(whole)) if whole.startswith(b"\n\n", at)]
    assert dialect.is_complete_upstream(whole)
    named = [0, *ends[:-1], *[end - 40 for end in ends], len(whole) - 1, len(whole) - 2]
    dice = random.Random(2)
    more = [dice.randrange(len(whole)) for _ in range(max(0, COUNT - len(named)))]
    return [*named, *more]


@pytest_asyncio.fixture
async def sdk(gateway: Gateway) -> AsyncIterator[dict[str, Client]]:
    async with (
        anthropic.AsyncAnthropic(
            base_url=gateway.root, api_key=gateway.key, max_retries=0
        ) as claude,
        openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key, max_retries=0) as plain,
        openai.AsyncAzureOpenAI(
            azure_endpoint=gateway.root,
            api_key=gateway.key,
            api_version="2024-10-21",
            max_retries=0,
        ) as azure,
    ):
        yield {
            pair.name: claude if pair.is_anthropic else azure if pair is AZURE else plain
            for pair in PAIRS
        }


async def _read_all(client: Client, dialect: Dialect, script: dict[str, Any]) -> None:
    model = dialect.model
    if isinstance(client, anthropic.AsyncAnthropic):
        async with client.messages.stream(
            model=model,
            max_tokens=10_000,
            messages=[{"role": "user", "content": "Hello"}],
            metadata={"user_id": own_script(**script)},
        ) as events:
            await events.until_done()
        return
    if dialect.is_responses:
        async with client.responses.stream(
            model=model, input="Hello", user=own_script(**script)
        ) as response:
            await response.until_done()
        return
    stream = await client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        user=own_script(**script),
    )
    async with stream:
        async for _ in stream:
            pass


async def _read_whole(client: Client, dialect: Dialect, script: dict[str, Any]) -> None:
    """This upstream ends a connection after a clean end without a word, and these models allow one
    attempt: a call that comes just then fails before it begins."""
    for _ in range(TRIES):
        try:
            return await _read_all(client, dialect, script)
        except ERRORS as error:
            if getattr(error, "status_code", 200) != 503:
                raise
    raise AssertionError("never answered")


# The SDK leaves its asynchronous generator to the collector when a stream raises, which that may
# meet while it still runs. It has nothing to do with what is tested.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("dialect", PAIRS, ids=lambda d: d.name)
async def test_cut_streams(
    gateway: Gateway,
    upstream: ScriptedThread,
    sdk: dict[str, Client],
    dialect: Dialect,
    how: str,
) -> None:
    """Each cut twice: by the SDK, which must raise, and on the raw socket. A clean end after the
    finish reason and the usage is no cut: only the terminal event is missing."""
    whole = _stream_bytes(upstream, dialect)
    marks = {"anthropic": b"text_delta", "responses": b"output_text.delta"}
    first_content = (
        whole.index(marks[dialect.wire])
        if dialect.wire in marks
        else whole.index(b'"content":"', whole.index(b'"role"') + 40)
    )
    slots = asyncio.Semaphore(AT_ONCE)
    calls: dict[str, int] = {}
    all_there = len(whole) - len(dialect.upstream_end)
    complete: list[int] = []

    async def one(at: int) -> None:
        script = {"tokens": TOKENS, "fault": {"kind": "cut", "how": how, "at_byte": at}}
        if how == "clean_end" and at >= all_there:
            async with slots:
                await _read_whole(sdk[dialect.name], dialect, script)
                for _ in range(TRIES):
                    answer = await ask(gateway, dialect, stream=True, script=script)
                    if answer.status == 200:
                        break
            assert answer.error is None, at
            assert dialect.is_complete(answer.body), at
            complete.append(at)
            return
        async with slots:
            with pytest.raises(ERRORS) as caught:
                await _read_all(sdk[dialect.name], dialect, script)
            answer = await ask(gateway, dialect, stream=True, script=script)
        assert isinstance(caught.value.body, dict), at
        assert DONE not in answer.raw, at
        assert b"message_stop" not in answer.raw, at
        assert COMPLETED not in answer.raw, at
        assert answer.error is not None, at
        assert answer.error["request_id"] == answer.header("x-request-id"), at
        if answer.is_stream:
            assert answer.error["code"] == "stream_incomplete", at
            assert at > first_content, at
        else:
            assert (answer.status, answer.error["code"]) == (503, "upstream_failed"), at
        calls[answer.error["request_id"]] = answer.status
        # Each has its own: a connection that was kept may have been closed before one of them.
        calls[caught.value.body["request_id"]] = getattr(caught.value, "status_code", 200)

    cuts = _cuts(whole, dialect)
    await asyncio.gather(*map(one, cuts))
    assert len(calls) + 2 * len(complete) == 2 * len(cuts) >= 2 * COUNT
    assert bool(complete) == (how == "clean_end" and bool(dialect.upstream_end))
    assert set(calls.values()) == {200, 503}
    accounts = settled(gateway.folder / ".headrace", calls)
    for call, status in calls.items():
        settlement = accounts[call].settlement
        expected = "incomplete" if status == 200 else "refused"
        assert (settlement.status, settlement.finish) == (status, expected)


@pytest.mark.parametrize("dialect", PAIRS, ids=lambda d: d.name)
async def test_whole_answers_that_are_cut(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect
) -> None:
    for how in HOW:
        for at in (0, 1, 40, None):
            script = {"fault": {"kind": "cut", "how": how, "at_byte": at}}
            answer = await ask(gateway, dialect, stream=False, script=script)
            assert answer.status == 503, (how, at)
            assert answer.error is not None
            assert answer.error["code"] == "upstream_failed"


@pytest.mark.parametrize("dialect", PAIRS, ids=lambda d: d.name)
async def test_all_but_done(
    gateway: Gateway,
    upstream: ScriptedThread,
    sdk: dict[str, Client],
    dialect: Dialect,
) -> None:
    """Every token, the finish reason and the usage came, and the body ended as it should; only the
    terminal event did not come. The client gets one, but of a response, whose last event is the
    only one to say how it ended."""
    if dialect.wire == "responses":
        with pytest.raises(ERRORS, match="broke off"):
            await _read_all(sdk[dialect.name], dialect, {"fault": "missing_done"})
        return
    await _read_all(sdk[dialect.name], dialect, {"fault": "missing_done"})
    whole = await ask(gateway, dialect, stream=True, script={})
    answer = await ask(gateway, dialect, stream=True, script={"fault": "missing_done"})
    assert answer.error is None
    assert answer.text == whole.text
    assert answer.body.count(dialect.end) == 1
    assert dialect.is_complete(answer.body)
    assert len(answer.events) == len(whole.events)


@pytest.mark.parametrize("dialect", PAIRS, ids=lambda d: d.name)
async def test_uncut_streams_are_complete(
    gateway: Gateway,
    upstream: ScriptedThread,
    sdk: dict[str, Client],
    dialect: Dialect,
) -> None:
    """The same, without a cut and with one right behind the last byte, is no fault."""
    whole = _stream_bytes(upstream, dialect)
    await _read_all(sdk[dialect.name], dialect, {"tokens": TOKENS})
    for how in HOW:
        script = {
            "tokens": TOKENS,
            "fault": {"kind": "cut", "how": how, "at_byte": len(whole)},
        }
        answer = await ask(gateway, dialect, stream=True, script=script)
        assert dialect.is_complete(answer.body), how
        assert answer.error is None
