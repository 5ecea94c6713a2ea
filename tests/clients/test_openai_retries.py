"""T18: the real SDK tries again by itself, with its own defaults. What it lost is given again and
paid for once; what cannot be had is not asked for three times."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from headrace.data.records import Settlement
from headrace.data.segments import records
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
backends:
  east: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
  west: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  gpt-4o: {{pools: [[east, west]]}}
"""


class CuttingProxy:
    """A TCP proxy before the gateway. The answer to the first `cuts` requests is taken to its end
    and thrown away, and the client's connection reset: as when a network breaks at the worst
    moment. `requests` counts what came through."""

    def __init__(self, port: int, cuts: int) -> None:
        self._port = port
        self._cuts = cuts
        self.requests = 0
        self.port = 0

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            while head := await client.readuntil(b"\r\n\r\n"):
                await self._one(head, client, back)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.close()

    async def _one(
        self, head: bytes, client: asyncio.StreamReader, back: asyncio.StreamWriter
    ) -> None:
        """One request on a connection of its own to the gateway, so that its answer has an end."""
        self.requests += 1
        lines = [line for line in head.split(b"\r\n") if line]
        length = next(int(v) for k, _, v in (n.partition(b":") for n in lines)
                      if k.lower() == b"content-length")  # fmt: skip
        kept = [line for line in lines if not line.lower().startswith(b"connection:")]
        body = await client.readexactly(length)
        up, down = await asyncio.open_connection("127.0.0.1", self._port)
        down.write(b"\r\n".join([*kept, b"connection: close", b"", b""]) + body)
        answer = await up.read(-1)
        down.close()
        if self.requests <= self._cuts:
            sock: socket.socket = back.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionResetError
        back.write(answer)
        await back.drain()
        raise ConnectionResetError  # the answer said `connection: close`


@contextmanager
def cutting_proxy(port: int, cuts: int = 0) -> Iterator[CuttingProxy]:
    """In a thread of its own, for SDKs that block."""
    proxy, loop = CuttingProxy(port, cuts), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def gateway(upstream: ScriptedThread, tmp_path: Path) -> Iterator[Gateway]:
    """One that retries, and whose journal holds these calls alone."""
    with running_gateway(CONFIG.format(url=upstream.url), tmp_path) as running:
        yield running


def url_of(proxy: CuttingProxy) -> str:
    return f"http://127.0.0.1:{proxy.port}/v1"


def ask(proxy: CuttingProxy, gateway: Gateway, stream: bool) -> str:
    """The text that the blocking SDK, with its own number of retries, has in the end."""
    with openai.OpenAI(base_url=url_of(proxy), api_key=gateway.key) as sdk:
        if not stream:
            answer = sdk.chat.completions.create(model="gpt-4o", messages=ASK)
            return answer.choices[0].message.content or ""
        events = sdk.chat.completions.create(model="gpt-4o", messages=ASK, stream=True)
        return "".join(e.choices[0].delta.content or "" for e in events if e.choices)


async def ask_async(proxy: CuttingProxy, gateway: Gateway, stream: bool) -> str:
    """The same of the other SDK."""
    async with openai.AsyncOpenAI(base_url=url_of(proxy), api_key=gateway.key) as sdk:
        if not stream:
            answer = await sdk.chat.completions.create(model="gpt-4o", messages=ASK)
            return answer.choices[0].message.content or ""
        events = await sdk.chat.completions.create(model="gpt-4o", messages=ASK, stream=True)
        return "".join([e.choices[0].delta.content or "" async for e in events if e.choices])


def paid(gateway: Gateway) -> list[Settlement]:
    found = records(gateway.folder / ".headrace")
    return [r for r in found if isinstance(r, Settlement) and r.cost_microusd]


@pytest.mark.parametrize("sdk", ["sync", "async"])
@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_answer_lost_on_its_way_is_given_again(
    gateway: Gateway, upstream: ScriptedThread, sdk: str, cuts: int, stream: bool
) -> None:
    upstream.script({"text": "Forty-two."})
    upstream.always(text="Something else.")
    with cutting_proxy(gateway.port, cuts) as proxy:
        if sdk == "sync":
            text = await asyncio.to_thread(ask, proxy, gateway, stream)
        else:
            text = await ask_async(proxy, gateway, stream)
    assert text == "Forty-two."
    assert proxy.requests == cuts + 1
    assert len(upstream.seen) == 1
    assert len(paid(gateway)) == 1


@pytest.mark.parametrize("sdk", ["sync", "async"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_cannot_be_had_is_asked_for_once(
    gateway: Gateway, upstream: ScriptedThread, sdk: str, stream: bool
) -> None:
    upstream.always(status=503)
    with cutting_proxy(gateway.port) as proxy:
        with pytest.raises(openai.InternalServerError) as caught:
            if sdk == "sync":
                await asyncio.to_thread(ask, proxy, gateway, stream)
            else:
                await ask_async(proxy, gateway, stream)
        assert proxy.requests == 1
    assert caught.value.status_code == 503
    assert 2 <= len(upstream.seen) <= 4
    assert paid(gateway) == []
