"""`headrace cache` and the admin API's routes for it, against a gateway that runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from operate.test_admin_api import Api
from operate.test_keys import headrace, told
from support.gateway_process import Gateway, running_gateway
from support.scripted import scripted_thread

CONFIG = """
admin: {{port: 0}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  near: {{pools: [[up]], cache: {{answers: semantic}}}}
keys:
  one: {{secret: env:ONE, tenant: acme, tags: {{app: shop}}}}
  other: {{secret: env:OTHER, tenant: bolt}}
"""
KEYS = {"ONE": "sk-one-0123456789abcdef", "OTHER": "sk-other-0123456789abcdef"}
SAME = ("How do I reset my password?", "I forgot my password, how can I reset it?")
APART = ("Show flights from Rome to Paris", "Show flights from Paris to Rome")


class Used(NamedTuple):
    """A gateway, and the ids of calls that were made to it."""

    gateway: Gateway
    api: Api
    first: str
    hit: str
    missed: str


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    with (
        scripted_thread() as up,
        running_gateway(
            CONFIG.format(url=up.url), tmp_path_factory.mktemp("cache"), env=KEYS
        ) as gateway,
    ):
        ids = [ask(gateway, text).headers["x-request-id"] for text in (*SAME, *APART)]
        yield Used(gateway, Api(gateway.serving), ids[0], ids[1], ids[3])


def ask(gateway: Gateway, question: str, key: str = "ONE", **headers: str) -> httpx.Response:
    answer = httpx.post(
        f"{gateway.url}/chat/completions",
        headers={"authorization": f"Bearer {KEYS[key]}", **headers},
        json={"model": "near", "messages": [{"role": "user", "content": question}]},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer


def command(used: Used, *arguments: str) -> Any:
    return told("cache", *arguments, folder=used.gateway.folder)


def test_stats_tell_hits_savings_and_nearest_misses(used: Used) -> None:
    stats = command(used, "stats")
    assert stats["semantic"] == 1
    assert stats["missed"] == 3
    assert stats["hit_rate"] == 0.25
    assert stats["saved_microusd"] > 0
    miss = next(m for m in stats["nearest_misses"] if m["call"] == used.missed)
    assert miss["candidates"][0]["verdict"] == "direction"
    seen = used.api("GET", "/v1/cache").json()
    assert seen["workers"] == 1
    assert seen["hit_rate"] == 0.25
    assert seen["sums"]["saved_microusd"] == stats["saved_microusd"]
    assert used.api("GET", "/v1/cache/misses").json() == stats["nearest_misses"]
    text = headrace("cache", "stats", folder=used.gateway.folder).stdout
    assert "25.0%" in text
    assert "their directions differ" in text


def test_why_explains_a_call(used: Used) -> None:
    why = command(used, "why", used.hit)
    assert (why["tier"], why["paid_by"], why["asked"]) == ("semantic", used.first, SAME[1])
    candidate = why["candidates"][0]
    assert candidate["kept"] == SAME[0]
    assert candidate["verdict"] == "same"
    assert candidate["score"] >= candidate["least_score"]
    assert candidate["features"]["cosine"] == candidate["similarity"] > 0.9
    assert used.api("GET", f"/v1/cache/calls/{used.hit}").json() == why
    assert used.api("GET", "/v1/cache/calls/no-such-call").status_code == 404
    done = headrace("cache", "why", "no-such-call", folder=used.gateway.folder)
    assert done.returncode == 3
    assert "No worker remembers" in done.stderr


def test_why_judges_two_texts(used: Used) -> None:
    judged = command(used, "why", *APART)
    assert judged["verdict"] == "direction"
    assert judged["score"] == 0
    body = {"asked": APART[0], "kept": APART[1]}
    there = used.api("POST", "/v1/cache/judge", body).json()
    assert there["verdict"] == "direction"
    assert there["similarity"] == pytest.approx(judged["similarity"], abs=0.01)


def test_tune_shows_what_thresholds_would_do(used: Used) -> None:
    points = command(used, "tune")
    hits = [point["hits"] for point in points]
    assert hits == sorted(hits, reverse=True)
    assert {point["lookups"] for point in points} == {4}
    assert hits[0] == 1
    assert used.api("GET", "/v1/cache/tuning").json() == points
    assert "█" in headrace("cache", "tune", folder=used.gateway.folder).stdout


def test_purge_drops_what_it_names_and_nothing_else(used: Used) -> None:
    """By tag, call, partition."""
    gateway = used.gateway
    plain = ask(gateway, "Who built the tower of Pisa?").headers["x-request-id"]
    ask(gateway, "Who dug the canal of Suez?", **{"x-headrace-cache-tags": "canals, egypt"})
    ask(gateway, "Who painted the roof of Rome?", key="OTHER")
    assert command(used, "purge", "--tag", "egypt") == {"purged": 1}
    assert tier(ask(gateway, "Who dug the canal of Suez?")) is None
    assert purge(used, {"call": plain}) == {"answers": 1, "workers": 1}
    assert tier(ask(gateway, "Who built the tower of Pisa?")) is None
    assert purge(used, {"partition": "tenant/acme", "tag": "app=shop"})["answers"] >= 3
    assert tier(ask(gateway, "Who painted the roof of Rome?", key="OTHER")) == "exact"
    assert purge(used, {})["answers"] >= 1
    assert tier(ask(gateway, "Who painted the roof of Rome?", key="OTHER")) is None
    assert headrace("cache", "purge", folder=gateway.folder).returncode == 2
    events = audited(used, "cache.purge")
    tags = {event.get("detail", {}).get("tag"): event["actor"] for event in events}
    assert tags["egypt"].startswith("local:")
    assert tags["app=shop"].startswith("key:")


def test_flagging_by_command_is_told_to_the_audit_log(used: Used) -> None:
    assert command(used, "flag", used.hit) == {"noted": "noted"}
    (event,) = audited(used, "cache.feedback")
    assert (event["target"], event["detail"]) == (used.hit, {"verdict": "wrong"})
    assert event["actor"].startswith("local:")
    again = headrace("cache", "flag", used.hit, folder=used.gateway.folder)
    assert "not given to that question again" in again.stdout


def audited(used: Used, action: str) -> list[Any]:
    """Events of the audit log."""
    folder = used.gateway.folder
    listed = headrace("audit", "list", "--action", action, "--json", folder=folder).stdout
    return [json.loads(line) for line in listed.splitlines()]


def purge(used: Used, wish: dict[str, str]) -> Any:
    return used.api("POST", "/v1/cache/purge", wish).json()


def tier(answer: httpx.Response) -> str | None:
    found: str | None = answer.headers.get("x-headrace-cache")
    return found
