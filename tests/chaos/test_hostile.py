"""T03: nothing of a hostile upstream's words reaches a client, and every refusal can be found in
the log by its id."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from chaos.conftest import SOAK
from chaos.pairs import ALL_PAIRS, DIALECTS, FURTHER, Dialect
from chaos.wire import Answer, ask
from support.gateway_process import Gateway
from support.scripted import ScriptedThread

CANARY = "Zx9Canary7f3aQq"
HEADERS = {
    "server": f"{CANARY}/1.0",
    "via": f"1.1 {CANARY}.internal",
    "set-cookie": f"session={CANARY}; Path=/",
    "www-authenticate": f'Bearer realm="{CANARY}"',
    "x-request-id": f"req-{CANARY}",
    "x-amzn-trace-id": CANARY,
    "x-ratelimit-reset-tokens": CANARY,
    "openai-organization": CANARY,
    "retry-after": CANARY,
    "location": f"https://{CANARY}.internal/",
    f"x-{CANARY}": "1",
}
FORMS = ("html", "stack_trace", "hostnames", "keys", "control_characters")
STATUSES = (200, 400, 401, 403, 404, 413, 422, 429, 500, 502, 503)


def _bodies() -> dict[str, dict[str, Any]]:
    """Scripts by name. All carry the canary in their headers, most in their body."""
    faults: dict[str, Any] = {
        f"{form} as {status}": {
            "kind": "hostile", "form": form, "status": status, "canary": CANARY
        }
        for form in FORMS
        for status in STATUSES
    }  # fmt: skip
    faults |= {
        f"error event after {after}, then {then}": {
            "kind": "error_event",
            "after": after,
            "then": then,
            "message": f"{CANARY}: KeyError at 0x7f in {CANARY}.py",
        }
        for after in (-1, 0, 3)
        for then in ("end", "done", "rst")
    }
    faults["429 in words"] = {"kind": "rate_limited", "message": CANARY, "retry_after": CANARY}
    faults["redirect"] = {"kind": "redirect", "location": f"http://{CANARY}.internal/"}
    faults |= {
        f"wrong body {form}": {"kind": "wrong_body", "form": form}
        for form in ("error_object", "html", "empty", "other_json", "truncated_json", "text")
    }
    return {name: {"fault": fault, "headers": HEADERS} for name, fault in faults.items()}


BODIES = _bodies()
SAMPLED = 5
"""Of the bodies before the further providers, without a soak: each of so many."""
ENCODED = tuple(
    form.lower()
    for form in (
        CANARY.encode(),
        base64.b64encode(CANARY.encode())[:-4],
        CANARY.encode().hex().encode(),
        b"".join(b"\\u%04x" % letter for letter in CANARY.encode()),
    )
)
TELL_TALES = (b"traceback", b"nginx", b"<html", b"10.11.12.13", b".internal", b"disconnect/reset")
"""Words of the scripted bodies besides the canary."""


def _leaks(answer: Answer) -> list[bytes]:
    raw = answer.raw.lower()
    return [word for word in (*ENCODED, *TELL_TALES) if word in raw]


def _bodies_for(dialect: Dialect) -> dict[str, dict[str, Any]]:
    if SOAK or dialect not in FURTHER:
        return BODIES
    first = FURTHER.index(dialect) % SAMPLED
    return dict(list(BODIES.items())[first::SAMPLED])


def test_there_are_enough() -> None:
    assert len(BODIES) >= 60
    sampled = [_bodies_for(dialect) for dialect in FURTHER if dialect.wire == "google"]
    assert all(len(some) * SAMPLED >= 60 for some in sampled)


@pytest.mark.parametrize("dialect", ALL_PAIRS, ids=lambda d: d.name)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_hostile_bodies(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect, stream: bool
) -> None:
    bodies = _bodies_for(dialect)
    # One after another: a backend that refused the gateway's credential gets one call at a time.
    answers = [
        await ask(gateway, dialect, stream=stream, script=script) for script in bodies.values()
    ]
    calls = set()
    for name, answer in zip(bodies, answers, strict=True):
        assert _leaks(answer) == [], name
        error = answer.error
        assert error is not None, name
        members = {"message", "type", "code", "request_id"}
        members |= {"details"} if dialect.is_anthropic else {"param"}
        assert set(error) == members, name
        assert answer.header("x-request-id") == error["request_id"], name
        assert error["request_id"] in error["message"], name
        # Only after content may it be too late for a status, and only if it came in time.
        assert answer.status != 200 or (stream and name.startswith("error event after 3")), name
        assert dialect.end not in answer.raw, name
        calls.add(error["request_id"])
    assert len(calls) == len(bodies)
    logged = []
    for name, answer in zip(bodies, answers, strict=True):
        (line,) = gateway.log_lines(str(answer.header("x-request-id")))
        assert line.get("backend") == dialect.model, (name, answer.header("x-headrace-explain"))
        logged.append(line)
    log = (gateway.folder / "log.jsonl").read_text()
    assert {log.count(call) for call in calls} == {1}
    told = sum(CANARY in line.get("cause", "") for line in logged)
    assert told >= 60 * len(bodies) // len(BODIES)  # it went there instead


@pytest.mark.parametrize("dialect", ALL_PAIRS, ids=lambda d: d.name)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_headers_of_good_answers(
    gateway: Gateway, upstream: ScriptedThread, dialect: Dialect, stream: bool
) -> None:
    """Of an upstream's headers none reaches the client, not even with a good answer."""
    script = {"headers": HEADERS, "text": "Fine."}
    answer = await ask(gateway, dialect, stream=stream, script=script)
    assert answer.status == 200
    assert answer.error is None
    assert _leaks(answer) == []
    assert upstream.seen[-1].status == 200


async def test_parameters_are_named_only_if_the_client_sent_them(
    gateway: Gateway, upstream: ScriptedThread
) -> None:
    """The log's cause has one line, whatever control characters the upstream wrote."""
    fault = {"kind": "hostile", "form": "control_characters", "status": 400, "canary": CANARY}
    answer = await ask(gateway, DIALECTS[0], stream=False, script={"fault": fault})
    call = str(answer.header("x-request-id"))
    assert gateway.log_lines(call)
    raw = (gateway.folder / "log.jsonl").read_bytes()
    (line,) = [line for line in raw.splitlines() if call.encode() in line]
    assert not [byte for byte in line if byte < 32 or byte == 127]
