"""T04: text that is cut in the middle of its characters arrives whole."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import openai
import pytest

from chaos.conftest import SOAK
from chaos.pairs import ALL_PAIRS, DIALECTS, FURTHER, OPENAI, PAIRS, Dialect
from chaos.wire import Answer, ask
from support.gateway_process import Gateway
from support.scripted import ScriptedThread, own_script

PIECES = ["水", "車🏞️", "é\u0301", "👩‍👩‍👧", "한글", "\u2028", "ة"]
TEXT = "".join(PIECES)
COUNT = 10_000 if SOAK else 1
"""At least this many streams in each dialect; every offset is cut at least once in a soak."""
STEP = 1 if SOAK else 7
"""Bytes from one cut to the next; prime to what texts and frames repeat in."""
FURTHER_STEP = 1 if SOAK else 149
"""The same before the further providers."""
AT_ONCE = 16
_OWN = re.compile(rb'"(item_)?id":"(chatcmpl-|msg_|resp_|resp_hr)?[0-9a-f]+"|"created(_at)?":\d+')


def _comparable(answer: Answer) -> bytes:
    """The body without what differs from call to call."""
    return _OWN.sub(b"", answer.body)


async def _asked(gateway: Gateway, dialect: Dialect, **script: Any) -> Answer:
    return await ask(gateway, dialect, stream=True, script={"pieces": PIECES, **script})


@pytest.mark.parametrize("dialect", ALL_PAIRS, ids=lambda d: d.name)
async def test_cut_at_each_place(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect
) -> None:
    whole = await _asked(gateway, dialect)
    assert whole.text == TEXT
    length = upstream.seen[-1].bytes_sent
    if dialect in DIALECTS:
        assert length > len(whole.body)  # the usage that the client did not ask for
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(at: int) -> None:
        async with slots:
            answer = await _asked(gateway, dialect, split=[at])
        assert answer.text == TEXT, at
        assert "\ufffd" not in answer.body.decode(), at
        assert _comparable(answer) == _comparable(whole), at

    step = FURTHER_STEP if dialect in FURTHER else STEP
    offsets = [*range(1, length, step)] * (COUNT // length + 1)
    await asyncio.gather(*map(one, offsets))
    assert len(offsets) >= COUNT


@pytest.mark.parametrize("dialect", PAIRS, ids=lambda d: d.name)
@pytest.mark.parametrize("eol", ["lf", "crlf"])
@pytest.mark.parametrize("split", [1, 2, 3, 7, "utf8"])
async def test_cut_into_small_pieces(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect, split: Any, eol: str
) -> None:
    await _check_small_pieces(gateway, dialect, split, eol)


@pytest.mark.parametrize("dialect", FURTHER, ids=lambda d: d.name)
async def test_cut_into_small_pieces_by_further_providers(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect
) -> None:
    for split, eol in ((1, "crlf"), (7, "lf"), ("utf8", "lf")):
        await _check_small_pieces(gateway, dialect, split, eol)


async def _check_small_pieces(gateway: Gateway, dialect: Dialect, split: Any, eol: str) -> None:
    """Each piece is its own write and its own HTTP chunk."""
    whole = await _asked(gateway, dialect, eol=eol)
    answer = await _asked(gateway, dialect, eol=eol, split=split, comment_every=0)
    assert _comparable(answer) == _comparable(whole)
    assert answer.text == TEXT


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
async def test_bytes_are_the_upstreams_own(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect
) -> None:
    """With usage asked for nothing has to change: the stream's bytes are those that the upstream
    sends when it is called directly, comments, line ends and all."""
    options = {"include_usage": True}
    for script in ({}, {"eol": "crlf"}, {"comment_every": 2}, {"framing": "close"}):
        through = await ask(
            gateway,
            dialect,
            stream=True,
            script={"pieces": PIECES, **script},
            stream_options=options,
        )
        path = dialect.path if dialect is OPENAI else dialect.path.replace("dated", "east")
        direct = await asyncio.to_thread(
            httpx.post,
            upstream.url + path,
            json={
                "model": dialect.model,
                "messages": [{"role": "user", "content": "Hello"}],
                "stream_options": options,
                "stream": True,
                "user": own_script(pieces=PIECES, **script),
            },
        )
        assert _comparable(through) == _OWN.sub(b"", direct.content), script


async def test_sdk_reads_it(gateway: Gateway, upstream: ScriptedThread) -> None:
    async with openai.AsyncOpenAI(
        base_url=gateway.url, api_key=gateway.key, max_retries=0
    ) as client:
        stream = await client.chat.completions.create(
            model="plain",
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            user=own_script(pieces=PIECES, split=1),
        )
        text = "".join([c.choices[0].delta.content or "" async for c in stream])
    assert text == TEXT
