"""T02: a stream that was cut never looks complete, wherever and however it was cut."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any

import anthropic
import httpx
import openai
import pytest

from chaos.conftest import SOAK
from chaos.pairs import ALL_PAIRS, AZURE, COMPLETED, DONE, FURTHER, PAIRS, Dialect
from chaos.wire import Answer, ask
from support.accounts import settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

Client = openai.AsyncOpenAI | anthropic.AsyncAnthropic
ERRORS: tuple[type[openai.APIError] | type[anthropic.APIError], ...] = (
    openai.APIError,
    anthropic.APIError,
)
HOW = ("eof", "rst", "clean_end", "broken_chunk")
COUNT = 1_000 if SOAK else 30
"""Streams for each way of cutting in each dialect."""
FURTHER_COUNT = COUNT if SOAK else 3
"""The same before the further providers."""
FURTHER_HOWS = [HOW] if SOAK else [HOW[:2], HOW[2:], HOW[1:3]]
"""Each provider is cut in every way, by one of its clients or another."""
AT_ONCE = 8
TRIES = 20
TOKENS = 6


def _stream_bytes(upstream: ScriptedThread, dialect: Dialect) -> bytes:
    """The uncut stream, as the upstream sends it to the gateway."""
    body = dialect.asking_upstream({"tokens": TOKENS})
    return httpx.post(upstream.url + dialect.upstream_path, json=body).content


def _cuts(whole: bytes, dialect: Dialect) -> list[int]:
    """Offsets: before all, inside and after the role's event, after each event, in the middle of
    each, right before the terminal one, and with the last byte alone missing; the rest by dice."""
    ends = dialect.ends_upstream(whole)
    count = FURTHER_COUNT if dialect in FURTHER else COUNT
    named = [0, *ends[:-1], *[end - 40 for end in ends], len(whole) - 1, len(whole) - 2]
    if count < len(ends):
        named = [0, ends[2] + 40, len(whole) - 1]
    dice = random.Random(2)
    more = [dice.randrange(len(whole)) for _ in range(max(0, count - len(named)))]
    return [*named, *more]


def _sdk(gateway: Gateway, dialect: Dialect) -> Client:
    asked: Any = {"api_key": gateway.key, "max_retries": 0}
    if dialect.is_anthropic:
        return anthropic.AsyncAnthropic(base_url=gateway.root, **asked)
    # To read the system's certificates, which a plain port has no use for, takes 20 ms.
    asked["http_client"] = httpx.AsyncClient(verify=False, timeout=600)
    if dialect is AZURE:
        return openai.AsyncAzureOpenAI(
            azure_endpoint=gateway.root, api_version="2024-10-21", **asked
        )
    return openai.AsyncOpenAI(base_url=gateway.url, **asked)


async def _read_all(client: Client, dialect: Dialect, script: dict[str, Any]) -> None:
    asked: Any = {"model": dialect.model, **dialect.asking(script)}
    if isinstance(client, anthropic.AsyncAnthropic):
        async with client.messages.stream(max_tokens=10_000, **asked) as events:
            await events.until_done()
        return
    if dialect.is_responses:
        async with client.responses.stream(**asked) as response:
            await response.until_done()
        return
    stream = await client.chat.completions.create(stream=True, **asked)
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


def _by_client() -> list[list[Dialect]]:
    """The further pairs."""
    paths = dict.fromkeys(d.path for d in FURTHER)
    return [[d for d in FURTHER if d.path == path] for path in paths]


# The SDK leaves its asynchronous generator to the collector when a stream raises, which that may
# meet while it still runs. It has nothing to do with what is tested.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("dialect", "hows"),
    [
        *[pytest.param(d, (how,), id=f"{d.name}-{how}") for d in PAIRS for how in HOW],
        *[
            pytest.param(d, hows, id=d.name)
            for hows, client in zip(itertools.cycle(FURTHER_HOWS), _by_client(), strict=False)
            for d in client
        ],
    ],
)
async def test_cut_streams(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect, hows: Sequence[str]
) -> None:
    """Each cut twice: by the SDK, which must raise, and on the raw socket. A clean end after the
    finish reason and the usage is no cut: only the terminal event is missing."""
    whole = _stream_bytes(upstream, dialect)
    async with _sdk(gateway, dialect) as sdk:
        for how in hows:
            await _Cutting(gateway, sdk, dialect, how).check(whole)


class _Cutting:
    """One way of cutting one dialect's streams."""

    def __init__(self, gateway: Gateway, sdk: Client, dialect: Dialect, how: str) -> None:
        self.gateway = gateway
        self.sdk = sdk
        self.dialect = dialect
        self.how = how
        self.slots = asyncio.Semaphore(AT_ONCE)
        self.calls: dict[str, int] = {}
        self.complete: list[int] = []

    async def check(self, whole: bytes) -> None:
        dialect, how, calls = self.dialect, self.how, self.calls
        all_there = len(whole) - len(dialect.upstream_end)
        first_content = _first_content(whole, dialect)
        cuts = _cuts(whole, dialect)
        await asyncio.gather(
            *[
                self.no_cut(at)
                if how == "clean_end" and at >= all_there
                else self.cut(at, first_content)
                for at in cuts
            ]
        )
        assert len(calls) + 2 * len(self.complete) == 2 * len(cuts)
        assert len(cuts) >= (FURTHER_COUNT if dialect in FURTHER else COUNT)
        assert bool(self.complete) == (how == "clean_end" and bool(dialect.upstream_end))
        assert set(calls.values()) == {200, 503}
        accounts = settled(self.gateway.folder / ".headrace", calls)
        for call, status in calls.items():
            settlement = accounts[call].settlement
            expected = "incomplete" if status == 200 else "refused"
            assert (settlement.status, settlement.finish) == (status, expected)

    async def no_cut(self, at: int) -> None:
        script = self._script(at)
        async with self.slots:
            await _read_whole(self.sdk, self.dialect, script)
            for _ in range(TRIES):
                answer = await ask(self.gateway, self.dialect, stream=True, script=script)
                if answer.status == 200:
                    break
        assert answer.error is None, at
        assert self.dialect.is_complete(answer.body), at
        self.complete.append(at)

    async def cut(self, at: int, first_content: int) -> None:
        script = self._script(at)
        async with self.slots:
            caught = await self._caught(script, at > first_content)
            answer = await self._asked(script, at > first_content)
        assert isinstance(caught.body, dict), at
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
        self.calls[answer.error["request_id"]] = answer.status
        # Each has its own: a connection that was kept may have been closed before one of them.
        self.calls[caught.body["request_id"]] = getattr(caught, "status_code", 200)

    async def _caught(self, script: dict[str, Any], begins: bool) -> Any:
        """What the SDK raises. As `_read_whole`: asked again where the stream would have begun."""
        for _ in range(TRIES):
            with pytest.raises(ERRORS) as caught:
                await _read_all(self.sdk, self.dialect, script)
            if not self._came_upon_an_end(begins, getattr(caught.value, "status_code", 200)):
                break
        return caught.value

    async def _asked(self, script: dict[str, Any], begins: bool) -> Answer:
        for _ in range(TRIES):
            answer = await ask(self.gateway, self.dialect, stream=True, script=script)
            if not self._came_upon_an_end(begins, answer.status):
                break
        return answer

    def _came_upon_an_end(self, begins: bool, status: int) -> bool:
        return begins and status == 503 and self.how == "clean_end"

    def _script(self, at: int) -> dict[str, Any]:
        return {"tokens": TOKENS, "fault": {"kind": "cut", "how": self.how, "at_byte": at}}


def _first_content(whole: bytes, dialect: Dialect) -> int:
    """Where the first content begins, of the upstream's stream."""
    marks = {
        "anthropic": b"text_delta",
        "responses": b"output_text.delta",
        "google": b'"text":"',
        "bedrock": b"contentBlockDelta",
        "cohere": b"content-delta",
    }
    if dialect.wire in marks:
        return whole.index(marks[dialect.wire])
    return whole.index(b'"content":"', whole.index(b'"role"') + 40)


@pytest.mark.parametrize("dialect", ALL_PAIRS, ids=lambda d: d.name)
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


@pytest.mark.parametrize("dialect", ALL_PAIRS, ids=lambda d: d.name)
async def test_all_but_done(gateway: Gateway, upstream: ScriptedThread, dialect: Dialect) -> None:
    """Every token, the finish reason and the usage came, and the body ended as it should; only the
    terminal event did not come. The client gets one, unless the last event is the only one to say
    how the answer ended."""
    async with _sdk(gateway, dialect) as sdk:
        if not dialect.upstream_end:
            with pytest.raises(ERRORS, match="broke off"):
                await _read_all(sdk, dialect, {"fault": "missing_done"})
            return
        await _read_all(sdk, dialect, {"fault": "missing_done"})
    whole = await ask(gateway, dialect, stream=True, script={})
    answer = await ask(gateway, dialect, stream=True, script={"fault": "missing_done"})
    assert answer.error is None
    assert answer.text == whole.text
    assert answer.body.count(dialect.end) == 1
    assert dialect.is_complete(answer.body)
    assert len(answer.events) == len(whole.events)


async def _answered(gateway: Gateway, dialect: Dialect, script: dict[str, Any]) -> Answer:
    """As `_read_whole`: asked again where the call came upon a connection that was ending."""
    for _ in range(TRIES):
        answer = await ask(gateway, dialect, stream=True, script=script)
        if answer.status != 503:
            return answer
    raise AssertionError("never answered")


@pytest.mark.parametrize("dialect", ALL_PAIRS, ids=lambda d: d.name)
async def test_uncut_streams_are_complete(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect
) -> None:
    """The same, without a cut and with one right behind the last byte, is no fault: but where only
    the proper end of the bytes tells that they are all."""
    whole = _stream_bytes(upstream, dialect)
    async with _sdk(gateway, dialect) as sdk:
        await _read_all(sdk, dialect, {"tokens": TOKENS})
    if dialect in FURTHER:  # else the names of models differ
        assert upstream.seen[0].bytes_sent == upstream.seen[-1].bytes_sent
    for how in HOW:
        script = {
            "tokens": TOKENS,
            "fault": {"kind": "cut", "how": how, "at_byte": len(whole)},
        }
        answer = await _answered(gateway, dialect, script)
        complete = how == "clean_end" or not dialect.needs_proper_end
        assert dialect.is_complete(answer.body) == complete, how
        assert (answer.error is None) == complete, how
