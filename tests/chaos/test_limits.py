"""Limits and budgets on the real port: races, every way out of a call, shared answers, a noisy
neighbour (T12, T14 of the reliability plan)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI, RateLimitError

from chaos.conftest import SOAK, STEADY
from headrace.data.database import DatabaseAway
from headrace.data.databases import database
from headrace.gateway.prices import PriceBook
from headrace.nouns import Usage
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, own_script, scripted_thread
from support.steady_client import SteadyClient, raw_request

KEYS = {
    name: f"{name}-0123456789abcdef"
    for name in ("race", "ways", "share", "sharer", "a", "b", "caps")
}
CONFIG = (
    STEADY
    + """
keys:
  race: {{secret: env:RACE, tenant: race}}
  ways: {{secret: env:WAYS, tenant: ways}}
  share: {{secret: env:SHARE, tenant: share}}
  sharer: {{secret: env:SHARER, tenant: share}}
  a: {{secret: env:A, tenant: noisy}}
  b: {{secret: env:B, tenant: quiet}}
  caps: {{secret: env:CAPS, tenant: caps}}
backends:
  plain: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  m: {{pools: [[plain]], retry: {{attempts: 1}}}}
limits:
  - {{name: one at a time, per: tenant, only: {{tenant: ways}}, concurrent: 1}}
  - {{name: rpm, per: key, only: {{key: share}}, requests: 100, every_s: 3600, burst_s: 360}}
  - {{name: tpm, per: tenant, only: {{tenant: share}}, tokens: 100_000_000, every_s: 3600}}
  - {{name: fair, per: tenant, only: {{tenant: [noisy, quiet]}}, requests: 20, every_s: 1}}
budgets:
  - {{name: race, per: key, only: {{key: race}}, tokens: {race}}}
  - {{name: ways, per: key, only: {{key: ways}}, tokens: 1_000_000, soft_share: 0.000001}}
  - {{name: shared, per: tenant, only: {{tenant: share}}, usd: "100", soft_share: 0.000001}}
token_caps:
  - {{name: brief, only: {{key: caps, type: summary}}, most: 16}}
  - {{name: never more, only: {{key: caps}}, most: 64, above: refuse}}
"""
)
ROOM = 100
ANSWER = 20


def body(script: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "user": own_script(**(script or {})),
        **members,
    }


def race_body() -> dict[str, Any]:
    """A call that uses all that it reserves."""
    made = body({"tokens": ANSWER}, max_tokens=ANSWER)
    made["user"] = own_script(tokens=ANSWER, usage={"input": RESERVED - ANSWER, "output": ANSWER})
    return made


RESERVED = 300
RACE_BYTES = len(json.dumps(race_body(), separators=(",", ":")))
RESERVED = RACE_BYTES + ANSWER


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as running:
        yield running


@pytest.fixture(scope="module")
def house(upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(url=upstream.url, race=ROOM * RESERVED)
    env = {name.upper(): secret for name, secret in KEYS.items()}
    with running_gateway(config, tmp_path_factory.mktemp("limits"), env=env) as running:
        yield running


def client(house: Gateway, key: str, timeout: float = 30.0) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=house.url,
        headers={"authorization": f"Bearer {KEYS[key]}"},
        timeout=timeout,
        limits=httpx.Limits(max_connections=256),
    )


async def test_a_thousand_at_once_and_room_for_a_hundred(
    house: Gateway, upstream: ScriptedThread
) -> None:
    """T12. All of what is admitted is used, so the cap would be overspent by a single call."""
    upstream.reset()
    content = json.dumps(race_body(), separators=(",", ":")).encode()
    assert len(content) == RACE_BYTES
    request = raw_request(KEYS["race"], content)
    clients = [await SteadyClient.of(house) for _ in range(1000)]
    answers = await asyncio.gather(*(one.ask(request) for one in clients))
    for one in clients:
        one.close()
    statuses = Counter(answer.status for answer in answers)
    assert statuses == {200: ROOM, 429: 1000 - ROOM}
    assert len(upstream.seen) == ROOM
    spent = sum(a.json()["usage"]["total_tokens"] for a in answers if a.status == 200)
    assert spent == ROOM * RESERVED, "exactly the cap"
    refused = next(a for a in answers if a.status == 429)
    assert refused.json()["error"]["code"] == "insufficient_quota"


async def _spent(house: Gateway, key: str) -> str:
    """What the budget's warning says; a call of its own, which asks for one token."""
    async with client(house, key) as asking:
        script = {"usage": {"input": 0, "output": 0}}
        for _ in range(100):
            answer = await asking.post("/chat/completions", json=body(script, max_tokens=1))
            if answer.status_code == 200:
                break
            await asyncio.sleep(0.05)  # the call before is not settled yet
        assert answer.status_code == 200, answer.text
        warning = answer.headers.get("x-headrace-budget-warning", "used=0;")
        found = re.search(r"used=([^;]*);", warning)
        assert found is not None
        return found[1]


async def _admitted(asking: httpx.AsyncClient, asked: dict[str, Any]) -> httpx.Response:
    """The answer to a call that the limit lets in, however late the one before is settled."""
    async with asyncio.timeout(30):
        while True:
            answer = await asking.post("/chat/completions", json=asked)
            if b"rate_limit_exceeded" not in answer.content:
                return answer
            await asyncio.sleep(0.05)


USED = {"usage": {"input": 100, "output": 11}}


@pytest.mark.parametrize(
    ("way", "script", "members", "used"),
    [
        ("whole", USED, {}, 111),
        ("stream", USED, {"stream": True}, 111),
        ("no bound", USED, {"max_tokens": None}, 111),
        ("reset", {"fault": {"kind": "reset"}}, {}, 0),
        ("refused by the provider", {"status": 400}, {}, 0),
        ("busy provider", {"status": 429}, {}, 0),
        ("failing provider", {"status": 500}, {}, 0),
        ("cut before content", {"fault": {"kind": "cut", "how": "rst", "after": 0}},
         {"stream": True}, 0),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
async def test_every_way_out_gives_back_what_was_not_used(
    house: Gateway, way: str, script: dict[str, Any], members: dict[str, Any], used: int
) -> None:
    before = int((await _spent(house, "ways")).removesuffix(" tokens").replace(",", ""))
    async with client(house, "ways") as asking:
        for _ in range(3):
            asked = body(script, **{"max_tokens": 500, **members})
            await _admitted(asking, asked)
    after = int((await _spent(house, "ways")).removesuffix(" tokens").replace(",", ""))
    assert after - before == 3 * used


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_gives_its_place_back(house: Gateway, stream: bool) -> None:
    """The limit is one at a time: the next call is admitted only if it was."""
    script = {"head_ms": 400} if not stream else {"gap_ms": 50, "tokens": 200}
    for _ in range(3):
        async with client(house, "ways", 0.2) as leaving:
            with contextlib.suppress(httpx.TimeoutException):
                asked = body(script, max_tokens=500, stream=stream)
                async with leaving.stream("POST", "/chat/completions", json=asked) as answer:
                    assert answer.status_code == 200, await answer.aread()
                    async for _ in answer.aiter_bytes():
                        break
        await _spent(house, "ways")


async def test_two_at_once_where_one_is_allowed(house: Gateway, upstream: ScriptedThread) -> None:
    await _spent(house, "ways")  # the call before is settled
    async with client(house, "ways") as asking:
        for head_ms in (600, 3_000, 15_000):  # longer where the second came too late
            upstream.reset()
            slow = asyncio.create_task(_admitted(asking, body({"head_ms": head_ms}, max_tokens=5)))
            await asyncio.to_thread(upstream.wait_for, lambda stats: stats.calls == 1)
            second = await asking.post("/chat/completions", json=body(max_tokens=5))
            if second.status_code == 429 or upstream.seen[0].ended == "in_flight":
                break
        assert second.status_code == 429
        error = second.json()["error"]
        assert error["code"] == "rate_limit_exceeded"
        assert "'one at a time'" in error["message"]
        assert (await slow).status_code == 200


async def test_shared_answers_cost_a_request_and_no_tokens(
    house: Gateway, upstream: ScriptedThread
) -> None:
    """Ten calls, one upstream call: what is counted is ten requests and one call's tokens."""
    upstream.reset()
    asked = body({"head_ms": 3_000, **USED}, temperature=0, max_tokens=50)
    async with client(house, "share") as asking:
        answers = await asyncio.gather(
            *(asking.post("/chat/completions", json=asked) for _ in range(10))
        )
        assert [answer.status_code for answer in answers] == [200] * 10
        assert len(upstream.seen) == 1
        remaining = {int(a.headers["x-ratelimit-remaining-requests"]) for a in answers}
        assert remaining == set(range(10)), "each has lines of its own"
        refused = await asking.post("/chat/completions", json=asked)
        assert refused.status_code == 429, "though the answer could be shared"
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
        assert int(refused.headers["retry-after"]) >= 1
    calls = [answer.headers["x-request-id"] for answer in answers]
    await asyncio.to_thread(settled, house.folder / ".headrace", calls)
    price = 100 * 2.5 + 11 * 10
    assert await _spent(house, "sharer") == f"${price / 1e6:g}"


def test_an_sdk_waits_for_a_rate_and_not_for_a_budget(house: Gateway) -> None:
    with OpenAI(base_url=house.url, api_key=KEYS["race"], max_retries=5, timeout=60) as sdk:
        began = time.monotonic()
        with pytest.raises(RateLimitError) as caught:
            sdk.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi" * 5000}], max_tokens=30_000
            )
        assert time.monotonic() - began < 5.0, "it must not retry"
        assert caught.value.code == "insufficient_quota"


async def test_caps_by_type_of_request(house: Gateway, upstream: ScriptedThread) -> None:
    upstream.reset()
    kind = {"x-headrace-request-type": "summary"}
    async with client(house, "caps") as asking:
        answer = await asking.post("/chat/completions", json=body(max_tokens=60), headers=kind)
        assert answer.status_code == 200
        assert json.loads(upstream.seen[-1].body)["max_tokens"] == 16
        answer = await asking.post("/chat/completions", json=body())
        assert json.loads(upstream.seen[-1].body)["max_tokens"] == 64
        answer = await asking.post("/chat/completions", json=body(max_completion_tokens=65))
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "max_completion_tokens"
        assert answer.json()["error"]["code"] == "max_tokens_too_large"
    assert len(upstream.seen) == 2


BODY = json.dumps(body()).encode()
ROUNDS = 3


async def _quiet(house: Gateway, seconds: float) -> list[float]:
    """B's calls, ten a second, half of what it may: how long each took, in seconds."""
    asking, request = await SteadyClient.of(house), raw_request(KEYS["b"], BODY)
    took: list[float] = []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        answer = await asking.ask(request)
        took.append(time.monotonic() - began)
        assert answer.status == 200, answer
        await asyncio.sleep(max(0.0, began + 0.1 - time.monotonic()))
    asking.close()
    return sorted(took)


async def _noise(house: Gateway, per_s: int, stop: asyncio.Event) -> Counter[int]:
    """A's calls, evenly over 20 connections."""
    statuses: Counter[int] = Counter()

    async def one(turn: int) -> None:
        asking, request = await SteadyClient.of(house), raw_request(KEYS["a"], BODY)
        await asyncio.sleep(turn / per_s)
        while not stop.is_set():
            began = time.monotonic()
            statuses[(await asking.ask(request)).status] += 1
            await asyncio.sleep(max(0.0, began + 20 / per_s - time.monotonic()))
        asking.close()

    await asyncio.gather(*(one(turn) for turn in range(20)))
    return statuses


async def test_a_noisy_neighbour(house: Gateway) -> None:
    """T14. Not one call of B is refused though A asks 50 times what it may. The load generator
    shares this machine's two cores with the gateway, so B's times are printed and bounded loosely:
    what A does to them shows in each round, what the machine does not.
    """
    seconds = 20.0 if SOAK else 4.0
    for _ in range(ROUNDS):
        alone = _p99_ms(await _quiet(house, seconds))
        stop = asyncio.Event()
        noise = asyncio.create_task(_noise(house, 1000, stop))
        beside = _p99_ms(await _quiet(house, seconds))
        stop.set()
        statuses = await noise
        passed = statuses[200]
        assert statuses[429] > 10 * passed
        assert passed <= 20 * (seconds + 20.0) + 20, "no more than its rate"
        print(f"\nB's p99 alone {alone:.1f} ms, beside A {beside:.1f} ms; A: {statuses}")
        if beside < alone + 1000:
            return
    raise AssertionError("B waits for A")


def _p99_ms(times_s: list[float]) -> float:
    return times_s[int(len(times_s) * 0.99)] * 1000


async def test_the_headers_reach_a_real_sdk(house: Gateway) -> None:
    async with AsyncOpenAI(base_url=house.url, api_key=KEYS["b"]) as sdk:
        raw = await sdk.chat.completions.with_raw_response.create(
            model="m", messages=[{"role": "user", "content": "Hello"}]
        )
    assert raw.headers["x-ratelimit-limit-requests"] == "20"
    assert raw.headers["ratelimit-policy"] == '"fair";q=20;qu="requests";w=1'


def test_limits_are_raised_by_a_reload_and_counts_go_on(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    config = """
backends: {{a: {{provider: openai, url: "{url}/v1"}}}}
limits: [{{per: gateway, requests: {limit}, every_s: 3600, burst_s: 3600}}]
"""
    with running_gateway(config.format(url=upstream.url, limit=2), tmp_path) as one:
        headers = {"authorization": f"Bearer {one.key}"}

        def ask() -> int:
            url = f"{one.url}/chat/completions"
            return httpx.post(url, json=body(), headers=headers).status_code

        assert [ask() for _ in range(3)] == [200, 200, 429]
        (tmp_path / "headrace.yaml").write_text(config.format(url=upstream.url, limit=4))
        until = time.monotonic() + 20
        while "reloaded" not in (tmp_path / "log.jsonl").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert [ask() for _ in range(3)] == [200, 200, 429]


async def test_a_killed_call_counts_for_what_was_reserved(
    upstream: ScriptedThread, tmp_path: Path
) -> None:
    """The ledger settles it at the gate's own bound, in tokens and in dollars."""
    upstream.reset()
    config = CONFIG.format(url=upstream.url, race=ROOM * RESERVED)
    env = {name.upper(): secret for name, secret in KEYS.items()}
    silent = body({"ttft_ms": 60_000}, max_tokens=77)
    content = json.dumps(silent, separators=(",", ":"))
    asked = {"ways": content, "share": content, "a": content}
    with running_gateway(config, tmp_path, env=env) as house:
        calls = []
        for key, text in asked.items():
            headers = {"authorization": f"Bearer {KEYS[key]}", "x-request-id": f"cut-off-{key}"}
            one = httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60)
            calls.append(asyncio.create_task(one.post("/chat/completions", content=text)))
        async with asyncio.timeout(30):
            while len(upstream.seen) < len(asked):  # noqa: ASYNC110 - it is another thread's
                await asyncio.sleep(0.02)
        os.kill(house.pid, signal.SIGKILL)
        await asyncio.gather(*calls, return_exceptions=True)
    store = database(tmp_path / ".headrace", None, read_only=True)
    select = "SELECT call, input_tokens, output_tokens, cost_microusd, orphan FROM ledger"
    found: dict[str, Any] = {}
    async with asyncio.timeout(30):
        while len(found) < len(asked):
            await asyncio.sleep(0.1)
            with contextlib.suppress(DatabaseAway):
                found = {str(call): rest for call, *rest in store.read(select)}
    store.close()
    size = len(content)
    price = PriceBook.shipped()
    most = price.cost_microusd("openai", "gpt-4o", Usage(size, 77))
    estimate = price.cost_microusd("openai", "gpt-4o", Usage(size // 4, 4096))
    assert found["cut-off-share"] == [size, 77, most, 1], "a budget in dollars"
    assert found["cut-off-ways"] == [size, 77, most, 1], "a budget in tokens"
    assert found["cut-off-a"] == [size // 4, 4096, estimate, 1], "nobody reckoned"
