"""T28 and T30 through a gateway process: bombs and ambiguous requests beside good traffic."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chaos.conftest import SOAK
from support.commands import executed
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread
from support.smuggling import CORPUS

SLOW_CONNECTIONS = 2_000 if SOAK else 300
GROWTH_LIMIT_BYTES = 64 * 1024 * 1024
CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
server: {{header_timeout_s: 5, body_timeout_s: 5}}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]]}}
"""


@pytest.fixture
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as made:
        yield made


@pytest.fixture
def house(upstream: ScriptedThread, tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(CONFIG.format(url=upstream.url), tmp_path, start=executed) as gateway:
        yield gateway


def good(gateway: Gateway, **more: object) -> bytes:
    """A sound request, as bytes."""
    body = {"model": "one", "messages": [{"role": "user", "content": "Hello"}], **more}
    data = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {gateway.key}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def exchange(gateway: Gateway, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        writer.write(data)
        got: list[bytes] = []
        while True:
            try:
                more = await asyncio.wait_for(reader.read(1 << 20), 0.5 if got else 10)
            except (TimeoutError, ConnectionError):
                return b"".join(got)
            if not more:
                return b"".join(got)
            got.append(more)
    finally:
        writer.close()


def resident_bytes(gateway: Gateway) -> int:
    for line in Path(f"/proc/{gateway.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


async def test_ambiguous_requests_never_reach_the_upstream(
    house: Gateway, upstream: ScriptedThread
) -> None:
    """Each is followed by a sound call on the same connection, which must not be served either."""
    names = list(CORPUS)
    for start in range(0, len(names), 25):
        batch = names[start : start + 25]
        answers = await asyncio.gather(
            *(exchange(house, CORPUS[name] + good(house)) for name in batch)
        )
        for name, raw in zip(batch, answers, strict=True):
            head, _, body = raw.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 "), name
            assert b"x-request-id: " in head, name
            assert json.loads(body)["error"]["code"] == "bad_request", name
    assert upstream.seen == []
    assert (await exchange(house, good(house))).startswith(b"HTTP/1.1 200 ")
    assert len(upstream.seen) == 1


async def test_bombs_are_refused_and_cost_no_memory(
    house: Gateway, upstream: ScriptedThread
) -> None:
    headers = {"authorization": f"Bearer {house.key}"}
    url = f"{house.url}/chat/completions"
    bombs: dict[str, tuple[int, bytes, dict[str, str]]] = {
        "depth": (400, b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}),
        "open brackets": (400, b"[" * 1_000_000, {}),
        "containers": (400, b'{"messages":[' + b"{}," * 1_000_000 + b"{}]}", {}),
        "gzip": (415, gzip.compress(b"x" * 10_000_000), {"content-encoding": "gzip"}),
        "body": (413, b"x" * (21 * 1024 * 1024), {}),
        "digits": (400, b'{"messages":[' + b"9" * 1_000_000 + b"],}", {}),
    }
    async with httpx.AsyncClient(timeout=30, headers=headers) as client:
        assert (await client.post(url, content=good(house).partition(b"\r\n\r\n")[2])).is_success
        before = resident_bytes(house)
        for name, (status, body, more) in bombs.items():
            for _ in range(3):
                answer = await client.post(url, content=body, headers=more)
                assert answer.status_code == status, name
                assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
        oversized = await client.get(url, headers={"x-long": "y" * 1_000_000})
        assert oversized.status_code == 431
    assert resident_bytes(house) - before < GROWTH_LIMIT_BYTES
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_endless_answer_is_cut(
    house: Gateway, upstream: ScriptedThread, stream: bool
) -> None:
    size = 200 * 1024 * 1024
    upstream.always(fault={"kind": "endless", "bytes": size})
    before = resident_bytes(house)
    raw = await exchange(house, good(house, stream=stream))
    assert b"[DONE]" not in raw
    assert b'"error"' in raw[-4096:]
    assert len(raw) < size
    assert resident_bytes(house) - before < 3 * GROWTH_LIMIT_BYTES  # a whole answer of 64 MiB


@pytest.mark.soak
async def test_slow_connections_do_not_stop_others(
    house: Gateway, upstream: ScriptedThread
) -> None:
    before = resident_bytes(house)
    held = []
    for _ in range(SLOW_CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        held.append((reader, writer))
    for _ in range(20):
        assert (await exchange(house, good(house))).startswith(b"HTTP/1.1 200 ")
    assert resident_bytes(house) - before < GROWTH_LIMIT_BYTES
    endings = await asyncio.gather(*(asyncio.wait_for(r.read(-1), 20) for r, _ in held))
    assert all(ending.startswith(b"HTTP/1.1 408 ") for ending in endings)
    for _, writer in held:
        writer.close()
