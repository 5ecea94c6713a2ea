"""A stream that breaks off goes on elsewhere where the model allows it, else ends in an error."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from chaos.conftest import AZURE_KEY, STEADY
from headrace.operate.control_client import ask_workers
from support.accounts import Account, settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Tell me something"}]
PIECES = ["Grüße", " an", " 世", "界", " 👩‍👩‍👧", '\n"quoted"', " \\back", " end"]
REST = [" and", " ü", "ber", " 🌍", "."]
ENV = {"AZURE_KEY": AZURE_KEY}
CONFIG = (
    STEADY.replace("burst: 1000", "burst: 1000, per_s: 1000")
    + """
backends:
  east: {{provider: openai, url: "{east}/v1", priced_as: openai/gpt-4o}}
  west: {{provider: openai, url: "{west}/v1", priced_as: openai/gpt-4o-mini}}
  third: {{provider: openai, url: "{third}/v1", priced_as: openai/gpt-4o}}
  dated:
    {{provider: azure_openai, url: "{third}", deployment: mine, credential: env:AZURE_KEY,
     model: gpt-4o}}
models:
  elsewhere: {{pools: [[east], [dated]], resume: true}}
  goes-on: {{pools: [[east], [west]], resume: true, timeouts: {{first_token_s: 3, idle_s: 1}}}}
  twice: {{pools: [[east], [west], [third]], resume: true}}
  plain: {{pools: [[east], [west]]}}
  once: {{pools: [[east], [west]], resume: true, retry: {{attempts: 1}}}}
  kept: {{pools: [[east], [west]], resume: true, fallback: {{cache: true}}}}
"""
)


class Got(NamedTuple):
    """A stream that came to its proper end, as the SDK read it."""

    call: str
    chunks: list[ChatCompletionChunk]

    @property
    def text(self) -> str:
        return "".join(c.choices[0].delta.content or "" for c in self.chunks if c.choices)

    def is_one_answer(self) -> bool:
        roles = [c.choices[0].delta.role for c in self.chunks if c.choices]
        ends = [c.choices[0].finish_reason for c in self.chunks if c.choices]
        return (
            len({(c.id, c.model, c.created) for c in self.chunks}) == 1
            and [role for role in roles if role] == ["assistant"]
            and [end for end in ends if end] == ["stop"]
            and bool(ends[-1])
        )


class House:
    def __init__(self, gateway: Gateway, regions: dict[str, ScriptedThread]) -> None:
        self.gateway = gateway
        self.east, self.west, self.third = regions.values()
        self.client = openai.OpenAI(
            base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=30
        )
        self._calls = 0

    def stream(self, model: str = "goes-on", **more: Any) -> Got:
        """Raises what the SDK raises."""
        self._calls += 1
        call = f"resume-{self._calls:04}"
        headers = {"x-request-id": call, **more.pop("headers", {})}
        stream = self.client.chat.completions.create(
            model=model,
            messages=more.pop("messages", ASK),
            stream=True,
            extra_headers=headers,
            **more,
        )
        return Got(call, list(stream))

    def breaks(self, model: str = "goes-on", **more: Any) -> None:
        with pytest.raises(openai.APIError, match="incomplete"):
            self.stream(model, **more)

    def account(self, call: str) -> Account:
        return settled(self.gateway.folder / ".headrace", [call])[call]

    def why(self, call: str) -> list[dict[str, Any]]:
        (answer,) = ask_workers(self.gateway.folder / ".headrace", "GET", f"/calls/{call}")
        assert answer[0] == 200, answer
        told: list[dict[str, Any]] = answer[1]
        return told

    def last_asked(self, region: ScriptedThread) -> Any:
        return region.seen[-1].json()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with scripted_thread() as east, scripted_thread() as west, scripted_thread() as third:
        regions = {"east": east, "west": west, "third": third}
        config = CONFIG.format(**{name: region.url for name, region in regions.items()})
        with running_gateway(config, tmp_path_factory.mktemp("resume"), env=ENV) as gateway:
            house = House(gateway, regions)
            with house.client:
                yield house


@pytest.fixture
def house(running: House) -> House:
    for region in (running.east, running.west, running.third):
        region.reset()
    running.east.always(pieces=PIECES)
    running.west.always(pieces=REST)
    running.third.always(pieces=REST)
    return running


def cut(region: ScriptedThread, after: int, how: str = "eof", **more: Any) -> None:
    region.reset()
    fault = {"kind": "cut", "after": after, "how": how}
    region.always(**({"pieces": PIECES, "fault": fault} | more))


@pytest.mark.parametrize("how", ["eof", "rst", "clean_end", "broken_chunk"])
@pytest.mark.parametrize("after", range(1, len(PIECES)))
def test_it_goes_on_wherever_it_breaks(house: House, how: str, after: int) -> None:
    cut(house.east, after, how, writes="each")
    got = house.stream()
    asked = house.last_asked(house.west)
    said = asked["messages"][-1]["content"]
    assert asked["messages"] == [*ASK, {"role": "assistant", "content": said}]
    assert "".join(PIECES).startswith(said)
    if how != "rst":  # which may overtake what was sent before
        assert said == "".join(PIECES[:after])
    assert got.text == said + "".join(REST)
    assert got.is_one_answer()


@pytest.mark.parametrize("split", [None, 7, "utf8"])
def test_any_byte_may_be_the_last(house: House, split: Any) -> None:
    """Before the first content another backend answers, after the finish nothing can follow, in
    between it goes on: nothing is lost, doubled or cut within a character."""
    whole = "".join(PIECES)
    seen = {"answered": 0, "went on": 0, "broke": 0}
    for at_byte in range(0, 4_000, 37):
        house.east.reset()
        fault = {"kind": "cut", "at_byte": at_byte, "how": "clean_end"}
        house.east.always(pieces=PIECES, split=split, fault=fault)
        try:
            got = house.stream()
        except openai.APIError:
            seen["broke"] += 1
            continue
        messages = house.last_asked(house.west)["messages"]
        said = messages[-1]["content"] if len(messages) == 2 else ""
        assert whole.startswith(said)
        if got.text == whole:
            break  # all of it was sent
        assert got.text == said + "".join(REST)
        assert got.is_one_answer()
        seen["went on" if said else "answered"] += 1
    else:
        raise AssertionError("the stream is longer than was thought")
    assert all(seen.values()), seen


FAULTS: list[dict[str, Any]] = [
    {"kind": "error_event", "after": 3},
    {"kind": "error_event", "after": 3, "then": "done"},
    {"kind": "bad_sse", "after": 3, "form": "bad_json"},
    {"kind": "bad_sse", "after": 3, "form": "huge_event", "bytes": 17 << 20},
    {"kind": "stall", "after": 3},
    {"kind": "stall", "after": 3, "pings_every_ms": 100},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f['kind']} {f.get('form', '')}")
def test_whatever_breaks_it(house: House, fault: dict[str, Any]) -> None:
    house.east.reset()
    house.east.always(pieces=PIECES, gap_ms=20, fault=fault)
    got = house.stream()
    said = house.last_asked(house.west)["messages"][-1]["content"]
    assert said and "".join(PIECES).startswith(said)
    assert got.text == said + "".join(REST)
    assert got.is_one_answer()


def test_after_its_finish_nothing_can_follow(house: House) -> None:
    body = {"model": "goes-on", "messages": ASK, "stream": True}
    body |= {"stream_options": {"include_usage": True}}  # as the gateway asks
    whole = httpx.post(f"{house.east.url}/v1/chat/completions", json=body).content
    finished = whole.index(b"\n\n", whole.index(b'"finish_reason":"stop"')) + 2
    house.east.reset()
    house.east.always(pieces=PIECES, fault={"kind": "cut", "how": "eof", "at_byte": finished})
    house.breaks()
    assert not house.west.seen


async def test_the_async_sdk(house: House) -> None:
    cut(house.east, 3)
    client = openai.AsyncOpenAI(
        base_url=house.gateway.url, api_key=house.gateway.key, max_retries=0
    )
    async with client:
        stream = await client.chat.completions.create(model="goes-on", messages=ASK, stream=True)
        got = Got("", [chunk async for chunk in stream])
    assert got.text == "".join(PIECES[:3] + REST)
    assert got.is_one_answer()


@pytest.mark.parametrize("shown", [True, False])
def test_usage_is_of_both_and_shown_if_asked_for(house: House, shown: bool) -> None:
    cut(house.east, 3)
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if shown else {}
    got = house.stream(**options)
    account = house.account(got.call)
    usages = [chunk.usage for chunk in got.chunks if chunk.usage]
    settlement = account.settlements[0]
    assert (settlement.status, settlement.finish) == (200, "complete")
    assert (settlement.attempts, settlement.backend) == (2, "west")
    assert settlement.usage_source == "estimated"
    assert [intent.backend for intent in account.intents] == ["east", "west"]
    second = house.west.seen[-1]
    assert settlement.output_tokens == 3 + second.tokens_out
    assert settlement.input_tokens > second.tokens_in
    # gpt-4o at 2.5 and 10 dollars for the first, gpt-4o-mini at 0.15 and 0.60 for the second.
    first_in = settlement.input_tokens - second.tokens_in
    first_cost = first_in * 2.5 + 3 * 10
    cost = first_cost + second.tokens_in * 0.15 + second.tokens_out * 0.6
    assert settlement.cost_microusd is not None
    assert cost <= settlement.cost_microusd <= cost + 2
    if shown:
        (usage,) = usages
        assert usage.completion_tokens == settlement.output_tokens
        assert usage.prompt_tokens == settlement.input_tokens
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    else:
        assert not usages


def test_both_break(house: House) -> None:
    cut(house.east, 2)
    cut(house.west, 3, pieces=REST)
    call = "both-break-1"
    house.breaks(headers={"x-request-id": call})
    account = house.account(call)
    assert len(account.intents) == 2
    settlement = account.settlements[0]
    assert (settlement.finish, settlement.reason) == ("incomplete", "stream_incomplete")
    assert settlement.output_tokens == 5
    assert [(d["did"], d.get("why")) for d in house.why(call) if d.get("took_s")] == [
        ("first", "broke"),
        ("resume", "broke"),
    ]


def test_it_is_resumed_twice(house: House) -> None:
    cut(house.east, 2)
    cut(house.west, 3, pieces=REST)
    got = house.stream("twice", stream_options={"include_usage": True})
    assert got.text == "".join(PIECES[:2] + REST[:3] + REST)
    assert got.is_one_answer()
    said = house.last_asked(house.third)["messages"]
    assert said[1:] == [{"role": "assistant", "content": "".join(PIECES[:2] + REST[:3])}]
    settlement = house.account(got.call).settlements[0]
    assert (settlement.attempts, settlement.output_tokens) == (3, 5 + len(REST))
    assert got.chunks[-1].usage
    assert got.chunks[-1].usage.completion_tokens == settlement.output_tokens


@pytest.mark.parametrize("fault", [{"status": 503}, {"fault": "reset"}, {"status": 400}])
def test_one_that_cannot_go_on_is_passed_over(house: House, fault: dict[str, Any]) -> None:
    """Some refuse a last message of the assistant."""
    cut(house.east, 2)
    house.west.reset()
    house.west.always(**fault)
    got = house.stream("twice")
    assert got.text == "".join(PIECES[:2] + REST)
    assert got.is_one_answer()
    settlement = house.account(got.call).settlements[0]
    assert (settlement.attempts, settlement.output_tokens) == (3, 2 + len(REST))


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
NOT_PLAIN: dict[str, dict[str, Any]] = {
    "off": {"model": "plain"},
    "one attempt": {"model": "once"},
    "tools": {"tools": [TOOL]},
    "json": {"response_format": {"type": "json_object"}},
    "two choices": {"n": 2},
    "logprobs": {"logprobs": True},
    "own prefix": {"messages": [*ASK, {"role": "assistant", "content": "I say:"}]},
}


@pytest.mark.parametrize("asked", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_cannot_be_resumed_breaks_as_ever(house: House, asked: dict[str, Any]) -> None:
    cut(house.east, 3)
    house.breaks(**asked)
    assert not house.west.seen


def test_it_is_told(house: House) -> None:
    """In the story, in the log, and in a comment of the stream."""
    cut(house.east, 3)
    url = f"{house.gateway.url}/chat/completions"
    headers = {
        "authorization": f"Bearer {house.gateway.key}",
        "x-request-id": "told-resumed",
        "x-headrace-explain": "1",
    }
    body = {"model": "goes-on", "messages": ASK, "stream": True}
    answer = httpx.post(url, json=body, headers=headers, timeout=30)
    assert answer.headers["x-headrace-backend"] == "east"
    assert answer.text.count("data: [DONE]") == 1
    assert answer.text.endswith("data: [DONE]\n\n")
    (mark,) = [part for part in answer.text.split("\n\n") if part.startswith(": ")]
    marks = dict(line[2:].split(": ", 1) for line in mark.split("\n"))
    assert (marks["x-headrace-resumed"], marks["x-headrace-backend"]) == ("1", "west")
    explained = json.loads(marks["x-headrace-explain"])
    assert [(d["did"], d["why"]) for d in explained] == [("first", "broke"), ("resume", "running")]
    told = [(d["did"], d["backend"], d["why"]) for d in house.why("told-resumed")]
    assert told == [("first", "east", "broke"), ("resume", "west", "ok")]
    (line,) = house.gateway.log_lines("told-resumed")
    assert "east broke off" in line["cause"]
    assert "west was asked to go on" in line["cause"]


@pytest.mark.parametrize("shown", [True, False])
def test_another_provider_goes_on(house: House, shown: bool) -> None:
    """Azure begins its streams with an event of its own."""
    cut(house.east, 3)
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if shown else {}
    got = house.stream("elsewhere", **options)
    assert got.text == "".join(PIECES[:3] + REST)
    assert got.is_one_answer()
    assert house.third.seen[-1].deployment == "mine"
    assert any(chunk.usage for chunk in got.chunks) is shown


def test_the_rest_of_its_tokens(house: House) -> None:
    cut(house.east, 3)
    house.stream(max_tokens=50)
    assert house.last_asked(house.west)["max_tokens"] == 47


def test_a_spliced_answer_is_not_kept(house: House) -> None:
    cut(house.east, 3)
    assert house.stream("kept", temperature=0).text == "".join(PIECES[:3] + REST)
    for region in (house.east, house.west):
        region.reset()
        region.always(status=503)
    with pytest.raises(openai.InternalServerError):
        house.stream("kept", temperature=0)


def test_a_client_that_leaves_takes_the_second_with_it(house: House) -> None:
    cut(house.east, 3)
    house.west.reset()
    house.west.always(pieces=REST * 100, gap_ms=50)
    calls = [f"gone-{n:05}" for n in range(6)]
    for number, call in enumerate(calls):
        body = json.dumps({"model": "goes-on", "messages": ASK, "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", house.gateway.port)) as client:
            client.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: %b\r\n"
                b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
                % (call.encode(), str(house.gateway.key).encode(), len(body), body)
            )
            got = b""
            while b"x-headrace-resumed" not in got:
                part = client.recv(65536)
                assert part, got
                got += part
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        left = time.monotonic()
        house.west.wait_for(lambda s, n=number: s.client_gone == n + 1)  # type: ignore[misc]
        assert time.monotonic() - left < 5
    for call, account in settled(house.gateway.folder / ".headrace", calls).items():
        if call in calls:
            settlement = account.settlements[0]
            assert (settlement.finish, settlement.attempts) == ("client_gone", 2)
            assert settlement.output_tokens > 3
            assert settlement.usage_source == "estimated"


def test_a_spent_budget_ends_it(tmp_path: Path) -> None:
    with scripted_thread(pieces=PIECES) as east, scripted_thread(pieces=REST) as west:
        budget = "resilience: {retry_budget: {burst: 1, per_success: 0, per_s: 0}}\n"
        models = CONFIG[CONFIG.index("backends:") :]
        config = budget + models.format(east=east.url, west=west.url, third=west.url)
        with running_gateway(config, tmp_path, env=ENV) as gateway:
            house = House(gateway, {"east": east, "west": west, "third": west})
            cut(east, 3)
            with house.client:
                assert house.stream().text == "".join(PIECES[:3] + REST)
                house.breaks(headers={"x-request-id": "spent-budget"})
            assert len(west.seen) == 1
            end, told = house.why("spent-budget")[-2:]
            assert told["did"] == "refused"
            assert (end["did"], end["why"]) == (
                "gives up",
                "the gateway's retry budget is spent",
            )
