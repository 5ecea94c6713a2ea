"""What a client sees of a gateway that takes itself for overloaded, in every way to ask. By the
memory in use it does so all the time, and only critical calls are let in."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator

import anthropic
import httpx
import openai
import pytest

from headrace.edge.client_reply import AnthropicReply, ClientReply, PassedReply, ResponsesReply
from headrace.edge.refusal import Prepared, refusal
from headrace.gateway.shedding import overloaded
from headrace.nouns import Dialect
from headrace.platform.http.exchange import Answer
from operate.test_admin_api import Api
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

APP, VITAL = "app-key-0123456789abcdef0123", "vital-key-0123456789abcdef01"
CONFIG = """
keys:
  app: {{secret: env:APP}}
  vital: {{secret: env:VITAL, priority: critical}}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]]}}
resilience:
  shedding:
    batch_memory_share: 0.0001
    all_memory_share: 0.0001
    retry_after_least_s: 7
    retry_after_most_s: 8.5
admin: {{port: 0}}
"""
MESSAGES = [{"role": "user", "content": "Hello"}]
BODY = json.dumps({"model": "one", "messages": MESSAGES}).encode()
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(
    upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("overload")
    env = {"APP": APP, "VITAL": VITAL}
    with running_gateway(CONFIG.format(url=upstream.url), folder, env=env) as running:
        end = time.monotonic() + PATIENCE_S
        while b" 503 " not in raw(running, request(connection="close")):
            assert time.monotonic() < end, "it never took itself for overloaded"
        yield running


def request(
    path: str = "/v1/chat/completions",
    *,
    key: str = APP,
    connection: str = "keep-alive",
    **more: str,
) -> bytes:
    lines = {
        "host": "gateway",
        "authorization": f"Bearer {key}",
        "connection": connection,
        "content-length": str(len(BODY)),
        **{name.replace("_", "-"): value for name, value in more.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + BODY


def raw(gateway: Gateway, *requests: bytes) -> bytes:
    """All that comes back, the requests one after another; the last must ask for the end."""
    got = b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=PATIENCE_S) as connection:
        for number, one in enumerate(requests, 1):
            connection.sendall(one)
            while got.count(b"HTTP/1.1 ") < number or number == len(requests):
                more = connection.recv(65_536)
                if not more:
                    break
                got += more
    return got


def refusals(got: bytes) -> list[tuple[str, dict[str, str], str]]:
    """Status line, headers and body of each answer."""
    found = []
    for part in got.decode().split("HTTP/1.1 ")[1:]:
        head, _, body = part.partition("\r\n\r\n")
        status, *lines = head.split("\r\n")
        found.append((status, dict(line.split(": ", 1) for line in lines), body))
    return found


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_the_answer_is_the_same_however_the_call_came(gateway: Gateway, path: str) -> None:
    """With its first head on a connection, with one that came before, on a connection of its own,
    behind another call: only the id, the wait and the connection's end differ."""
    named = request(path, x_request_id="kept-by-the-client")
    kept = raw(gateway, named, named, named, request(path, connection="close"))
    both = raw(gateway, request(path) + request(path, connection="close"))
    single = raw(gateway, request(path, connection="close", x_request_id="a-call-of-its-own"))
    answers = [*refusals(kept), *refusals(both), *refusals(single)]
    assert len(answers) == 7
    told, ids = set(), []
    for status, headers, body in answers:
        call_id = headers.pop("x-request-id")
        ids.append(call_id)
        assert headers.pop("retry-after") in ("7", "8", "9")
        assert headers.pop("content-length") == str(len(body))
        assert headers.pop("date")
        assert headers.pop("request-id", call_id) == call_id
        headers.pop("connection", None)
        told.add((status, tuple(sorted(headers.items())), body.replace(call_id, "ID")))
    assert ids[:3] == ["kept-by-the-client"] * 3
    assert ids[6] == "a-call-of-its-own"
    assert len(set(ids[3:])) == 4
    assert all(re.fullmatch("[0-9a-f]{24}", one) for one in ids[3:6])
    [(status, _, body)] = told
    sentence = "This gateway has more to do than it can just now. Please try again shortly."
    assert sentence in body
    assert status.startswith("529" if path == "/v1/messages" else "503")


def test_by_the_sdks(gateway: Gateway) -> None:
    with openai.OpenAI(base_url=gateway.url, api_key=APP, max_retries=0) as client:
        for _ in range(3):
            with pytest.raises(openai.InternalServerError) as caught:
                client.chat.completions.create(model="one", messages=MESSAGES)  # type: ignore[arg-type]
            assert caught.value.status_code == 503
            assert caught.value.code == "overloaded"
            assert caught.value.request_id
            assert caught.value.response.headers["retry-after"] in ("7", "8", "9")
            assert "x-should-retry" not in caught.value.response.headers
    with anthropic.Anthropic(base_url=gateway.root, api_key=APP, max_retries=0) as claude:
        with pytest.raises(anthropic.APIStatusError) as refused:
            claude.messages.create(model="one", max_tokens=9, messages=MESSAGES)  # type: ignore[arg-type]
        assert refused.value.status_code == 529
        assert refused.value.type == "overloaded_error"


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_what_is_not_to_be_refused_is_not(gateway: Gateway, connection: str) -> None:
    critical, last = request(key=VITAL), request(key=VITAL, connection="close")
    asked = [last] if connection == "close" else [critical, critical, last]
    answers = refusals(raw(gateway, *asked))
    assert [status[:3] for status, _, _ in answers] == ["200"] * len(asked)
    headers = {"connection": connection}
    with httpx.Client(base_url=gateway.root, headers=headers, timeout=PATIENCE_S) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        listed = client.get("/v1/models", headers={"authorization": f"Bearer {APP}"})
        assert [model["id"] for model in listed.json()["data"]] == ["one"]
        wrong = client.post(
            "/v1/chat/completions", content=BODY, headers={"authorization": "Bearer wrong"}
        )
        assert wrong.json()["error"]["code"] == "invalid_api_key"
        assert client.post("/v1/nothing", content=BODY).status_code == 404


def test_a_lower_class_by_header_is_heeded(gateway: Gateway) -> None:
    low = request(key=VITAL, connection="close", x_headrace_priority="batch")
    assert b" 503 " in raw(gateway, low)
    high = request(connection="close", x_headrace_priority="critical")
    assert b" 503 " in raw(gateway, high)


def test_it_is_counted_and_told(gateway: Gateway) -> None:
    def counted() -> float:
        page = Api(gateway.serving)("GET", "/metrics").text
        found = re.search(r'headrace_refused_total\{reason="overloaded"\} (\d+)', page)
        return float(found[1]) if found else 0.0

    before = counted()
    raw(gateway, request(), request(connection="close"))
    raw(gateway, request(connection="close"))
    end = time.monotonic() + PATIENCE_S
    while counted() < before + 3:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert counted() == before + 3
    while '"overloaded"' not in (gateway.folder / "log.jsonl").read_text():
        assert time.monotonic() < end
        time.sleep(0.1)


class Recorded:
    """An exchange that keeps the answer."""

    def __init__(self) -> None:
        self.answer: Answer | None = None

    send = end = respond = None

    def take(self, status: int, headers: bytes, body: bytes) -> None:
        self.answer = (status, headers, body)


@pytest.mark.parametrize("reply", [ClientReply, ResponsesReply, PassedReply, AnthropicReply])
@pytest.mark.parametrize("call_id", ["12345678", "a" * 64])
@pytest.mark.parametrize("wait_s", [0.2, 1.0, 7.5])
def test_what_is_prepared_is_what_a_reply_writes(
    reply: type[ClientReply], call_id: str, wait_s: float
) -> None:
    dialect = Dialect.ANTHROPIC if reply is AnthropicReply else Dialect.OPENAI
    recorded = Recorded()
    recorded.respond = recorded.take  # type: ignore[assignment]
    reply(recorded, call_id).refuse(overloaded(wait_s), b"")  # type: ignore[arg-type]
    assert recorded.answer == refusal(overloaded(wait_s), call_id, dialect)
    assert recorded.answer == Prepared(overloaded(), dialect).answer(call_id, wait_s)
