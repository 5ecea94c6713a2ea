"""Anthropic's SDK before a backend of Anthropic: everything passes through."""

from __future__ import annotations

import json

import anthropic
import httpx
import pytest
from anthropic.types import MessageParam

from clients.conftest import ANTHROPIC_KEY, CLIENT_KEY
from support.accounts import settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

ASK: list[MessageParam] = [{"role": "user", "content": "Hello"}]
BETA = "interleaved-thinking-2025-05-14,context-1m-2025-08-07"


def test_whole(claude: anthropic.Anthropic, upstream: ScriptedThread, gateway: Gateway) -> None:
    upstream.script({"text": "Grüße", "usage": {"cached": 5, "cache_write": 7}})
    named = {"x-request-id": "claude-whole"}
    answer = claude.messages.create(
        model="claude-sonnet", max_tokens=99, messages=ASK, extra_headers=named
    )
    (block,) = answer.content
    assert block.type == "text"
    assert block.text == "Grüße"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.cache_read_input_tokens == 5
    seen = upstream.only_seen()
    assert seen.path == "/v1/messages"
    assert seen.header("x-api-key") == ANTHROPIC_KEY
    assert seen.header("authorization") is None
    assert seen.header("anthropic-version") == claude.default_headers["anthropic-version"]
    assert CLIENT_KEY not in repr(seen.headers)
    kept = settled(gateway.folder / ".headrace", ["claude-whole"])["claude-whole"].settlement
    assert (kept.cached_tokens, kept.cache_write_tokens) == (5, 7)


def test_bytes_are_the_clients_own(raw: httpx.Client, upstream: ScriptedThread) -> None:
    messages = b'[ {"role":"user",  "content":"x"}]'
    body = b'{"model":"claude-sonnet","max_tokens":9,"messages":%b,"new":1.50}' % messages
    answer = raw.post(
        "/v1/messages",
        content=body,
        headers={"anthropic-version": "2099-01-01", "anthropic-beta": BETA},
    )
    assert answer.status_code == 200
    seen = upstream.only_seen()
    assert seen.body == body
    assert seen.header("anthropic-version") == "2099-01-01"
    assert seen.header("anthropic-beta") == BETA
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert "x-headrace-cost-usd" in answer.headers


def test_streams(claude: anthropic.Anthropic, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße aus der Mühle"})
    with claude.messages.stream(model="claude-alias", max_tokens=99, messages=ASK) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "Grüße aus der Mühle"
    assert final.stop_reason == "end_turn"
    seen = upstream.only_seen()
    assert seen.json()["model"] == "claude-haiku-4-5"
    assert final.usage.output_tokens == seen.tokens_out


async def test_asynchronous(gateway: Gateway, upstream: ScriptedThread) -> None:
    upstream.script({"text": "Grüße"})
    async with (
        anthropic.AsyncAnthropic(
            base_url=gateway.root, auth_token=CLIENT_KEY, api_key=None, max_retries=0
        ) as claude,
        claude.messages.stream(model="claude-sonnet", max_tokens=99, messages=ASK) as stream,
    ):
        assert await stream.get_final_text() == "Grüße"


def test_tokens_are_counted(claude: anthropic.Anthropic, upstream: ScriptedThread) -> None:
    count = claude.messages.count_tokens(model="claude-sonnet", messages=ASK)
    seen = upstream.only_seen()
    assert seen.path == "/v1/messages/count_tokens"
    assert count.input_tokens == 8  # docs/scripted-upstream.md: 3, 3 for a message, 2 for its text


def test_stream_bytes_are_the_upstreams_own(raw: httpx.Client, upstream: ScriptedThread) -> None:
    body = {"model": "claude-sonnet", "max_tokens": 9, "messages": ASK, "stream": True}
    through = raw.post("/v1/messages", json=body)
    direct = httpx.post(upstream.url + "/v1/messages", json=body)
    ids = [json.loads(a.content.split(b"\n")[1][6:])["message"]["id"] for a in (through, direct)]
    assert through.content.replace(ids[0].encode(), b"") == direct.content.replace(
        ids[1].encode(), b""
    )


def test_models(claude: anthropic.Anthropic) -> None:
    names = [model.id for model in claude.models.list()]
    assert "claude-sonnet" in names
    assert claude.models.retrieve("claude-alias").display_name == "claude-alias"


def test_a_message_in_place_of_an_answer_then_a_kept_one(
    claude: anthropic.Anthropic, upstream: ScriptedThread
) -> None:
    def texts() -> list[str]:
        whole = claude.messages.create(model="claude-down", max_tokens=9, messages=ASK)
        with claude.messages.stream(model="claude-down", max_tokens=9, messages=ASK) as stream:
            streamed = stream.get_final_message()
        assert (whole.stop_reason, streamed.stop_reason) == ("end_turn", "end_turn")
        return [b.text for m in (whole, streamed) for b in m.content if b.type == "text"]

    upstream.always(status=500)
    assert texts() == ["We are busy.", "We are busy."]
    upstream.reset()
    upstream.always(text="Kept.")
    assert texts() == ["Kept.", "Kept."]
    upstream.reset()
    upstream.always(status=500)
    with claude.messages.stream(model="claude-down", max_tokens=9, messages=ASK) as stream:
        assert stream.response.headers["x-headrace-answered-by"] == "cache"
        assert stream.get_final_text() == "Kept."


class TestErrors:
    def test_of_ours(self, gateway: Gateway, upstream: ScriptedThread) -> None:
        with (
            anthropic.Anthropic(
                base_url=gateway.root, api_key="not-a-key-of-this-gateway", max_retries=0
            ) as stranger,
            pytest.raises(anthropic.AuthenticationError) as caught,
        ):
            stranger.messages.create(model="claude-sonnet", max_tokens=9, messages=ASK)
        error = caught.value
        assert error.type == "authentication_error"
        assert error.error_code == "invalid_api_key"
        assert error.request_id
        assert isinstance(error.body, dict)
        assert error.body["request_id"] == error.request_id
        assert upstream.seen == []

    def test_unknown_model(self, claude: anthropic.Anthropic) -> None:
        with pytest.raises(anthropic.NotFoundError, match="Did you mean 'claude-sonnet'") as c:
            claude.messages.create(model="claude-sonnett", max_tokens=9, messages=ASK)
        assert c.value.type == "not_found_error"

    @pytest.mark.parametrize("path", ["/v1/messages/batches", "/v1/skills", "/v1/messagesx"])
    def test_unknown_routes(self, raw: httpx.Client, path: str) -> None:
        answer = raw.post(path, json={}, headers={"anthropic-version": "2023-06-01"})
        assert answer.status_code == 404
        assert answer.json()["type"] == "error"
        assert answer.json()["error"]["type"] == "not_found_error"
        assert answer.json()["request_id"] == answer.headers["request-id"]

    def test_what_the_server_itself_refuses(self, raw: httpx.Client) -> None:
        answer = raw.post("/v1/messages", content=b"x" * 2 * 1024 * 1024)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")

    @pytest.mark.parametrize(
        ("script", "error", "kind"),
        [
            ({"fault": "money"}, anthropic.OverloadedError, "overloaded_error"),
            ({"status": 529}, anthropic.ServiceUnavailableError, "api_error"),
            ({"status": 401}, anthropic.ServiceUnavailableError, "api_error"),
            ({"status": 400}, anthropic.BadRequestError, "invalid_request_error"),
            ({"fault": "context_too_long"}, anthropic.BadRequestError, "invalid_request_error"),
            ({"fault": "silent"}, anthropic.ServiceUnavailableError, "api_error"),
        ],
    )
    def test_of_the_provider(
        self,
        claude: anthropic.Anthropic,
        upstream: ScriptedThread,
        script: dict[str, object],
        error: type[anthropic.APIStatusError],
        kind: str,
    ) -> None:
        upstream.always(**script)
        model = "claude-busy" if kind == "overloaded_error" else "claude-hasty"
        with pytest.raises(error) as caught:
            claude.messages.create(model=model, max_tokens=9, messages=ASK)
        assert caught.value.type == kind
        if caught.value.status_code >= 500:
            assert caught.value.response.headers["x-should-retry"] == "false"
            assert int(caught.value.response.headers["retry-after"]) >= 1

    def test_inside_a_stream(self, claude: anthropic.Anthropic, upstream: ScriptedThread) -> None:
        upstream.script(
            {"fault": {"kind": "error_event", "after": 3}, "writes": "each", "gap_ms": 5}
        )
        with (
            pytest.raises(anthropic.APIStatusError, match="broke off") as caught,
            claude.messages.stream(model="claude-sonnet", max_tokens=99, messages=ASK) as stream,
        ):
            list(stream)
        assert caught.value.error_code == "stream_incomplete"

    def test_a_stream_without_its_end(
        self, claude: anthropic.Anthropic, upstream: ScriptedThread
    ) -> None:
        """All of it is there but the last event, and the body ends as it should: it is whole."""
        upstream.script({"fault": "missing_done"})
        with claude.messages.stream(model="claude-sonnet", max_tokens=99, messages=ASK) as stream:
            kinds = [event.type for event in stream]
            message = stream.get_final_message()
        assert kinds[-1] == "message_stop"
        assert message.stop_reason == "end_turn"
        assert message.usage.output_tokens > 0
