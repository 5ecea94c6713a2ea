"""Nothing a provider does reaches a user: scripted regions behind one model, real faults."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from support.accounts import settled
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

ASK: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
CONFIG = """
resilience:
  breaker: {{open_s: 2}}
  shedding: {{batch_lag_ms: 60000, all_lag_ms: 60000}}
backends:
  east: {{provider: openai, url: "{east}/v1", context_tokens: 8000}}
  west: {{provider: openai, url: "{west}/v1", context_tokens: 8000}}
  mini: {{provider: openai, url: "{mini}/v1", context_tokens: 8000}}
  wide: {{provider: openai, url: "{wide}/v1", context_tokens: 100000}}
  alone: {{provider: openai, url: "{east}/v1"}}
models:
  pool:
    pools: [[east, west], [mini]]
    context_fallback: [wide]
    timeouts: {{first_token_s: 1, whole_s: 4, idle_s: 1}}
  kept: {{pools: [[east, west]], fallback: {{cache: true}}}}
  polite:
    pools: [[east, west]]
    fallback: {{message: "We are busy. Please come back.", as_answer: true}}
  session: {{pools: [[east, west]], balance: {{affinity: user}}}}
  turn: {{pools: [[east, west]], balance: {{method: round_robin}}}}
  alone: {{pools: [[alone]]}}
"""
REGIONS = ("east", "west", "mini", "wide")


class House:
    """A gateway of its own for each test, since breakers remember."""

    def __init__(self, gateway: Gateway, regions: dict[str, ScriptedThread]) -> None:
        self.gateway = gateway
        self.regions = regions
        self.client = openai.OpenAI(
            base_url=gateway.url, api_key=gateway.key, max_retries=0, timeout=30
        )

    def seen(self) -> dict[str, int]:
        return {name: len(region.seen) for name, region in self.regions.items()}

    def fail(self, *names: str, **script: Any) -> None:
        for name in names:
            self.regions[name].always(**script)

    def ask(self, model: str = "pool", **more: Any) -> Any:
        return self.client.chat.completions.with_raw_response.create(
            model=model, messages=ASK, **more
        )

    def stream(self, model: str = "pool", **more: Any) -> str:
        events = self.client.chat.completions.create(model=model, messages=ASK, stream=True, **more)
        return "".join(e.choices[0].delta.content or "" for e in events if e.choices)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with (
        scripted_thread() as east,
        scripted_thread() as west,
        scripted_thread() as mini,
        scripted_thread() as wide,
    ):
        regions = dict(zip(REGIONS, (east, west, mini, wide), strict=True))
        config = CONFIG.format(**{name: region.url for name, region in regions.items()})
        with running_gateway(config, tmp_path) as gateway:
            yield House(gateway, regions)


FAULTS: dict[str, dict[str, Any]] = {
    "500": {"status": 500},
    "503": {"status": 503},
    "529": {"status": 529},
    "429": {"fault": {"kind": "rate_limited", "retry_after": 30}},
    "money": {"fault": "money"},
    "401": {"status": 401},
    "404": {"status": 404},
    "silent": {"fault": "silent"},
    "html as 200": {"fault": {"kind": "hostile", "form": "html", "status": 200}},
    "empty body": {"fault": {"kind": "wrong_body", "form": "empty"}},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
def test_one_region_fails_and_nobody_notices(house: House, fault: str, stream: bool) -> None:
    house.fail("east", **FAULTS[fault])
    for _ in range(12):
        if stream:
            assert house.stream()
        else:
            answer = house.ask()
            assert answer.parse().choices[0].message.content
            assert answer.headers["x-headrace-backend"] == "west"
    assert house.seen()["mini"] == 0
    # Found out, then left alone; but a missing model says nothing of the backend's others.
    assert 1 <= house.seen()["east"] <= (12 if fault == "404" else 8)


@pytest.mark.parametrize("after", [-1, 0])
def test_a_cut_before_the_first_content_is_invisible(house: House, after: int) -> None:
    house.fail("east", fault={"kind": "cut", "after": after, "how": "rst"})
    assert all(house.stream() for _ in range(6))


def test_a_cut_after_the_first_content_is_never_spliced(house: House) -> None:
    house.fail("east", "west", fault={"kind": "cut", "after": 3, "how": "eof"})
    with pytest.raises(openai.APIError, match="incomplete"):
        house.stream()
    assert sum(house.seen().values()) == 1


def test_the_next_tier_answers_when_the_first_cannot(house: House) -> None:
    house.fail("east", "west", status=503)
    assert house.ask().headers["x-headrace-backend"] == "mini"


def test_all_dead(house: House) -> None:
    """Everyone gets the message within the deadline, and the storm stays small (T07)."""
    house.fail(*REGIONS, status=503)
    calls = 60

    def one(_: int) -> tuple[int, str | None]:
        try:
            house.ask()
        except openai.InternalServerError as error:
            assert error.response.headers["retry-after"]
            assert error.response.headers["x-should-retry"] == "false"
            assert error.request_id is not None
            assert error.request_id in str(error)
            return error.status_code, error.code
        raise AssertionError("it was answered")

    with ThreadPoolExecutor(8) as pool:
        assert {status for status, _ in pool.map(one, range(calls))} == {503}
    seen = house.seen()
    assert all(count <= 1.2 * calls for count in seen.values()), seen


def test_retry_after_is_obeyed(house: House) -> None:
    """Short: waited for. Long: told to the client, and no call goes out before (T06)."""
    house.regions["east"].script({"fault": {"kind": "rate_limited", "retry_after_ms": 700}})
    began = time.monotonic()
    assert house.ask("alone").headers["x-headrace-attempts"] == "2"
    assert time.monotonic() - began >= 0.7
    house.regions["east"].script({"fault": {"kind": "rate_limited", "retry_after": 60}})
    for _ in range(5):
        with pytest.raises(openai.InternalServerError) as caught:
            house.ask("alone")
        assert 50 <= int(caught.value.response.headers["retry-after"]) <= 60
    assert house.seen()["east"] == 3


def test_a_bad_request_counts_against_nobody(house: House) -> None:
    for name in REGIONS:
        house.regions[name].always(status=422)
    for _ in range(15):
        with pytest.raises(openai.UnprocessableEntityError):
            house.ask()
    assert sum(house.seen().values()) == 15  # one attempt each
    for name in REGIONS:
        house.regions[name].reset()
    assert house.ask().status_code == 200


def test_too_long_goes_to_a_wider_window(house: House) -> None:
    house.fail("east", "west", "mini", fault="context_too_long")
    answer = house.ask(extra_headers={"x-headrace-explain": "1"})
    assert answer.headers["x-headrace-backend"] == "wide"
    told = json.loads(answer.headers["x-headrace-explain"])
    assert [d["did"] for d in told if d["did"] != "skipped"] == ["first", "context_fallback"]
    house.fail("wide", fault="context_too_long")
    with pytest.raises(openai.BadRequestError) as caught:
        house.ask()
    assert caught.value.code == "context_length_exceeded"


def test_kept_answers(house: House) -> None:
    first = house.ask("kept", temperature=0)
    house.fail(*REGIONS, status=500)
    again = house.ask("kept", temperature=0)
    assert again.content == first.content
    assert again.headers["x-headrace-answered-by"] == "cache"
    with pytest.raises(openai.InternalServerError):
        house.ask("kept", temperature=1)


def test_the_message_as_an_answer(house: House) -> None:
    house.fail(*REGIONS, status=500)
    answer = house.ask("polite")
    assert answer.headers["x-headrace-answered-by"] == "message"
    assert answer.parse().choices[0].message.content == "We are busy. Please come back."
    assert house.stream("polite") == "We are busy. Please come back."


def test_a_session_stays_with_its_backend(house: House) -> None:
    for user in ("ann", "bob", "cyd", "dan"):
        names = {house.ask("session", user=user).headers["x-headrace-backend"] for _ in range(8)}
        assert len(names) == 1
    assert min(house.seen()[name] for name in ("east", "west")) >= 0
    house.fail("east", status=500)
    assert all(house.ask("session", user=user).status_code == 200 for user in "abcdefgh")


def test_a_recovered_region_gets_its_share_back(house: House) -> None:
    house.fail("east", status=500)
    for _ in range(20):
        house.ask("turn")
    assert house.seen()["east"] == 5  # five in a row, then it is out
    house.regions["east"].reset()
    end = time.monotonic() + 30
    while len(house.regions["east"].seen) < 3:  # two probes, after 2 s, and a call
        assert time.monotonic() < end
        house.ask("turn")
        time.sleep(0.05)
    log = (house.gateway.folder / "log.jsonl").read_text()
    for change in ("closed -> open", "half_open -> closed"):
        assert change in log


def test_idempotency_key(house: House) -> None:
    """T18: the same answer again, 422 for another payload, one upstream call."""
    key = {"Idempotency-Key": "order-4711"}
    first = house.ask(extra_headers=key)
    again = house.ask(extra_headers=key)
    assert again.content == first.content
    assert again.headers["x-headrace-answered-by"] == "replay"
    with pytest.raises(openai.UnprocessableEntityError):
        house.ask(extra_headers=key, seed=1)
    assert sum(house.seen().values()) == 1


def test_an_sdks_own_retry_costs_nothing(house: House) -> None:
    """T18: an answer lost on its way is given again when the SDK retries."""
    lost = {"x-stainless-retry-count": "0"}
    first = house.ask(extra_headers=lost)
    again = house.ask(extra_headers={"x-stainless-retry-count": "1"})
    assert again.content == first.content
    assert sum(house.seen().values()) == 1


RESET = {"fault": "reset"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_kept_connection_that_was_reset_is_a_retry_that_counts(
    house: House, stream: bool
) -> None:
    """The provider may have got the request, so it is told to the journal before it is sent again,
    and to the client."""
    east = house.regions["east"]
    house.ask("alone")
    east.reset()
    east.script(RESET)
    named = {"x-request-id": "kept-and-reset"}
    raw = house.ask("alone", extra_headers=named, stream=stream)
    raw.http_response.read()
    assert raw.headers["x-headrace-attempts"] == "2"
    assert len(east.seen_of("kept-and-reset")) == 2
    account = settled(house.gateway.folder / ".headrace", ["kept-and-reset"])["kept-and-reset"]
    assert [intent.attempt for intent in account.intents] == [1, 2]
    assert [one.attempts for one in account.settlements] == [2]
    (line,) = house.gateway.log_lines("kept-and-reset")
    assert "east stale" in line["cause"] or "alone stale" in line["cause"]


def test_a_backend_that_resets_every_kept_connection_is_asked_twice_and_no_more(
    house: House,
) -> None:
    """Each attempt that it sees is one that was counted."""
    east = house.regions["east"]
    house.ask("alone")
    east.reset()
    east.always(**RESET)
    calls = [f"dead-{number:04}" for number in range(8)]
    for call in calls:
        with pytest.raises(openai.InternalServerError):
            house.ask("alone", extra_headers={"x-request-id": call})
    accounts = settled(house.gateway.folder / ".headrace", calls)
    intended = {call: len(accounts[call].intents) for call in calls}
    assert {call: len(east.seen_of(call)) for call in calls} == intended
    assert max(intended.values()) == 2
