"""The client port of a gateway process: what is refused, how it is told, and what gets through."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

APP, FREE = "app-key-0123456789abcdef0123", "free-key-0123456789abcdef012"
CONFIG = """
server: {{header_limit_bytes: 8192, body_limit_bytes: 65536}}
keys:
  app: {{secret: "env:APP", models: [one]}}
  free: {{secret: "env:FREE"}}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]], retry: {{attempts: 1}}}}
  costly: {{pools: [[up]]}}
  "*": {{pools: [[up]]}}
"""
MESSAGES = [{"role": "user", "content": "Hello"}]
CHAT = {"model": "one", "messages": MESSAGES}
PATHS = ["/v1/chat/completions", "/openai/deployments/one/chat/completions?api-version=2024-10-21"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedThread]:
    with scripted_thread() as made:
        yield made


@pytest.fixture(scope="module")
def gateway(
    upstream: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("port")
    env = {"APP": APP, "FREE": FREE}
    with running_gateway(CONFIG.format(url=upstream.url), folder, env=env) as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(upstream: ScriptedThread) -> None:
    upstream.reset()


def post(gateway: Gateway, path: str, body: Any, key: str = APP, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    known = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return httpx.post(f"{gateway.root}{path}", content=content, headers=known | headers, timeout=20)


def raw(gateway: Gateway, data: bytes) -> bytes:
    """All that comes back; the request must ask for the connection's end, or be refused."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(data)
        got = b""
        while more := connection.recv(65_536):
            got += more
        return got


def told(answer: httpx.Response) -> dict[str, Any]:
    """The error object, which has the shape of every error."""
    error: dict[str, Any] = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["message"].endswith(f"(request id: {error['request_id']})")
    assert answer.headers["content-type"] == "application/json"
    return error


REFUSED: list[tuple[str, dict[str, Any], int, str, str | None]] = [
    ("no JSON", {"body": b"{"}, 400, "invalid_json", None),
    ("empty", {"body": b""}, 400, "invalid_json", None),
    ("surrogate", {"body": b'{"model":"\\ud800","messages":[]}'}, 400, "invalid_json", None),
    ("messages", {"body": {"model": "one"}}, 400, "bad_request", "messages"),
    ("type", {"body": CHAT | {"stream": "yes"}}, 400, "bad_request", "stream"),
    ("long name", {"body": CHAT | {"model": "m" * 400}}, 400, "bad_request", "model"),
    ("too large", {"body": b"x" * 70_000}, 413, "request_too_large", None),
    ("headers", {"x-long": "y" * 9000}, 431, "headers_too_large", None),
    ("gzip", {"content-encoding": "gzip"}, 415, "unsupported_content_encoding", None),
    ("no such key", {"key": "nobody"}, 401, "invalid_api_key", None),
    ("tea", {"expect": "tea"}, 417, "bad_request", None),
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=["openai", "azure"])
@pytest.mark.parametrize(
    ("asked", "status", "code", "param"),
    [case[1:] for case in REFUSED],
    ids=[c[0] for c in REFUSED],
)
def test_refusals(
    gateway: Gateway,
    upstream: ScriptedThread,
    path: str,
    asked: dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    answer = post(
        gateway, path, asked.get("body", CHAT), **{k: v for k, v in asked.items() if k != "body"}
    )
    error = told(answer)
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert upstream.seen == []


def test_a_server_s_own_refusal_is_told_in_the_same_words(gateway: Gateway) -> None:
    head, _, body = raw(gateway, b"GET /v1/models HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "bad_request")
    assert f"\r\nx-request-id: {error['request_id']}\r\n".encode() in head


def test_pages_and_methods(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.root, headers={"api-key": APP}) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        head = client.head("/v1/models")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(client.get("/v1/models").content)
        assert client.get("/v1/models/one").json()["id"] == "one"
        assert told(client.get("/v1/models/costly"))["code"] == "model_not_found"
        wrong = client.get("/v1/chat/completions")
        assert (wrong.status_code, told(wrong)["code"]) == (405, "method_not_allowed")
        assert client.head("/v1/chat/completions").status_code == 405
        lost = client.post("/chat/completions", json=CHAT)
        assert (lost.status_code, told(lost)["code"]) == (404, "unknown_url")
        assert "`/v1`" in told(lost)["message"]


def test_the_path_decides_the_model(gateway: Gateway, upstream: ScriptedThread) -> None:
    """A key for one model must not get another by naming it in the body alone."""
    for key in (APP, FREE):
        upstream.reset()
        answer = post(gateway, PATHS[1], CHAT | {"model": "costly"}, key=key)
        assert answer.status_code == 200
        assert upstream.only_seen().model == "one"
    upstream.reset()
    assert post(gateway, PATHS[0], CHAT | {"model": "costly"}).status_code == 403
    assert post(gateway, PATHS[1].replace("one", "costly"), CHAT).status_code == 403
    twice = b'{"model":"one","model":"costly","messages":[]}'
    assert post(gateway, PATHS[0], twice).status_code == 403
    escaped = b'{"mod\\u0065l":"one","model":"costly","messages":[]}'
    assert post(gateway, PATHS[0], escaped).status_code == 403
    assert upstream.seen == []


def test_percent_encoded_names(gateway: Gateway, upstream: ScriptedThread) -> None:
    path = "/openai/deployments/org%2Fmodel%20x/chat/completions"
    assert post(gateway, path, {"messages": MESSAGES}, key=FREE).status_code == 200
    assert upstream.only_seen().model == "org/model x"


def test_a_credential_in_a_trailer_is_none(gateway: Gateway, upstream: ScriptedThread) -> None:
    body = json.dumps(CHAT).encode()
    chunks = b"%x\r\n%b\r\n0\r\nAuthorization: Bearer %b\r\n\r\n" % (len(body), body, APP.encode())
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    got = raw(gateway, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert got.startswith(b"HTTP/1.1 401 ")
    assert upstream.seen == []


@pytest.mark.parametrize(("theirs", "ours"), [(420, 400), (440, 400), (407, 400), (422, 422)])
def test_an_upstream_s_odd_status_is_answered(
    gateway: Gateway, upstream: ScriptedThread, theirs: int, ours: int
) -> None:
    upstream.script({"status": theirs})
    answer = post(gateway, PATHS[0], CHAT)
    assert (answer.status_code, told(answer)["code"]) == (ours, "upstream_rejected")


def test_the_sdk_reads_every_error(gateway: Gateway) -> None:
    with openai.OpenAI(base_url=gateway.url, api_key=APP, max_retries=0) as client:
        with pytest.raises(openai.PermissionDeniedError) as caught:
            client.chat.completions.create(model="costly", messages=[])
        error = caught.value
        assert (error.code, error.param, error.type) == (
            "model_not_allowed",
            "model",
            "permission_error",
        )
        assert str(error.request_id) in error.message
