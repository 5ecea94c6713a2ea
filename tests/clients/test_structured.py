"""Answers that must fit a schema: checked, asked for once more, and paid for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest
from pydantic import BaseModel

from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

KEY = "structured-key-0123456789abcdef"
CONFIG = """
keys: {{all: {{secret: env:ALL_KEY}}}}
backends:
  able: {{provider: openai, url: "{url}/v1", model: gpt-4o, priced_as: openai/gpt-4o}}
  responding: {{provider: openai, url: "{url}/v1", model: gpt-4o, responses: true}}
  plain: {{provider: openai, url: "{url}/v1", model: plain, capabilities: [tools]}}
  claude: {{provider: anthropic, url: "{url}", credential: env:ALL_KEY, model: claude,
            capabilities: []}}
models:
  able: {{pools: [[able]], structured_output: {{repair: true}}, retry: {{attempts: 1}}}}
  responding: {{pools: [[responding]], structured_output: {{repair: true}}}}
  plain: {{pools: [[plain]], structured_output: {{repair: true, if_invalid: warn}},
           retry: {{attempts: 1}}}}
  claude: {{pools: [[claude]], structured_output: {{repair: true}}}}
  unchecked: {{pools: [[able]]}}
"""
GOOD, BAD = '{"mill": "Upper", "wheels": 2}', '{"mill": "Upper", "wheels": "two"}'
SCHEMA = {
    "type": "object",
    "properties": {"mill": {"type": "string"}, "wheels": {"type": "integer"}},
    "required": ["mill", "wheels"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "mill", "schema": SCHEMA}}
MESSAGES = [{"role": "user", "content": "Which mill?"}]
TOLD = "x-headrace-structured-output"
CHAT = "/v1/chat/completions"


class Mill(BaseModel):
    mill: str
    wheels: int


@pytest.fixture(scope="module")
def gateway(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(url=scripted_session.url)
    folder = tmp_path_factory.mktemp("structured")
    with running_gateway(config, folder, env={"ALL_KEY": KEY}) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway, upstream: ScriptedThread) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=gateway.root, headers=headers, timeout=30) as made:
        yield made


def chat(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": MESSAGES, "response_format": FORM} | more


def test_openais_parse_gets_the_second_answer(gateway: Gateway, upstream: ScriptedThread) -> None:
    upstream.script({"text": BAD})
    upstream.script({"text": GOOD})
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.parse(
            model="able", messages=[{"role": "user", "content": "Which?"}], response_format=Mill
        )
    assert raw.parse().choices[0].message.parsed == Mill(mill="Upper", wheels=2)
    assert raw.headers[TOLD] == "repaired"
    first, second = upstream.seen
    assert first.json()["response_format"] == second.json()["response_format"]
    *before, answer, complaint = second.json()["messages"]
    assert before == first.json()["messages"]
    assert answer == {"role": "assistant", "content": BAD}
    assert "'wheels'" in complaint["content"]
    assert "integer" in complaint["content"]
    call = raw.headers["x-request-id"]
    account = settled(gateway.folder / ".headrace", [call])[call]
    [settlement] = account.settlements
    assert len(account.intents) == settlement.attempts == 2
    assert settlement.input_tokens == first.tokens_in + second.tokens_in
    assert settlement.cost_microusd
    assert round(float(raw.headers["x-headrace-cost-usd"]) * 1e6) == settlement.cost_microusd


@pytest.mark.parametrize("stream", [False, True])
def test_what_fits_is_given_as_it_came(
    client: httpx.Client, upstream: ScriptedThread, stream: bool
) -> None:
    upstream.script({"text": GOOD})
    upstream.script({"text": GOOD})
    answer = client.post(CHAT, json=chat("able", stream=stream))
    plain = client.post(CHAT, json=chat("unchecked", stream=stream))
    assert TOLD not in answer.headers
    assert without_ids(answer.text) == without_ids(plain.text)
    assert len(upstream.seen) == 2


def without_ids(text: str) -> list[str]:
    skipped = ("id", "created", "system_fingerprint")
    found = []
    for line in text.splitlines():
        data = line.removeprefix("data: ")
        if data.startswith("{"):
            value = json.loads(data)
            data = json.dumps({k: v for k, v in value.items() if k not in skipped})
        found.append(data)
    return found


def test_a_stream_is_held_back_until_it_fits(
    client: httpx.Client, upstream: ScriptedThread
) -> None:
    upstream.script({"text": BAD})
    upstream.script({"text": GOOD})
    answer = client.post(CHAT, json=chat("able", stream=True))
    assert answer.headers[TOLD] == "repaired"
    events = [json.loads(d) for d in answer.text.split("data: ")[1:] if d.startswith("{")]
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
    assert text == GOOD
    assert answer.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("stream", [False, True])
def test_two_that_do_not_fit_are_an_error(
    client: httpx.Client, upstream: ScriptedThread, stream: bool
) -> None:
    upstream.always(text=BAD)
    answer = client.post(CHAT, json=chat("able", stream=stream))
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "schema_unmet"
    assert answer.headers["x-should-retry"] == "false"
    assert BAD not in answer.text
    assert len(upstream.seen) == 2


def test_or_the_second_with_a_warning(client: httpx.Client, upstream: ScriptedThread) -> None:
    upstream.script({"text": BAD})
    upstream.script({"text": "no JSON at all"})
    answer = client.post(CHAT, json=chat("plain"))
    assert (answer.status_code, answer.headers[TOLD]) == (200, "invalid")
    assert answer.json()["choices"][0]["message"]["content"] == "no JSON at all"


def test_the_first_with_a_warning_where_nobody_gives_a_second(
    client: httpx.Client, upstream: ScriptedThread
) -> None:
    upstream.script({"text": BAD})
    upstream.script({"status": 400}, times=None)
    answer = client.post(CHAT, json=chat("plain"))
    assert (answer.status_code, answer.headers[TOLD]) == (200, "invalid")
    assert answer.json()["choices"][0]["message"]["content"] == BAD


def test_who_knows_no_schemas_is_asked_in_words(
    client: httpx.Client, upstream: ScriptedThread
) -> None:
    upstream.script({"text": GOOD})
    answer = client.post(CHAT, json=chat("plain"))
    assert answer.json()["choices"][0]["message"]["content"] == GOOD
    sent = upstream.only_seen().json()
    assert "response_format" not in sent
    assert sent["messages"][0]["role"] == "system"
    assert json.dumps(SCHEMA).replace(" ", "") in sent["messages"][0]["content"].replace(" ", "")
    assert sent["messages"][1:] == MESSAGES


@pytest.mark.parametrize("stream", [False, True])
def test_in_anthropics_words(gateway: Gateway, upstream: ScriptedThread, stream: bool) -> None:
    upstream.script({"text": BAD})
    upstream.script({"text": GOOD})
    asked: dict[str, Any] = {
        "model": "claude",
        "max_tokens": 99,
        "system": "Be brief.",
        "messages": MESSAGES,
        "extra_body": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    }
    with anthropic.Anthropic(base_url=gateway.root, api_key=KEY, max_retries=0) as client:
        if stream:
            with client.messages.stream(**asked) as events:
                message = events.get_final_message()
        else:
            message = client.messages.create(**asked)
    assert message.content[0].type == "text"
    assert message.content[0].text == GOOD
    first, second = (call.json() for call in upstream.seen)
    assert "output_config" not in first
    assert first["system"].startswith("Be brief.\n\n")
    assert "JSON Schema" in first["system"]
    assert [m["role"] for m in second["messages"]] == ["user", "assistant", "user"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["able", "responding", "plain", "claude"])
def test_in_the_responses_apis_words(
    gateway: Gateway, upstream: ScriptedThread, model: str, stream: bool
) -> None:
    """Passed through and translated."""
    upstream.script({"text": BAD})
    upstream.script({"text": GOOD})
    with openai.OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        if stream:
            with client.responses.stream(model=model, input="Which?", text_format=Mill) as events:
                parsed = events.get_final_response().output_parsed
        else:
            parsed = client.responses.parse(
                model=model, input="Which?", text_format=Mill
            ).output_parsed
    assert parsed == Mill(mill="Upper", wheels=2)
    assert len(upstream.seen) == 2


def test_calls_of_tools_need_not_fit(client: httpx.Client, upstream: ScriptedThread) -> None:
    upstream.script({"tool_calls": [{"name": "f", "arguments": {}}]})
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    answer = client.post(CHAT, json=chat("able", tools=[tool]))
    assert answer.json()["choices"][0]["message"]["tool_calls"]
    assert len(upstream.seen) == 1


@pytest.mark.parametrize(
    "schema", [{"type": "objekt"}, {"$ref": "http://127.0.0.1:9/x"}, {"pattern": "(?=a)"}]
)
def test_what_is_no_schema_is_refused(
    client: httpx.Client, upstream: ScriptedThread, schema: dict[str, Any]
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    answer = client.post(CHAT, json=chat("able", response_format=form))
    assert answer.status_code == 400
    assert "no usable JSON schema" in answer.json()["error"]["message"]
    assert not upstream.seen


def test_off_by_default(client: httpx.Client, upstream: ScriptedThread) -> None:
    upstream.script({"text": BAD})
    answer = client.post(CHAT, json=chat("unchecked"))
    assert answer.json()["choices"][0]["message"]["content"] == BAD
    assert len(upstream.seen) == 1
