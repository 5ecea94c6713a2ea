"""Lines of calls: what stands in them is the ledger's row, without secrets."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from headrace.data.records import Settlement
from headrace.gateway.telemetry.call_lines import JsonLines, TextLines
from headrace.gateway.telemetry.ended import Ended
from headrace.gateway.telemetry.kinds import Kinds

SECRET = "0123456789abcdef0123"
NAMES = ["one", 'quoted "two"', "back\\slash\n", "drei ü 三", "\ud800", SECRET]


def row(call: str = "c" * 24, model: str = "one", **more: Any) -> Settlement:
    known: dict[str, Any] = {
        "seq": 1, "number": 1, "at_us": 1_700_000_000_000_000, "call": call, "dialect": "openai",
        "operation": "chat", "model": model, "key": "k", "tenant": "t", "status": 200,
        "finish": "complete", "answered_by": "upstream", "attempts": 1, "latency_us": 2500,
    }  # fmt: skip
    return Settlement(**{**known, **more})


def scrub(text: str) -> str:
    return text.replace(SECRET, "***")


def shown(text: str | None) -> str | None:
    return None if text is None else scrub(text.replace("\ud800", "?"))


def told(lines: JsonLines, calls: list[Ended]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.of(calls, Kinds(None, lines).of(calls)).splitlines()]


def test_every_field_is_told_whatever_it_holds() -> None:
    some, calls = Random(5), list[Ended]()
    for _ in range(400):
        made = row(
            call=some.choice(["c" * 24, "id-1.2", SECRET]),
            model=some.choice(NAMES),
            key=some.choice(NAMES),
            status=some.choice([200, 429, 499]),
            latency_us=some.choice([0, 7, 2500, 999_999, 61_000_001]),
            backend=some.choice([None, "up"]),
            reason=some.choice([None, "rate_limited"]),
            team=some.choice([None, *NAMES]),
            user=some.choice([None, *NAMES]),
            stream=some.choice([True, False]),
            input_tokens=some.choice([0, 5, 123_456]),
            cost_microusd=some.choice([None, 0, 1, 120_034, 12_000_000, 1_000_001]),
            ttft_us=some.choice([None, 0, 1001, 2_000_050]),
        )
        calls.append((made, some.choice(["", f"{255:032x}"]), 0))
    lines = JsonLines(scrub)
    for (made, trace, _), line in zip(calls, told(lines, calls), strict=True):
        cost, first = made.cost_microusd, made.ttft_us if made.stream else None
        wanted = {
            "event": "call", "time": "2023-11-14T22:13:20.000+00:00", "call": scrub(made.call),
            "operation": "chat", "model": shown(made.model), "key": shown(made.key), "tenant": "t",
            "status": made.status, "finish": "complete", "answered_by": "upstream", "attempts": 1,
            "took_ms": made.latency_us / 1000, "input_tokens": made.input_tokens,
            "output_tokens": 0, "cost_usd": None if cost is None else cost / 1e6,
            "first_token_ms": None if first is None else first / 1000, "backend": made.backend,
            "reason": made.reason, "team": shown(made.team), "user": shown(made.user),
            "stream": made.stream or None, "trace": f"{255:032x}" if trace else None,
        }  # fmt: skip
        assert line == {name: value for name, value in wanted.items() if value is not None}


@pytest.mark.parametrize("form", [JsonLines, TextLines])
def test_names_are_searched_again_once_other_secrets_are_known(form: type[JsonLines]) -> None:
    known: list[str] = []

    def masked(text: str) -> str:
        for secret in known:
            text = text.replace(secret, "***")
        return text

    lines, calls = form(masked), [(row(model=SECRET), "", 0), (row(call=SECRET), "", 0)]
    kinds = Kinds(None, lines)
    assert lines.of(calls, kinds.of(calls)).count(SECRET.encode()) == 2
    known.append(SECRET)
    kinds.forget()
    written = lines.of(calls, kinds.of(calls))
    assert (SECRET.encode() in written, written.count(b"***")) == (False, 2)
