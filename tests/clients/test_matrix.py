"""docs/compatibility.md: what each client gets of each provider, by calls that were made.

`HEADRACE_DOCS=1 pytest tests/clients/test_matrix.py` writes the page.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import anthropic
import openai
import pytest

from clients.compatibility import (
    ABSENT,
    CLIENTS,
    DROPPED,
    LOST,
    NOT_OF_CLIENT,
    PAGE,
    PAIRS,
    REFUSED,
    RESPONDING,
    YES,
    page,
    parts,
)
from clients.conftest import CLIENT_KEY
from clients.weather import PDF, PNG, SCHEMA, TOOL, TWO_CALLS
from support.gateway_process import Gateway
from support.scripted import ScriptedThread


class Got(NamedTuple):
    """An answer, whichever SDK gave it."""

    outcome: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        if "output" in self.body:
            content = [c for item in self.body["output"] for c in item.get("content") or ()]
            return "".join(part["text"] for part in content)
        if "choices" in self.body:
            return self.body["choices"][0]["message"]["content"] or ""
        return "".join(b.get("text", "") for b in self.body.get("content", ()))


class Caller:
    """One SDK before one provider. `ask` makes a whole call, `stream` gives the final answer."""

    def __init__(self, sdk: Any, client: str, model: str, upstream: ScriptedThread) -> None:
        self._sdk = sdk
        self._model = model
        self.responds = client == RESPONDING
        self.upstream = upstream

    @property
    def is_anthropic(self) -> bool:
        return isinstance(self._sdk, anthropic.Anthropic)

    def _members(self, content: Any, members: dict[str, Any]) -> dict[str, Any]:
        if self.responds:
            asked = {"model": self._model, "input": [{"role": "user", "content": content}]}
            return asked | members
        asked = {"model": self._model, "messages": [{"role": "user", "content": content}]}
        return asked | ({"max_tokens": 500} if self.is_anthropic else {}) | members

    def ask(self, content: Any = "Hello", **members: Any) -> Got:
        api = self._sdk.messages if self.is_anthropic else self._sdk.chat.completions
        api = self._sdk.responses if self.responds else api
        try:
            raw = api.with_raw_response.create(**self._members(content, members))
        except (openai.BadRequestError, anthropic.BadRequestError) as error:
            if "cannot be expressed" not in str(error):
                raise
            return Got(REFUSED, {})
        answer = raw.parse().model_dump()
        return Got(DROPPED if "x-headrace-dropped" in raw.headers else YES, answer)

    def stream(self, **members: Any) -> Got:
        asked = self._members("Hello", members)
        if self.is_anthropic:
            with self._sdk.messages.stream(**asked) as events:
                return Got(YES, events.get_final_message().model_dump())
        if self.responds:
            with self._sdk.responses.stream(**asked) as events:
                return Got(YES, events.get_final_response().model_dump())
        asked["stream_options"] = {"include_usage": True}
        with self._sdk.chat.completions.stream(**asked) as events:
            return Got(YES, events.get_final_completion().model_dump())

    def sent(self) -> str:
        """What reached the provider."""
        return self.upstream.seen[-1].body.decode()


def _calls(got: Got) -> int:
    if "output" in got.body:
        return sum(item["type"] == "function_call" for item in got.body["output"])
    if "choices" in got.body:
        return len(got.body["choices"][0]["message"]["tool_calls"] or ())
    return sum(block["type"] == "tool_use" for block in got.body["content"])


def _tools(c: Caller) -> dict[str, Any]:
    if c.is_anthropic:
        return {"tools": [{"name": "weather", "input_schema": SCHEMA}]}
    if c.responds:
        return {"tools": [{"type": "function", "name": "weather", "parameters": SCHEMA}]}
    return {"tools": [TOOL]}


def whole(c: Caller) -> str:
    c.upstream.script({"text": "Grüße"})
    got = c.ask()
    assert got.text == "Grüße"
    return got.outcome


def streamed(c: Caller) -> str:
    c.upstream.script({"text": "Grüße aus der Mühle"})
    got = c.stream()
    assert got.text == "Grüße aus der Mühle"
    return got.outcome


def usage(c: Caller) -> str:
    c.upstream.script({"usage": {"input": 20, "output": 9, "cached": 5}})
    used = c.stream().body["usage"]
    details = used.get("prompt_tokens_details") or used.get("input_tokens_details") or {}
    of_cache = details.get("cached_tokens")
    cached = used.get("cache_read_input_tokens", of_cache)
    assert cached == 5
    assert used.get("completion_tokens", used.get("output_tokens")) == 9
    return YES


def system(c: Caller) -> str:
    if c.is_anthropic:
        got = c.ask(system="Be short.")
    elif c.responds:
        got = c.ask(instructions="Be short.")
    else:
        messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]
        got = c.ask(messages=messages)
    assert "Be short." in c.sent()
    return got.outcome


def tools(c: Caller) -> str:
    c.upstream.script({"tool_calls": TWO_CALLS})
    got = c.ask(**_tools(c))
    assert _calls(got) == 2
    return got.outcome


def streamed_tools(c: Caller) -> str:
    c.upstream.script({"tool_calls": TWO_CALLS})
    got = c.stream(**_tools(c))
    assert _calls(got) == 2
    assert "Łódź" in str(got.body)
    return got.outcome


def picture(c: Caller) -> str:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    part = {"type": "image", "source": source} if c.is_anthropic else url
    text = {"type": "text", "text": "What?"}
    if c.responds:
        text["type"] = "input_text"
        part = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
    got = c.ask([text, part])
    assert PNG in c.sent()
    return got.outcome


def picture_by_url(c: Caller) -> str:
    url = "https://example.com/a.png"
    image = {"type": "image", "source": {"type": "url", "url": url}}
    part = image if c.is_anthropic else {"type": "image_url", "image_url": {"url": url}}
    if c.responds:
        part = {"type": "input_image", "image_url": url}
    got = c.ask([part])
    assert got.outcome == REFUSED or url in c.sent()
    return got.outcome


def document(c: Caller) -> str:
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    part = {"type": "input_file", **file} if c.responds else {"type": "file", "file": file}
    got = c.ask([{"type": "document", "source": source} if c.is_anthropic else part])
    assert got.outcome == REFUSED or PDF in c.sent()
    return got.outcome


def schema(c: Caller) -> str:
    if c.is_anthropic:
        got = c.ask(output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    elif c.responds:
        got = c.ask(text={"format": {"type": "json_schema", "name": "place", "schema": SCHEMA}})
    else:
        named = {"name": "place", "schema": SCHEMA}
        got = c.ask(response_format={"type": "json_schema", "json_schema": named})
    assert "city" in c.sent()
    return got.outcome


def any_json(c: Caller) -> str:
    if c.responds:
        return c.ask(text={"format": {"type": "json_object"}}).outcome
    return c.ask(response_format={"type": "json_object"}).outcome


def stop(c: Caller) -> str:
    got = c.ask(**({"stop_sequences": ["END"]} if c.is_anthropic else {"stop": "END"}))
    assert "END" in c.sent()
    return got.outcome


def user(c: Caller) -> str:
    got = c.ask(**({"metadata": {"user_id": "u-1"}} if c.is_anthropic else {"user": "u-1"}))
    assert ("u-1" in c.sent()) == (got.outcome == YES)
    return got.outcome


def seed(c: Caller) -> str:
    return c.ask(seed=7).outcome


def logprobs(c: Caller) -> str:
    asked: dict[str, Any] = {"top_logprobs": 2}
    asked |= {"include": ["message.output_text.logprobs"]} if c.responds else {"logprobs": True}
    return c.ask(**asked).outcome


def effort(c: Caller) -> str:
    said = {"output_config": {"effort": "low"}} if c.is_anthropic else {"reasoning_effort": "low"}
    if c.responds:
        said = {"reasoning": {"effort": "low"}}
    got = c.ask(**said)
    low = '"low"' in c.sent().lower()
    assert low or got.outcome == DROPPED or '"thinkingBudget":1024' in c.sent()
    return got.outcome


def thinking(c: Caller) -> str:
    c.upstream.script({"text": "Yes.", "thinking": "Hm, let me see."})
    got = c.stream()
    assert "Hm, let me see." in str(got.body)
    return got.outcome


def cache_marks(c: Caller) -> str:
    part = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    return c.ask([part]).outcome


def too_long(c: Caller) -> str:
    c.upstream.script({"fault": "context_too_long"})
    with pytest.raises(
        (openai.BadRequestError, anthropic.BadRequestError), match="longer than this model"
    ):
        c.ask()
    return YES


def cut(c: Caller) -> str:
    c.upstream.script({"fault": {"kind": "cut", "after": 2}})
    with pytest.raises((openai.APIError, anthropic.APIError), match="broke off"):
        c.stream()
    return YES


Feature = Callable[[Caller], str]
FEATURES: dict[str, Feature] = {
    "whole answers": whole,
    "streams": streamed,
    "system messages": system,
    "tools, parallel calls": tools,
    "fragments of arguments": streamed_tools,
    "images, base64": picture,
    "images, URL": picture_by_url,
    "documents (PDF)": document,
    "JSON schema": schema,
    "JSON mode": any_json,
    "stop sequences": stop,
    "end user": user,
    "effort of reasoning": effort,
    "thinking": thinking,
    "cache marks": cache_marks,
    "usage, cached tokens": usage,
    "seed": seed,
    "log probabilities": logprobs,
    "conversation too long, told": too_long,
    "a cut stream is an error": cut,
}


@pytest.fixture(scope="module")
def results() -> Iterator[dict[tuple[str, str, str], str]]:
    made: dict[tuple[str, str, str], str] = {}
    yield made
    cells = len(FEATURES) * len(PAIRS)
    if os.environ.get("HEADRACE_DOCS") == "1" and len(made) == cells:
        PAGE.write_text(page(made, FEATURES) + parts()[1])


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@pytest.mark.parametrize("feature", FEATURES)
def test_cell(
    gateway: Gateway,
    upstream: ScriptedThread,
    results: dict[tuple[str, str, str], str],
    feature: str,
    client: str,
    provider: str,
) -> None:
    if feature in NOT_OF_CLIENT.get(client, ()):
        results[feature, client, provider] = ABSENT
        return
    with _sdk(client, gateway) as sdk:
        got = FEATURES[feature](Caller(sdk, client, CLIENTS[client][provider], upstream))
    expected = LOST.get((feature, provider, client)) or LOST.get((feature, provider), YES)
    assert got == expected
    results[feature, client, provider] = got


def _sdk(client: str, gateway: Gateway) -> Any:
    if client == "anthropic":
        return anthropic.Anthropic(base_url=gateway.root, api_key=CLIENT_KEY, max_retries=0)
    if client == "AzureOpenAI":
        return openai.AzureOpenAI(
            azure_endpoint=gateway.root, api_key=CLIENT_KEY, api_version="v", max_retries=0
        )
    return openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0)


def test_the_page_has_these_rows() -> None:
    """Which it got by being written; a feature more needs a run with HEADRACE_DOCS=1."""
    rows = [line.split(" | ")[0][2:] for line in parts()[0].splitlines()]
    assert [row for row in rows if row in FEATURES] == list(FEATURES) * len(CLIENTS)
