"""Calls that came together are each answered and accounted once, also where clients leave."""

from __future__ import annotations

import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chaos.conftest import STEADY
from chaos.pairs import OPENAI
from chaos.wire import Answer, request_bytes
from support.accounts import accounts, settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

COUNT = 40
PATIENCE_S = 30.0
CONFIG = (
    STEADY
    + """
backends:
  plain: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  plain: {{pools: [[plain]], retry: {{attempts: 1}}}}
limits:
  - {{per: key, concurrent: {count}}}
  - {{per: key, tokens: 100_000_000}}
budgets:
  - {{per: key, usd: "1000", every: day, timezone: Europe/Rome}}
"""
)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as started:
        yield started


@pytest.fixture(scope="module")
def gateway(
    upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    text = CONFIG.format(url=upstream.url, count=COUNT)
    with running_gateway(text, tmp_path_factory.mktemp("cohort")) as running:
        yield running


class Crowd:
    """So many clients, each with a connection that the gateway has accepted."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway = gateway
        self.calls = [f"{name}-{number}" for number in range(COUNT)]
        self.sockets = [self._connected() for _ in self.calls]

    def _connected(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.gateway.port), PATIENCE_S)
        client.sendall(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        return client

    def ask(self, *, stream: bool, **script: object) -> None:
        for call, client in zip(self.calls, self.sockets, strict=True):
            data = request_bytes(
                self.gateway, OPENAI, stream=stream, call=call, script={"tokens": 5, **script}
            )
            client.sendall(data)

    def leave(self, who: range) -> None:
        for number in who:
            client = self.sockets[number]
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            client.close()

    def answers(self, who: range) -> list[Answer]:
        return [Answer(b"".join(_all_of(self.sockets[number]))) for number in who]


def _all_of(client: socket.socket) -> Iterator[bytes]:
    with client:
        while piece := client.recv(65_536):
            yield piece


@contextmanager
def standing_still(gateway: Gateway) -> Iterator[None]:
    """What comes meanwhile comes to the gateway in one turn of its loop."""
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(gateway.pid, signal.SIGCONT)


def _complete(gateway: Gateway, crowd: Crowd, who: range) -> None:
    """These were answered, and accounted once."""
    for answer in crowd.answers(who):
        assert (answer.status, answer.error) == (200, None), answer.raw
    calls = [crowd.calls[number] for number in who]
    books = settled(gateway.folder / ".headrace", calls)
    for call in calls:
        settlement = books[call].settlement
        assert (settlement.finish, settlement.output_tokens) == ("complete", 5)


def _all_places_are_free(gateway: Gateway, name: str) -> None:
    """As many as may run at once, at once."""
    crowd = Crowd(gateway, name)
    with standing_still(gateway):
        crowd.ask(stream=False)
    _complete(gateway, crowd, range(COUNT))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_those_who_came_together(gateway: Gateway, stream: bool) -> None:
    crowd = Crowd(gateway, f"together-{stream}")
    with standing_still(gateway):
        crowd.ask(stream=stream)
    _complete(gateway, crowd, range(COUNT))
    _all_places_are_free(gateway, f"after-{stream}")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_those_who_left_at_once_leave_nothing_behind(gateway: Gateway, stream: bool) -> None:
    gone, here = range(0, COUNT, 2), range(1, COUNT, 2)
    crowd = Crowd(gateway, f"left-{stream}")
    with standing_still(gateway):
        crowd.ask(stream=stream)
        crowd.leave(gone)
    _complete(gateway, crowd, here)
    _all_places_are_free(gateway, f"after-left-{stream}")
    books = accounts(gateway.folder / ".headrace")
    for number in gone:
        account = books[crowd.calls[number]]
        assert len(account.intents) <= len(account.settlements) <= 1
        for settlement in account.settlements:
            assert settlement.finish == "client_gone"
            assert account.intents or settlement.cost_microusd == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_those_who_left_when_all_answers_were_there(
    gateway: Gateway, upstream: ScriptedThread, stream: bool
) -> None:
    gone, here = range(0, COUNT, 2), range(1, COUNT, 2)
    crowd = Crowd(gateway, f"late-{stream}")
    upstream.reset()
    with standing_still(gateway):
        crowd.ask(stream=stream, ttft_ms=2000)
    upstream.wait_for(lambda stats: stats.calls == COUNT)
    with standing_still(gateway):
        upstream.wait_for(lambda stats: stats.completed == COUNT)
        crowd.leave(gone)
    _complete(gateway, crowd, here)
    left = [crowd.calls[number] for number in gone]
    books = settled(gateway.folder / ".headrace", left)
    for call in left:
        settlement = books[call].settlement  # one intent, one settlement
        assert settlement.finish in ("client_gone", "complete")
        assert settlement.cost_microusd
    _all_places_are_free(gateway, f"after-late-{stream}")
