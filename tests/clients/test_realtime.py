"""Realtime sessions with OpenAI's SDK and with bare WebSockets."""

from __future__ import annotations

import json
import os
import signal
import socket as tcp
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import httpx
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from support.accounts import accounts, settled
from support.gateway_process import Gateway, running_gateway
from support.realtime_upstream import RealtimeUpstream, realtime_upstream

ACME, FEW, POOR, CHATTER = (
    f"{name}-key-0123456789abcdef" for name in ("acme", "few", "poor", "chatter")
)
PROVIDER = "sk-provider-0123456789abcdef"
CONFIG = """
resilience:
  breaker: {{min_calls: 100000, failures_in_a_row: 100000}}
realtime:
  {{message_limit_bytes: 200000, idle_s: {idle_s}, session_s: {session_s}, ping_s: {ping_s}}}
keys:
  acme: {{secret: env:ACME}}
  few: {{secret: env:FEW, limits: [{{per: key, concurrent: 1}}]}}
  poor: {{secret: env:POOR, budgets: [{{per: key, every: day, tokens: 37000}}]}}
  chatter: {{secret: env:CHATTER, operations: [chat]}}
backends:
  openai:
    {{provider: openai, url: "{url}/v1", credential: env:PROVIDER, model: gpt-realtime,
     priced_as: openai/gpt-realtime, operations: [realtime]}}
  azure: {{provider: azure_openai, url: "{url}", deployment: east, credential: env:PROVIDER}}
  azure-v1:
    {{provider: azure_openai, url: "{url}", deployment: west, credential: env:PROVIDER,
     api_version: v1}}
models:
  voice: {{pools: [[openai]]}}
  azure: {{pools: [[azure]]}}
  azure-v1: {{pools: [[azure-v1]]}}
"""
pytestmark = pytest.mark.filterwarnings(
    r"ignore:connect\(\) must be used as a context manager:DeprecationWarning"
)
"""OpenAI's SDK opens its sockets without one."""
ENV = {"ACME": ACME, "FEW": FEW, "POOR": POOR, "CHATTER": CHATTER, "PROVIDER": PROVIDER}


@pytest.fixture(scope="module")
def provider() -> Iterator[RealtimeUpstream]:
    with realtime_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def speaking(
    provider: RealtimeUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(url=provider.url, idle_s=300, session_s=3600, ping_s=20)
    with running_gateway(config, tmp_path_factory.mktemp("speaking"), env=ENV) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(provider: RealtimeUpstream) -> None:
    provider.handshakes.clear()
    provider.sessions.clear()
    provider.refuse.clear()


def _until(condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
    end = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
    return found


def _open(gateway: Gateway, key: str = ACME, model: str = "voice", **more: Any) -> ClientConnection:
    url = f"{gateway.url.replace('http', 'ws', 1)}/realtime?model={model}"
    headers = {"authorization": f"Bearer {key}"} if key else {}
    opened: ClientConnection = connect(url, additional_headers=headers, max_size=None, **more)
    return opened


def _ask(socket: ClientConnection, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    item = {"type": "message", "role": "user", "content": content}
    socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
    socket.send(json.dumps({"type": "response.create"}))


def _events(socket: ClientConnection, last: str = "response.done") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != last:
        found.append(json.loads(socket.recv(timeout=20)))
    return found


def _rows(gateway: Gateway, socket: ClientConnection, count: int) -> list[Any]:
    """The settlements of a session's first calls."""
    assert socket.response is not None
    call = socket.response.headers["x-request-id"]
    ids = [call, *(f"{call}.{n}" for n in range(1, count))]
    found = settled(gateway.folder / ".headrace", ids)
    return [found[id].settlement for id in ids]


def test_a_session_with_the_sdk(speaking: Gateway, provider: RealtimeUpstream) -> None:
    with (
        openai.OpenAI(base_url=speaking.url, api_key=ACME) as client,
        client.realtime.connect(model="voice") as session,
    ):
        kinds = [session.recv().type]
        session.session.update(session={"type": "realtime", "instructions": "Be short."})
        kinds.append(session.recv().type)
        session.conversation.item.create(
            item={
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Grüße"}],
            }
        )
        session.response.create()
        text = ""
        for event in session:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                text += event.delta
            if event.type == "response.done":
                assert event.response.usage is not None
                assert event.response.usage.total_tokens == 130
                break
    assert text == "Grüße"
    assert kinds[:3] == ["session.created", "session.updated", "conversation.item.added"]
    path, headers = provider.handshakes[0]
    assert path == "/v1/realtime?model=gpt-realtime"
    assert headers["authorization"] == f"Bearer {PROVIDER}"
    assert ACME not in str(headers)
    _until(lambda: provider.sessions == [1000])


def test_each_response_has_its_row(speaking: Gateway) -> None:
    with _open(speaking) as socket:
        for text in ("one", "heard it", "two"):
            _ask(socket, text)
            _events(socket)
    first, heard, second, third, rest = _rows(speaking, socket, 5)
    for row in (first, second, third):
        assert (row.operation, row.backend, row.finish) == ("realtime", "openai", "complete")
        assert (row.input_tokens, row.output_tokens, row.cached_tokens) == (100, 30, 20)
        assert (row.audio_input_tokens, row.audio_output_tokens) == (60, 25)
        assert row.usage_source == "upstream"
        sound, written, cached = 32 * 50 + 64 * 25, 4 * 30 + 16 * 5, 8
        assert row.cost_microusd == sound + written + cached
    assert (heard.usage_source, heard.cost_microusd) == ("estimated", None)
    assert (rest.usage_source, rest.cost_microusd, rest.finish) == ("none", 0, "complete")


def test_a_usage_that_no_answer_can_have(speaking: Gateway) -> None:
    absurd = (2**70, -30)
    with _open(speaking) as socket:
        for count in absurd:
            _ask(socket, f"used {count}")
            assert _events(socket)[-1]["response"]["usage"]["output_tokens"] == count
        _ask(socket, "two")
        _events(socket)
    *doubted, good, rest = _rows(speaking, socket, 4)
    for row in doubted:
        assert (row.usage_source, row.cost_microusd, row.output_tokens) == ("estimated", None, 0)
        (line,) = speaking.log_lines(row.call)
        assert "told a usage that no answer can have" in line["cause"]
    assert (good.usage_source, good.output_tokens) == ("upstream", 30)
    assert (rest.usage_source, rest.finish) == ("none", "complete")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("azure", "/openai/realtime?api-version=2024-10-21&intent=transcription&deployment=east"),
        ("azure-v1", "/openai/v1/realtime?intent=transcription&model=west"),
    ],
)
def test_azure(speaking: Gateway, provider: RealtimeUpstream, model: str, path: str) -> None:
    with _open(speaking, model=f"{model}&intent=transcription") as socket:
        assert _events(socket, "session.created")
    assert provider.handshakes[0][0] == path
    assert provider.handshakes[0][1]["api-key"] == PROVIDER


@pytest.mark.parametrize("how", ["bearer", "api-key", "subprotocol"])
def test_credentials(speaking: Gateway, provider: RealtimeUpstream, how: str) -> None:
    url = f"{speaking.root.replace('http', 'ws', 1)}/openai/realtime?deployment=voice"
    more: dict[str, Any] = {"additional_headers": {"authorization": f"Bearer {ACME}"}}
    if how == "api-key":
        more = {"additional_headers": {"api-key": ACME}}
    elif how == "subprotocol":
        named: Any = ["realtime", f"openai-insecure-api-key.{ACME}", "openai-beta.realtime-v1"]
        more = {"subprotocols": named}
    with connect(url, **more) as socket:
        _events(socket, "session.created")
        assert socket.subprotocol == ("realtime" if how == "subprotocol" else None)
    assert ACME not in str(provider.handshakes)


class TestRefused:
    @pytest.mark.parametrize(
        ("key", "model", "status", "code"),
        [
            ("", "voice", 401, "invalid_api_key"),
            ("wrong-key-0123456789", "voice", 401, "invalid_api_key"),
            (ACME, "voices", 404, "model_not_found"),
            (ACME, "", 400, "bad_request"),
            (ACME, "voice&call_id=rtc_1", 400, "bad_request"),
            (CHATTER, "voice", 403, "operation_not_allowed"),
        ],
    )
    def test_before_it_is_open(
        self,
        speaking: Gateway,
        provider: RealtimeUpstream,
        key: str,
        model: str,
        status: int,
        code: str,
    ) -> None:
        with pytest.raises(InvalidStatus) as caught:
            _open(speaking, key, model)
        response = caught.value.response
        assert (response.status_code, json.loads(response.body)["error"]["code"]) == (status, code)
        assert response.headers["x-request-id"]
        assert not provider.handshakes

    def test_by_the_provider(self, speaking: Gateway, provider: RealtimeUpstream) -> None:
        provider.refuse += [429] * 5
        with pytest.raises(InvalidStatus) as caught:
            _open(speaking)
        response = caught.value.response
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert b"CANARY" not in response.body
        provider.refuse.clear()
        time.sleep(1.1)  # as long as it asked for

    def test_tried_again(self, speaking: Gateway, provider: RealtimeUpstream) -> None:
        provider.refuse.append(503)
        with _open(speaking) as socket:
            _events(socket, "session.created")
        assert len(provider.handshakes) == 2

    def test_without_a_websocket(self, speaking: Gateway) -> None:
        headers = {"authorization": f"Bearer {ACME}"}
        answer = httpx.get(f"{speaking.url}/realtime?model=voice", headers=headers)
        assert answer.status_code == 426
        assert "client.realtime.connect" in answer.json()["error"]["message"]
        headers |= {"connection": "Upgrade", "upgrade": "websocket"}
        answer = httpx.get(f"{speaking.url}/realtime?model=voice", headers=headers)
        assert answer.status_code == 400
        assert httpx.get(f"{speaking.url}/models", headers=headers).status_code == 200

    def test_one_at_once(self, speaking: Gateway, provider: RealtimeUpstream) -> None:
        opened: list[ClientConnection] = []

        def again() -> bool:
            try:
                opened.append(_open(speaking, FEW))
            except InvalidStatus:
                return False
            return True

        _until(again)  # a test before this one may have just closed its session
        with opened.pop() as socket:
            _events(socket, "session.created")
            with pytest.raises(InvalidStatus) as caught:
                _open(speaking, FEW)
            assert caught.value.response.status_code == 429
        _until(lambda: provider.open_sessions == 0)
        _until(again)
        opened.pop().close()

    def test_a_budget_that_is_used_up_ends_the_session(self, speaking: Gateway) -> None:
        with _open(speaking, POOR) as socket:
            for _ in range(2):
                _ask(socket, "Hello")
            with pytest.raises(ConnectionClosed):
                for _ in range(20):
                    event = json.loads(socket.recv(timeout=20))
            assert (event["type"], event["error"]["code"]) == ("error", "insufficient_quota")
            assert socket.close_code == 1008


class TestEnds:
    def test_as_the_provider_closes(self, speaking: Gateway) -> None:
        with _open(speaking) as socket:
            _ask(socket, "close 4001")
            with pytest.raises(ConnectionClosed):
                _events(socket)
            assert (socket.close_code, socket.close_reason) == (4001, "")

    def test_when_the_provider_breaks_off(self, speaking: Gateway) -> None:
        with _open(speaking) as socket:
            _ask(socket, "vanish")
            events: list[dict[str, Any]] = []
            with pytest.raises(ConnectionClosed):
                while True:
                    events.append(json.loads(socket.recv(timeout=20)))
            assert socket.close_code == 1011
        assert events[-1]["error"]["code"] == "stream_incomplete"
        (row,) = _rows(speaking, socket, 1)
        found = (row.finish, row.usage_source, row.cost_microusd)
        assert found == ("incomplete", "estimated", None)
        assert row.reason == "stream_incomplete"

    def test_when_the_client_vanishes(self, speaking: Gateway, provider: RealtimeUpstream) -> None:
        socket = _open(speaking)
        _ask(socket, "hang")
        _events(socket, "response.created")
        socket.socket.shutdown(SHUT_RDWR)
        _until(lambda: provider.sessions)
        (row,) = _rows(speaking, socket, 1)
        found = (row.finish, row.usage_source, row.cost_microusd)
        assert found == ("client_gone", "estimated", None)

    def test_messages_that_are_too_large(
        self, speaking: Gateway, provider: RealtimeUpstream
    ) -> None:
        with _open(speaking) as socket:
            _ask(socket, "fragments that are put together")
            assert _events(socket)[-2]["delta"] == "fragments that are put together"
            _ask(socket, "large 100000")
            assert len(_events(socket)[-2]["delta"]) == 100_000
            with pytest.raises(ConnectionClosed):
                socket.send(["x" * 100_000] * 3)  # it may end while this goes on
                _events(socket)
            assert socket.close_code == 1009
        with _open(speaking) as socket:
            _ask(socket, "large 300000")
            with pytest.raises(ConnectionClosed):
                _events(socket)
            assert socket.close_code == 1011
        _until(lambda: provider.open_sessions == 0)


def test_limits_of_time_and_the_drain(provider: RealtimeUpstream, tmp_path: Path) -> None:
    config = CONFIG.format(url=provider.url, idle_s=1.5, session_s=3600, ping_s=20)
    config += "server: {drain_s: 1}\n"
    with running_gateway(config, tmp_path, env=ENV) as gateway:
        with _open(gateway) as socket:
            with pytest.raises(ConnectionClosed):
                _events(socket)
            assert (socket.close_code, socket.close_reason) == (
                1001,
                "nothing was said for too long",
            )
        socket = _open(gateway)
        _ask(socket, "hang")
        _events(socket, "response.created")
        os.kill(gateway.pid, signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            _events(socket)
        assert socket.close_code == 1001
        _until(lambda: provider.open_sessions == 0)
    found = accounts(tmp_path / ".headrace")
    assert all(account.settlements for account in found.values())


def _mute(gateway: Gateway) -> tuple[str, str, tcp.socket]:
    """A client that opens a session and answers nothing, not even pings: the call's id, the first
    line of its answer, and the connection."""
    made = tcp.create_connection(("127.0.0.1", gateway.port), timeout=60)
    lines = [
        "GET /v1/realtime?model=voice HTTP/1.1",
        "host: gateway",
        "connection: Upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        f"authorization: Bearer {ACME}",
    ]
    made.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += made.recv(1)
    first, *told = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in told if line)
    return headers["x-request-id"], first, made


def _frames(stream: bytes) -> list[int]:
    """Kinds of the frames that a server sent (RFC 6455, section 5.2)."""
    kinds, at = [], 0
    while at + 2 <= len(stream):
        kinds.append(stream[at] & 15)
        size = stream[at + 1]
        at += 2
        if size == 126:
            size = int.from_bytes(stream[at : at + 2], "big")
            at += 2
        at += size
    return kinds


def test_pings_and_the_longest_session(provider: RealtimeUpstream, tmp_path: Path) -> None:
    """Who answers pings stays, though nothing is said, until the session's time is over; who does
    not has gone long before."""
    config = CONFIG.format(url=provider.url, idle_s=300, session_s=10, ping_s=1.5)
    with running_gateway(config, tmp_path, env=ENV) as gateway, _open(gateway) as speaking:
        call, first, mute = _mute(gateway)
        assert first.startswith("HTTP/1.1 101")
        heard = b""
        with mute:
            while data := mute.recv(65536):
                heard += data
        kinds = _frames(heard)
        assert (kinds[0], kinds[-1]) == (1, 8)
        assert kinds.count(9) >= 2
        with pytest.raises(ConnectionClosed):
            _events(speaking)
        assert (speaking.close_code, speaking.close_reason) == (1001, "the session's time is over")
        found = settled(tmp_path / ".headrace", [call])
        assert found[call].settlement.finish == "client_gone"
        (row,) = _rows(gateway, speaking, 1)
        assert row.finish == "complete"
        _until(lambda: provider.open_sessions == 0)
