"""F1 to F11: what each fault of an upstream becomes for a client and in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import openai
import pytest
import pytest_asyncio

from chaos.pairs import AZURE, DIALECTS, OPENAI, PAIRS, Dialect
from chaos.wire import Answer, ask
from support.accounts import settled
from support.gateway_process import Gateway
from support.scripted import ScriptedThread, own_script

BUSY, FAILED, TIMEOUT = "upstream_busy", "upstream_failed", "upstream_timeout"
CUT = "stream_incomplete"
TRIES = 5
OK = "answered"


class Case(NamedTuple):
    """A fault and the codes it leads to: of a whole answer, and of a stream. `model` is the one to
    ask in OpenAI's dialect, for Azure's the one whose name ends in `dated`."""

    name: str
    script: dict[str, Any]
    whole: str
    stream: str
    hasty: bool = False
    """Asks the backend that waits half a second only."""


def _fault(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"writes": "each", "gap_ms": 1, "fault": {"kind": kind, **parameters}}


NO_END = "F7 no [DONE]"
CASES = [
    Case("F1 429", _fault("rate_limited", retry_after=1), BUSY, BUSY),
    Case("F1 429 without a time", _fault("rate_limited"), BUSY, BUSY),
    Case("F2 quota", _fault("money", form="insufficient_quota"), BUSY, BUSY),
    Case("F2 402", _fault("money", form="payment_required"), BUSY, BUSY),
    *(Case(f"F3 {s}", {"status": s}, FAILED, FAILED) for s in (500, 502, 503, 504, 529)),
    Case("F3 html", _fault("hostile", form="html"), FAILED, FAILED),
    Case("F4 reset", _fault("reset"), FAILED, FAILED),
    Case("F4 hang-up", _fault("hangup"), FAILED, FAILED),
    Case("F5 silent", _fault("silent"), TIMEOUT, TIMEOUT, hasty=True),
    Case("F5 slow first token", _fault("slow_first_token", wait_ms=60_000), TIMEOUT, TIMEOUT, True),
    Case("F6 stall before the first token", _fault("stall", after=0), TIMEOUT, TIMEOUT, True),
    Case("F6 stall mid-stream", _fault("stall", after=3), TIMEOUT, CUT, True),
    Case("F6 pings only", _fault("stall", after=3, pings_every_ms=50), TIMEOUT, CUT, True),
    Case("F7 eof", _fault("cut", how="eof"), FAILED, CUT),
    Case("F7 reset", _fault("cut", how="rst"), FAILED, CUT),
    Case("F7 clean end", _fault("cut", how="clean_end"), FAILED, CUT),
    Case("F7 broken chunk", _fault("cut", how="broken_chunk"), FAILED, CUT),
    Case("F7 cut before the first token", _fault("cut", after=0), FAILED, FAILED),
    Case(NO_END, _fault("missing_done"), OK, OK),
    *(
        Case(f"F8 {form}", _fault("bad_sse", form=form), FAILED, CUT)
        for form in ("bad_json", "no_blank_line")
    ),
    Case("F8 large event", _fault("bad_sse", form="huge_event"), FAILED, OK),
    Case("F8 event too large", _fault("bad_sse", form="huge_event", bytes=17 << 20), FAILED, CUT),
    Case("F8 before the first token", _fault("bad_sse", form="bad_json", after=0), FAILED, FAILED),
    Case("F9 split", {"split": "utf8", "text": "水路 🏞 é"}, OK, OK),
    Case("F10 error event", _fault("error_event"), FAILED, CUT),
    Case("F10 error event, [DONE]", _fault("error_event", then="done"), FAILED, CUT),
    Case("F10 error event first", _fault("error_event", after=0), FAILED, FAILED),
    *(
        Case(f"F11 {form}", _fault("wrong_body", form=form), FAILED, FAILED)
        for form in ("error_object", "html", "empty", "other_json", "truncated_json", "text")
    ),
    Case("F11 content type", _fault("wrong_content_type"), OK, OK),
]


def _model(case: Case, dialect: Dialect) -> str:
    hasty = "hasty" if dialect.model == "plain" else f"hasty-{dialect.model}"
    return hasty if case.hasty else dialect.model


def _check_answer(case: Case, dialect: Dialect, answer: Answer, code: str) -> None:
    """The client's side: status, headers and a friendly body, or an event in the stream."""
    if code == OK:
        assert answer.status == 200, case.name
        assert answer.error is None, case.name
        return
    error = answer.error
    assert error is not None, (case.name, answer.raw)
    assert error["code"] == code, (case.name, answer.raw[-500:])
    assert error["request_id"] == answer.header("x-request-id")
    assert error["message"].endswith(f"(request id: {error['request_id']})")
    assert b"[DONE]" not in answer.raw
    assert b"message_stop" not in answer.raw
    assert b"response.completed" not in answer.raw
    if code == CUT:
        assert answer.status == 200
        assert answer.is_stream
        assert answer.text, "the tokens before the fault were sent on"
        assert "incomplete" in error["message"]
    else:
        assert answer.status == (529 if dialect.is_anthropic and code == BUSY else 503)
        assert int(answer.header("retry-after") or 0) >= 1
        assert answer.header("x-should-retry") == "false"


@pytest.mark.parametrize("dialect", PAIRS, ids=lambda d: d.name)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
async def test_each_fault(
    gateway: Gateway, upstream: ScriptedThread, case: Case, dialect: Dialect
) -> None:
    model = _model(case, dialect)
    calls = {}
    for stream in (False, True):
        call = f"{case.name}-{dialect.name}-{stream}"
        call = "".join(c if c.isalnum() else "-" for c in call)
        # Both at once would be an attempt and a probe at a backend that is out of use.
        expected = case.stream if stream else case.whole
        if stream and case.name == NO_END and dialect.wire == "responses":
            expected = CUT  # its last event is the only one to say how it ended
        answer, call = await _answer(gateway, dialect, case, expected, call, stream)
        _check_answer(case, dialect, answer, expected)
        calls[call] = expected
        await _bring_back(gateway, dialect, model)
    accounts = settled(gateway.folder / ".headrace", calls)
    for call, code in calls.items():
        settlement = accounts[call].settlement
        assert settlement.backend == model
        status, finish = {OK: (200, "complete"), CUT: (200, "incomplete")}.get(
            code, (529 if dialect.is_anthropic and code == BUSY else 503, "refused")
        )
        assert (settlement.status, settlement.finish) == (status, finish), call
        assert settlement.reason == (None if code == OK else code)
        visits = upstream.seen_of(call)
        # A kept connection that is reset before a byte may have been closed while it was idle: the
        # transport sends once more, over a fresh one.
        assert len(visits) == 1 or (case.name.startswith("F4") and len(visits) == 2)
        if code == OK:
            (visit,) = visits
            assert (settlement.input_tokens, settlement.output_tokens) == (
                visit.tokens_in,
                visit.tokens_out,
            )


async def _answer(
    gateway: Gateway, dialect: Dialect, case: Case, expected: str, call: str, stream: bool
) -> tuple[Answer, str]:
    """With the id of its call. Asked again where this machine let half a second go by before the
    first token: that stream has not begun, and so cannot break off."""
    model = _model(case, dialect)
    for number in range(TRIES):
        name = f"{call}-{number}"
        answer = await ask(
            gateway, dialect, stream=stream, model=model, call=name, script=case.script
        )
        late = answer.error is not None and answer.error["code"] == TIMEOUT
        if not (late and expected == CUT):
            break
        await _bring_back(gateway, dialect, model)
    return answer, name


async def _bring_back(gateway: Gateway, dialect: Dialect, model: str) -> None:
    """A backend that was out of use takes one call before it takes more."""
    for _ in range(100):
        if (await ask(gateway, dialect, stream=False, model=model)).status == 200:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{model} never came back")


@pytest.mark.parametrize("model", ["closed", "unknown-host", "no-tls"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_unreachable(
    gateway: Gateway, upstream: ScriptedThread, model: str, stream: bool
) -> None:
    """F4: refused, no such host, no TLS at the other end."""
    call = f"unreachable-{model}-{stream}"
    answer = await ask(gateway, OPENAI, stream=stream, model=model, call=call)
    assert answer.status == 503
    assert answer.error is not None
    assert answer.error["code"] == FAILED
    for word in (b"no-such-host", b"127.0.0.1", b"errno", b"ssl"):
        assert word not in answer.raw.lower()
    settlement = settled(gateway.folder / ".headrace", [call])[call].settlement
    assert (settlement.status, settlement.reason, settlement.backend) == (503, FAILED, model)
    assert upstream.seen == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_connections_refused_on_arrival(
    gateway: Gateway, upstream: ScriptedThread, stream: bool
) -> None:
    """F4: the connection is reset before any byte, whichever side of the request that falls."""
    upstream.refuse_connections(10_000)
    call = f"refused-on-arrival-{stream}"
    for n in range(3):
        answer = await ask(gateway, OPENAI, stream=stream, call=f"{call}-{n}", model="fresh")
        assert (answer.status, (answer.error or {})["code"]) == (503, FAILED)
    names = [f"{call}-{n}" for n in range(3)]
    accounts = settled(gateway.folder / ".headrace", names)
    assert {accounts[name].settlement.reason for name in names} == {FAILED}
    upstream.refuse_connections(0)


@pytest_asyncio.fixture
async def sdks(gateway: Gateway) -> AsyncIterator[dict[str, openai.AsyncOpenAI]]:
    async with (
        openai.AsyncOpenAI(base_url=gateway.url, api_key=gateway.key, timeout=30) as plain,
        openai.AsyncAzureOpenAI(
            azure_endpoint=gateway.root, api_key=gateway.key, api_version="v", timeout=30
        ) as azure,
    ):
        yield {OPENAI.name: plain, AZURE.name: azure}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK's own
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda d: d.name)
async def test_sdk_raises_after_the_commit_point(
    gateway: Gateway,
    upstream: ScriptedThread,
    sdks: dict[str, openai.AsyncOpenAI],
    dialect: Dialect,
) -> None:
    """With its own retries on, too: a stream that has begun is not begun again."""
    for case in [case for case in CASES if case.stream == CUT and not case.hasty]:
        upstream.reset()
        stream = await sdks[dialect.name].chat.completions.create(
            model=dialect.model,
            messages=[{"role": "user", "content": "Hello"}],
            stream=True,
            user=own_script(**case.script),
        )
        texts: list[str] = []
        with pytest.raises(openai.APIError, match="broke off before its end") as caught:
            async with stream:
                async for chunk in stream:
                    texts += [c.delta.content or "" for c in chunk.choices]
        assert "".join(texts), case.name
        assert caught.value.code == CUT
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["request_id"] == stream.response.headers["x-request-id"]
        assert len(upstream.seen) == 1, case.name
