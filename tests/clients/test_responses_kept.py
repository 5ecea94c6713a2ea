"""Going on with an earlier response: what the gateway keeps itself, and what a provider keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from headrace_upstream.anthropic import SIGNATURE
from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread

ACME, OTHER = "acme-key-0123456789abcdef", "other-key-0123456789abcdef"
CONFIG = """
resilience: {{shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}}}
keys:
  acme: {{secret: env:ACME, tenant: acme}}
  other: {{secret: env:OTHER, tenant: other}}
backends:
  chats: {{provider: openai, url: "{url}/v1"}}
  claude: {{provider: anthropic, url: "{url}", credential: env:ACME}}
  first: {{provider: openai, url: "{url}/v1", responses: true}}
  second: {{provider: openai, url: "{url}/v1", responses: true, project: second}}
models:
  chats: {{pools: [[chats]]}}
  claude: {{pools: [[claude]]}}
  pair: {{pools: [[first, second]]}}
  alone: {{pools: [[second]]}}
store: {{responses_keep_hours: {hours}}}
"""


@pytest.fixture(scope="module")
def kept(
    scripted_session: ScriptedThread, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    config = CONFIG.format(url=scripted_session.url, hours=1)
    env = {"ACME": ACME, "OTHER": OTHER}
    with running_gateway(config, tmp_path_factory.mktemp("kept"), env=env) as running:
        yield running


def _client(gateway: Gateway, key: str = ACME) -> openai.OpenAI:
    return openai.OpenAI(base_url=gateway.url, api_key=key, max_retries=0)


@pytest.fixture
def acme(kept: Gateway, upstream: ScriptedThread) -> Iterator[openai.OpenAI]:
    with _client(kept) as made:
        yield made


def _ask(client: openai.OpenAI, stream: bool, **asked: Any) -> Any:
    if not stream:
        return client.responses.create(**asked)
    with client.responses.stream(**asked) as events:
        return events.get_final_response()


class TestKeptHere:
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_items_go_up_again(
        self, acme: openai.OpenAI, upstream: ScriptedThread, stream: bool
    ) -> None:
        upstream.script({"text": "Zürich."})
        one = _ask(acme, stream, model="chats", input="Where?", instructions="Be short.")
        two = _ask(acme, stream, model="chats", input="And then?", previous_response_id=one.id)
        assert two.previous_response_id == one.id
        three = _ask(acme, stream, model="chats", input="Why?", previous_response_id=two.id)
        messages = upstream.seen[-1].json()["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * 2 + ["user"]
        assert [m["content"] for m in messages[::2]] == ["Where?", "And then?", "Why?"]
        assert messages[1]["content"] == "Zürich."
        assert len({one.id, two.id, three.id}) == 3

    def test_tools_and_signed_thinking(self, acme: openai.OpenAI, upstream: ScriptedThread) -> None:
        call = {"name": "weather", "arguments": {"city": "Łódź"}}
        upstream.script({"tool_calls": [call], "thinking": "A city."})
        tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
        one = acme.responses.create(model="claude", input="Weather?", tools=[tool])
        asked = next(item for item in one.output if item.type == "function_call")
        acme.responses.create(
            model="claude",
            previous_response_id=one.id,
            tools=[tool],
            input=[{"type": "function_call_output", "call_id": asked.call_id, "output": "rain"}],
        )
        question, assistant, result = upstream.seen[-1].json()["messages"]
        assert question["content"] == "Weather?"
        assert [block["type"] for block in assistant["content"]] == ["thinking", "tool_use"]
        assert assistant["content"][0]["signature"] == SIGNATURE
        assert result["content"][0]["tool_use_id"] == asked.call_id

    def test_any_backend_goes_on(self, acme: openai.OpenAI, upstream: ScriptedThread) -> None:
        one = acme.responses.create(model="chats", input="Where?")
        acme.responses.create(model="claude", input="Why?", previous_response_id=one.id)
        assert len(upstream.seen[-1].json()["messages"]) == 3

    def test_read_and_deleted(self, acme: openai.OpenAI, upstream: ScriptedThread) -> None:
        one = acme.responses.create(model="chats", input="Where?")
        assert acme.responses.retrieve(one.id) == one
        acme.responses.delete(one.id)
        for again in (acme.responses.retrieve, acme.responses.delete):
            with pytest.raises(openai.NotFoundError):
                again(one.id)
        with pytest.raises(openai.NotFoundError) as caught:
            acme.responses.create(model="chats", input="x", previous_response_id=one.id)
        assert caught.value.code == "previous_response_not_found"
        assert caught.value.param == "previous_response_id"

    def test_not_kept_if_the_client_says_so(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        one = acme.responses.create(model="chats", input="Where?", store=False)
        with pytest.raises(openai.NotFoundError):
            acme.responses.retrieve(one.id)

    def test_no_other_tenant_finds_it(self, acme: openai.OpenAI, kept: Gateway) -> None:
        ids = [acme.responses.create(model=m, input="Hi").id for m in ("chats", "pair")]
        with _client(kept, OTHER) as other:
            for id in ids:
                for asking in (other.responses.retrieve, other.responses.delete):
                    with pytest.raises(openai.NotFoundError):
                        asking(id)
                for model in ("chats", "pair"):
                    with pytest.raises(openai.NotFoundError) as caught:
                        other.responses.create(model=model, input="x", previous_response_id=id)
                    assert caught.value.code == "previous_response_not_found"
        assert acme.responses.retrieve(ids[0]).id == ids[0]

    def test_what_is_not_found_is_a_row_of_the_ledger(
        self, acme: openai.OpenAI, kept: Gateway
    ) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            acme.responses.create(model="chats", input="x", previous_response_id="resp_hr0")
        assert isinstance(caught.value.body, dict)
        call = caught.value.body["request_id"]
        (settlement,) = settled(kept.folder / ".headrace", [call])[call].settlements
        assert (settlement.status, settlement.finish) == (404, "refused")
        assert settlement.reason == "previous_response_not_found"

    def test_no_key_no_response(self, kept: Gateway, upstream: ScriptedThread) -> None:
        with _client(kept, "x" * 20) as stranger, pytest.raises(openai.AuthenticationError):
            stranger.responses.retrieve("resp_hr00")


class TestKeptByTheProvider:
    @pytest.mark.parametrize("stream", [False, True])
    def test_the_backend_that_made_it_goes_on(
        self, acme: openai.OpenAI, upstream: ScriptedThread, stream: bool
    ) -> None:
        """Whichever of the two it was, ten times over."""
        one = _ask(acme, stream, model="pair", input="Where?")
        project = upstream.seen[-1].header("openai-project")
        for _ in range(10):
            one = _ask(acme, stream, model="pair", input="Why?", previous_response_id=one.id)
            seen = upstream.seen[-1]
            assert seen.header("openai-project") == project
            assert seen.json()["previous_response_id"].startswith("resp_0")
            assert seen.json()["input"] in ("Why?", [{"role": "user", "content": "Why?"}])

    def test_by_another_model_it_is_not_found(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        one = acme.responses.create(model="alone", input="Where?")
        with pytest.raises(openai.NotFoundError, match="a backend that does not answer"):
            acme.responses.create(model="chats", input="x", previous_response_id=one.id)

    def test_if_it_is_away_nobody_stands_in(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        one = acme.responses.create(model="pair", input="Where?")
        project = upstream.seen[-1].header("openai-project")
        upstream.reset()
        upstream.always(status=500)
        with pytest.raises(openai.InternalServerError):
            acme.responses.create(model="pair", input="Why?", previous_response_id=one.id)
        assert {seen.header("openai-project") for seen in upstream.seen} == {project}

    def test_is_read_and_deleted_there(
        self, kept: Gateway, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        one = acme.responses.create(model="pair", input="Where?")
        made_by = upstream.seen[-1].header("openai-project")
        assert acme.responses.retrieve(one.id).id == one.id
        with _client(kept, OTHER) as other, pytest.raises(openai.NotFoundError):
            other.responses.retrieve(one.id)
        acme.responses.delete(one.id)
        read, deleted = upstream.seen[-2:]
        path = f"/v1/responses/{one.id}"
        assert (read.method, read.path) == ("GET", path)
        assert (deleted.method, deleted.path) == ("DELETE", path)
        assert read.header("openai-project") == deleted.header("openai-project") == made_by
        with pytest.raises(openai.NotFoundError):
            acme.responses.retrieve(one.id)


def _named(*items: Any) -> list[Any]:
    """A conversation whose earlier answers are named by their ids, as some SDKs send it."""
    return [
        {"type": "item_reference", "id": item}
        if isinstance(item, str)
        else {"role": "user", "content": item[0]}
        for item in items
    ]


class TestItemsThatAreNamed:
    @pytest.mark.parametrize("stream", [False, True])
    def test_what_is_kept_here_is_put_in(
        self, acme: openai.OpenAI, upstream: ScriptedThread, stream: bool
    ) -> None:
        upstream.script({"text": "Zürich."})
        upstream.script({"text": "By train."})
        asked = _named(["Where?"])
        for question in ("How?", "Why?"):
            answer = _ask(acme, stream, model="chats", input=asked)
            asked += _named(answer.output[0].id, [question])
        acme.responses.create(model="claude", input=asked)
        messages = upstream.seen[-1].json()["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * 2 + ["user"]
        told = [m["content"] for m in messages]
        assert [t if isinstance(t, str) else t[0]["text"] for t in told] == [
            "Where?", "Zürich.", "How?", "By train.", "Why?",
        ]  # fmt: skip

    def test_thinking_with_its_signature(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        upstream.script({"tool_calls": [{"name": "weather"}], "thinking": "A city."})
        tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
        one = acme.responses.create(model="claude", input="Weather?", tools=[tool])
        thought, call = one.output
        assert call.type == "function_call"
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
        asked: Any = [*_named(["Weather?"]), {"id": thought.id}, call.model_dump(), result]
        acme.responses.create(model="claude", tools=[tool], input=asked)
        assistant = upstream.seen[-1].json()["messages"][1]
        assert [block["type"] for block in assistant["content"]] == ["thinking", "tool_use"]
        assert assistant["content"][0]["signature"] == SIGNATURE

    def test_what_a_provider_keeps_goes_to_the_backend_that_made_it(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        one = acme.responses.create(model="pair", input="Where?")
        project = upstream.seen[-1].header("openai-project")
        asked = _named(["Where?"], one.output[0].id, ["Why?"])
        for _ in range(10):
            acme.responses.create(model="pair", input=asked)
            assert upstream.seen[-1].header("openai-project") == project
            assert upstream.seen[-1].json()["input"] == asked

    def test_by_two_backends_is_refused(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        kept: dict[str | None, Any] = {}
        while len(kept) < 2:
            one = acme.responses.create(model="pair", input="Where?")
            kept[upstream.seen[-1].header("openai-project")] = one
        first, second = kept.values()
        before = len(upstream.seen)
        names = _named(first.output[0].id, second.output[0].id, ["Why?"])
        with pytest.raises(openai.BadRequestError, match="different backends"):
            acme.responses.create(model="pair", input=names)
        with pytest.raises(openai.BadRequestError, match="another backend"):
            acme.responses.create(model="pair", input=names[1:], previous_response_id=first.id)
        assert len(upstream.seen) == before

    def test_no_other_tenant_finds_them(
        self, acme: openai.OpenAI, kept: Gateway, upstream: ScriptedThread
    ) -> None:
        made = [acme.responses.create(model=m, input="Hi").output[0].id for m in ("chats", "pair")]
        with _client(kept, OTHER) as other:
            for id in (*made, "msg_1"):
                for model in ("chats", "pair"):
                    with pytest.raises(openai.NotFoundError, match="no item") as caught:
                        other.responses.create(model=model, input=_named(["Hi"], id))
                    assert caught.value.param == "input"
        assert len(upstream.seen) == 2

    def test_nor_by_an_item_that_says_two_things(
        self, acme: openai.OpenAI, upstream: ScriptedThread
    ) -> None:
        """Whichever of two names a provider's reader would take."""
        a, b = '"type": "item_reference"', '"type": "message", "role": "user", "content": "x"'
        for first, second in ((a, b), (b, a)):
            body = f'{{"model": "pair", "input": [{{"id": "msg_1", {first}, {second}}}]}}'
            with pytest.raises((openai.BadRequestError, openai.NotFoundError)):
                acme.post(
                    "/responses",
                    cast_to=object,
                    content=body.encode(),
                    options={"headers": {"content-type": "application/json"}},
                )
        assert upstream.seen == []

    def test_deleted_is_gone(self, acme: openai.OpenAI, upstream: ScriptedThread) -> None:
        one = acme.responses.create(model="chats", input="Where?")
        acme.responses.delete(one.id)
        with pytest.raises(openai.NotFoundError, match="store: false"):
            acme.responses.create(model="chats", input=_named(one.output[0].id, ["Why?"]))


def test_nothing_is_kept_where_the_operator_says_so(
    scripted_session: ScriptedThread, upstream: ScriptedThread, tmp_path_factory: Any
) -> None:
    config = CONFIG.format(url=scripted_session.url, hours=0)
    env = {"ACME": ACME, "OTHER": OTHER}
    folder = tmp_path_factory.mktemp("nothing")
    with running_gateway(config, folder, env=env) as running, _client(running) as client:
        for model in ("chats", "pair"):
            one = client.responses.create(model=model, input="Where?")
            with pytest.raises(openai.NotFoundError, match="keeps no responses"):
                client.responses.create(model=model, input="x", previous_response_id=one.id)
            with pytest.raises(openai.NotFoundError, match="no item"):
                client.responses.create(model=model, input=_named(one.output[0].id))
        assert not list(folder.rglob("responses.sqlite*"))


async def test_it_is_there_as_soon_as_the_answer_is(
    kept: Gateway, upstream: ScriptedThread
) -> None:
    """Many at once, each gone on with at once, whole and streamed."""
    async with openai.AsyncOpenAI(base_url=kept.url, api_key=ACME, max_retries=0) as client:

        async def talk(n: int) -> None:
            one = await client.responses.create(model="chats", input=f"{n}")
            async with client.responses.stream(
                model="chats", input="then", previous_response_id=one.id
            ) as events:
                two = await events.get_final_response()
            await client.responses.create(model="chats", input="x", previous_response_id=two.id)

        await asyncio.gather(*map(talk, range(40)))
