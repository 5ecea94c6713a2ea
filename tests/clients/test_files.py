"""Files with OpenAI's SDK: each goes back to the backend that took it, for its own tenant alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

ACME, OTHER, CHATTER = (f"{name}-key-0123456789abcdef" for name in ("acme", "other", "chatter"))
FIRST, SECOND = "sk-first-0123456789-1111", "sk-second-0123456789-2222"
CONFIG = """
keys:
  acme: {{secret: env:ACME, tenant: acme}}
  other: {{secret: env:OTHER, tenant: other}}
  chatter: {{secret: env:CHATTER, tenant: acme, operations: [chat]}}
backends:
  first: {{provider: openai, url: "{url}/v1", credential: env:FIRST, operations: [chat, files]}}
  second: {{provider: openai, url: "{url}/v1", credential: env:SECOND, operations: [files]}}
  azure:
    {{provider: azure_openai, url: "{url}", deployment: east, credential: env:SECOND}}
  chats: {{provider: openai, url: "{url}/v1", operations: [chat]}}
models:
  a-chat: {{pools: [[chats]]}}
  both: {{pools: [[first, second]]}}
  second: {{pools: [[second]]}}
  z-azure: {{pools: [[azure]]}}
"""
DATA = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def keeping(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    env = {"ACME": ACME, "OTHER": OTHER, "CHATTER": CHATTER, "FIRST": FIRST, "SECOND": SECOND}
    config = CONFIG.format(url=scripted_session.url)
    with running_gateway(config, tmp_path_factory.mktemp("keeping"), env=env) as running:
        yield running


def _client(gateway: Gateway, key: str = ACME) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=0)


@pytest.fixture
def acme(keeping: Gateway, upstream: ScriptedThread) -> Iterator[openai.OpenAI]:
    with _client(keeping) as made:
        for file in made.files.list():
            with httpx.Client() as http:  # of tests before, which the upstream has forgotten
                http.delete(
                    f"{keeping.url}/files/{file.id}", headers={"authorization": f"Bearer {ACME}"}
                )
        upstream.reset()
        yield made


def test_a_files_life(acme: openai.OpenAI, upstream: ScriptedThread, keeping: Gateway) -> None:
    raw = acme.files.with_raw_response.create(
        file=("turns.jsonl", DATA),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    file = raw.parse()
    backend = raw.headers["x-headrace-backend"]
    assert (file.filename, file.bytes) == ("turns.jsonl", len(DATA))
    assert acme.files.retrieve(file.id).id == file.id
    assert acme.files.content(file.id).read() == DATA
    assert [one.id for one in acme.files.list()] == [file.id]
    assert acme.files.delete(file.id).deleted
    assert list(acme.files.list()) == []
    with pytest.raises(openai.NotFoundError, match="There is no file"):
        acme.files.retrieve(file.id)
    key = FIRST if backend == "first" else SECOND
    assert {call.header("authorization") for call in upstream.seen} == {f"Bearer {key}"}
    assert [(call.method, call.path) for call in upstream.seen] == [
        ("POST", "/v1/files"),
        ("GET", f"/v1/files/{file.id}"),
        ("GET", f"/v1/files/{file.id}/content"),
        ("DELETE", f"/v1/files/{file.id}"),
    ]
    call = raw.headers["x-request-id"]
    row = settled(keeping.folder / ".headrace", [call])[call].settlement
    assert (row.operation, row.model, row.backend, row.cost_microusd) == (
        "files",
        "both",
        backend,
        0,
    )


def test_another_tenants_file_is_not_there(
    acme: openai.OpenAI, keeping: Gateway, upstream: ScriptedThread
) -> None:
    file = acme.files.create(file=DATA, purpose="user_data")
    with _client(keeping, OTHER) as other:
        for asked in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError) as caught:
                asked(file.id)
            assert caught.value.code == "file_not_found"
        assert list(other.files.list()) == []
    assert len(upstream.seen) == 1
    assert acme.files.retrieve(file.id).id == file.id


def _chat(id: str) -> dict[str, Any]:
    part = {"type": "file", "file": {"file_id": id}}
    return {"model": "a-chat", "messages": [{"role": "user", "content": [part]}]}


def _response(id: str) -> dict[str, Any]:
    part = {"type": "input_file", "file_id": id}
    return {"model": "a-chat", "input": [{"role": "user", "content": [part]}], "store": False}


def _container(id: str) -> dict[str, Any]:
    tool = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-x", id]}}
    return {"model": "a-chat", "input": "Hello", "tools": [tool]}


def _message(id: str) -> dict[str, Any]:
    part = {"type": "document", "source": {"type": "file", "file_id": id}}
    message = {"role": "user", "content": [part]}
    return {"model": "a-chat", "max_tokens": 9, "messages": [message]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", _chat),
        ("responses", _response),
        ("responses", _container),
        ("messages", _message),
    ],
    ids=["chat", "response", "container", "message"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_chat_names_its_own_tenants_files_alone(
    acme: openai.OpenAI,
    keeping: Gateway,
    upstream: ScriptedThread,
    path: str,
    body: Callable[[str], dict[str, Any]],
    stream: bool,
) -> None:
    file = acme.files.create(file=DATA, purpose="user_data")
    upstream.reset()

    def ask(key: str, text: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.post(f"{keeping.url}/{path}", content=text, headers=headers)

    text = json.dumps(body(file.id) | {"stream": stream})
    hidden = text.replace("file_id", r"\u0066ile\u005Fid").replace(file.id, rf"\u0066{file.id[1:]}")
    assert "file_id" not in hidden
    for said in (text, hidden):
        answer = ask(OTHER, said)
        assert answer.status_code == 404, answer.text
        error = answer.json()["error"]
        assert file.id in error["message"]
        assert answer.headers["x-request-id"] in error["message"]
    assert not upstream.seen
    call = answer.headers["x-request-id"]
    (row,) = settled(keeping.folder / ".headrace", [call])[call].settlements
    assert (row.finish, row.reason, row.cost_microusd) == ("refused", "file_not_found", 0)
    for key, said in ((ACME, text), (CHATTER, hidden), (OTHER, text.replace(file.id, "file-own"))):
        assert ask(key, said).status_code != 404


def test_a_key_that_may_not(keeping: Gateway, upstream: ScriptedThread) -> None:
    with _client(keeping, CHATTER) as chatter:
        with pytest.raises(openai.PermissionDeniedError):
            chatter.files.list()
        with pytest.raises(openai.PermissionDeniedError):
            chatter.files.create(file=DATA, purpose="user_data")
    assert not upstream.seen


def test_the_model_chooses_who_keeps_it(acme: openai.OpenAI, upstream: ScriptedThread) -> None:
    for model in ("second", "z-azure"):
        raw = acme.files.with_raw_response.create(
            file=DATA, purpose="batch", extra_headers={"x-headrace-model": model}
        )
        assert raw.headers["x-headrace-backend"] == model.removeprefix("z-")
        assert acme.files.content(raw.parse().id).read() == DATA
    azure = upstream.seen[-1]
    assert azure.path.startswith("/openai/files/")
    assert azure.path.endswith("/content?api-version=2024-10-21")
    with pytest.raises(openai.BadRequestError, match="'a-chat' does not do files"):
        acme.files.create(file=DATA, purpose="batch", extra_headers={"x-headrace-model": "a-chat"})


def test_lists(acme: openai.OpenAI) -> None:
    ids = [
        acme.files.create(file=DATA, purpose="batch" if n % 2 else "user_data").id for n in range(5)
    ]
    assert [file.id for file in acme.files.list()] == ids[::-1]
    assert [file.id for file in acme.files.list(order="asc", limit=2)] == ids
    page = acme.files.list(limit=2)
    assert (len(page.data), page.has_more) == (2, True)
    assert [file.id for file in acme.files.list(purpose="batch")] == [ids[3], ids[1]]
    assert list(acme.files.list(after="file-of-nobody")) == []


def test_an_upload_that_fails_is_sent_once(acme: openai.OpenAI, upstream: ScriptedThread) -> None:
    upstream.script({"fault": "reset"})
    with pytest.raises(openai.APIStatusError):
        acme.files.create(file=DATA, purpose="user_data")
    assert len(upstream.seen) == 1
    assert list(acme.files.list()) == []


def test_what_the_provider_forgot_is_forgotten(
    acme: openai.OpenAI, upstream: ScriptedThread
) -> None:
    file = acme.files.create(file=DATA, purpose="user_data")
    upstream.reset()
    with pytest.raises(openai.NotFoundError, match="no longer keeps this file"):
        acme.files.content(file.id)
    assert list(acme.files.list()) == []


def test_methods(keeping: Gateway, upstream: ScriptedThread) -> None:
    headers = {"authorization": f"Bearer {ACME}"}
    for method, path in (("PUT", "files"), ("DELETE", "files/f/content"), ("POST", "files/f")):
        answer = httpx.request(method, f"{keeping.url}/{path}", headers=headers)
        assert answer.status_code == 405
