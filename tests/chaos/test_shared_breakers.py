"""Breakers shared by Redis: real gateways on ports of their own before one upstream, and a real
server that is killed, paused, locked and not there."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.operate.control_client import ask_workers
from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread
from support.valkey_process import ValkeyProcess, tls_in_front, valkey_process

PATIENCE_S = 30.0
CONFIG = """
server: {{workers: {workers}}}
resilience: {{breaker: {{open_s: {open_s}, open_cap_s: {open_s}, open_jitter: 0}}}}
redis: {redis}
backends:
  up: {{provider: openai, url: "{url}/v1"}}
models:
  one: {{pools: [[up]], retry: {{attempts: 1}}}}
"""


class Replica:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.folder = gateway.folder

    def ask(self) -> httpx.Response:
        return httpx.post(
            f"{self.gateway.url}/chat/completions",
            json={"model": "one", "messages": [{"role": "user", "content": "Hello"}]},
            headers={"authorization": f"Bearer {self.gateway.key}"},
            timeout=PATIENCE_S,
        )

    def trip(self) -> None:
        """By as many failed calls in a row as it takes, on whichever worker they meet."""
        end = time.monotonic() + PATIENCE_S
        while "open" not in self.states():
            assert time.monotonic() < end
            assert self.ask().status_code == 503

    def told(self) -> list[dict[str, Any]]:
        """Of the backend, by each worker."""
        answers = ask_workers(self.folder / ".headrace", "GET", "/backends")
        return [row for _, rows in answers for row in rows]

    def states(self) -> list[str]:
        return [row["state"] for row in self.told()]

    def by_hand(self, verb: str) -> None:
        for status, _ in ask_workers(self.folder / ".headrace", "POST", f"/backends/up/{verb}"):
            assert status == 200

    def ready(self) -> bool:
        return httpx.get(f"{self.gateway.root}/readyz").status_code == 200

    def log(self, text: str) -> int:
        return (self.folder / "log.jsonl").read_text().count(text)


class Town:
    """One upstream, one Redis, and replicas that a test adds."""

    def __init__(self, folder: Path, upstream: ScriptedThread, server: ValkeyProcess) -> None:
        self.folder, self.upstream, self.server = folder, upstream, server
        self.stack = ExitStack()

    def replica(
        self, name: str, *, redis: str = "", workers: int = 1, open_s: float = 60, **env: str
    ) -> Replica:
        text = CONFIG.format(
            url=self.upstream.url,
            redis=redis or f'{{url: "{self.server.url}", timeout_s: 1}}',
            workers=workers,
            open_s=open_s,
        )
        folder = self.folder / name
        folder.mkdir()
        made = Replica(self.stack.enter_context(running_gateway(text, folder, env)))
        if not redis:
            until(lambda: made.log("redis answers") == workers)
        return made


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with scripted_thread() as upstream, valkey_process(tmp_path) as server:
        made = Town(tmp_path, upstream, server)
        with made.stack:
            yield made


def test_what_one_replica_finds_out_spares_the_other(town: Town) -> None:
    one, other = town.replica("one", open_s=2), town.replica("other", open_s=2)
    town.upstream.always(status=500)
    one.trip()
    until(lambda: other.states() == ["open"])
    spared = len(town.upstream.seen)
    assert other.ask().status_code == 503
    assert len(town.upstream.seen) == spared
    assert "as another worker said" in (other.folder / "log.jsonl").read_text()
    town.upstream.reset()
    until(lambda: one.ask().status_code == 200 and one.states() == ["closed"])  # its probes
    until(lambda: other.states() == ["closed"])
    assert other.ask().status_code == 200


def test_a_pause_that_one_was_asked_for_holds_for_all(town: Town) -> None:
    one, other = town.replica("one"), town.replica("other")
    town.upstream.script({"fault": {"kind": "rate_limited", "retry_after": 300}})
    one.ask()
    until(lambda: other.told()[0]["why"] == "throttled")
    assert 200 < other.told()[0]["in_s"] <= 300
    assert other.ask().status_code == 503
    assert len(town.upstream.seen) == 1


@pytest.mark.soak
def test_a_person_isolates_all_workers_of_all_replicas_and_newcomers_know(town: Town) -> None:
    one, other = town.replica("one", workers=2), town.replica("other", workers=2)
    one.by_hand("isolate")
    until(lambda: one.states() + other.states() == ["isolated"] * 4)
    late = town.replica("late")
    until(lambda: late.states() == ["isolated"])
    # A worker that is killed comes back as another process, which has to be told too.
    victim = other.gateway.workers()[0]
    os.kill(victim, signal.SIGKILL)
    until(
        lambda: len(other.told()) == 2 and str(victim) not in {str(r["pid"]) for r in other.told()}
    )
    until(lambda: other.states() == ["isolated"] * 2)
    assert town.upstream.seen == []
    other.by_hand("restore")
    until(lambda: one.states() + other.states() + late.states() == ["closed"] * 5)
    assert [replica.ask().status_code for replica in (one, other, late)] == [200] * 3


def test_without_its_server_each_goes_on_alone_and_all_meet_again(town: Town) -> None:
    one, other = town.replica("one"), town.replica("other")
    town.server.kill()
    until(lambda: one.log("redis is away") == other.log("redis is away") == 1)
    assert [r.ask().status_code for r in (one, other) for _ in range(20)] == [200] * 40
    assert one.ready()
    assert other.ready()
    town.upstream.always(status=500)
    one.trip()
    assert not one.ready()  # by its own breaker
    time.sleep(0.5)
    assert other.states() == ["closed"]
    town.upstream.reset()
    other.by_hand("isolate")
    town.server.start()  # it has forgotten all
    until(lambda: one.states() == other.states() == ["isolated"])
    assert one.log("redis is away") == other.log("redis is away") == 1
    assert one.log("redis answers") == other.log("redis answers") == 2


@pytest.mark.soak
def test_a_paused_server_slows_no_call(town: Town) -> None:
    one, other = town.replica("one"), town.replica("other")
    one.ask()
    town.server.pause()
    began = time.monotonic()
    assert [one.ask().status_code for _ in range(100)] == [200] * 100
    town.upstream.always(status=500)
    one.trip()
    # The pause is not over, so none of these calls waited for it; each would have waited 1 s.
    assert time.monotonic() - began < 20
    assert other.states() == ["closed"]
    until(lambda: one.log("redis is away") == 1)
    town.server.go_on()
    until(lambda: other.states() == ["open"])


@pytest.mark.soak
def test_a_server_that_comes_later(town: Town) -> None:
    later = ValkeyProcess(town.folder)
    redis = f'{{url: "{later.url}"}}'
    one, other = town.replica("one", redis=redis), town.replica("other", redis=redis)
    assert one.ready()
    assert one.ask().status_code == 200
    until(lambda: one.log("redis is away") == 1)
    one.by_hand("isolate")
    later.start()
    try:
        until(lambda: other.states() == ["isolated"])
    finally:
        later.kill()


@pytest.mark.soak
def test_gateways_with_another_prefix_or_unwilling_keep_to_themselves(town: Town) -> None:
    one = town.replica("one")
    foreign = town.replica("foreign", redis=f'{{url: "{town.server.url}", prefix: "other:"}}')
    unwilling = town.replica(
        "unwilling", redis=f'{{url: "{town.server.url}", share_breakers: false}}'
    )
    until(lambda: foreign.log("redis answers") == unwilling.log("redis answers") == 1)
    listener = town.replica("listener")
    one.by_hand("isolate")
    until(lambda: listener.states() == ["isolated"])
    assert foreign.states() == unwilling.states() == ["closed"]


@pytest.mark.soak
def test_junk_on_the_channel_is_passed_over(town: Town) -> None:
    one, other = town.replica("one"), town.replica("other")
    for junk in ("", "{}", '{"sender":1}', "\x00", "[" * 10_000):
        town.server.ask("PUBLISH", "headrace:breakers", junk)
    town.server.ask("SET", "headrace:breaker:up", "junk")
    until(lambda: one.log("a message in Redis is not ours") == 5)
    one.by_hand("isolate")
    until(lambda: other.states() == ["isolated"])
    late = town.replica("late")
    until(lambda: late.states() == ["isolated"])


@pytest.mark.soak
def test_a_password_over_tls_and_a_wrong_one(town: Town) -> None:
    town.server.ask("ACL", "SETUSER", "gate", "on", ">s3cret-words", "~headrace:*",
                    "&headrace:*", "+@all", "-@dangerous")  # fmt: skip
    with tls_in_front(town.server.port, town.folder) as (port, ca):
        redis = (
            f'{{url: "rediss://localhost:{port}/0", ca: "{ca}", username: gate, '
            "password: env:REDIS_PASSWORD}"
        )
        one = town.replica("one", redis=redis, REDIS_PASSWORD="s3cret-words")
        other = town.replica("other")
        until(lambda: one.log("redis answers") == 1)
        one.by_hand("isolate")
        until(lambda: other.states() == ["isolated"])
        wrong = town.replica("wrong", redis=redis, REDIS_PASSWORD="wr0ng-words")
        until(lambda: wrong.log("redis is away") == 1)
        assert wrong.ask().status_code == 200
        assert wrong.log("wr0ng-words") == 0
        assert wrong.log("username-password") == 1
        town.stack.close()


def test_what_is_kept_in_redis_ends_by_itself(town: Town) -> None:
    one = town.replica("one")
    town.upstream.always(status=500)
    one.trip()
    until(lambda: town.server.ask("EXISTS", "headrace:breaker:up") == 1)
    news = json.loads(town.server.ask("GET", "headrace:breaker:up"))
    assert news["snapshot"]["state"] == "open"
    assert 60_000 < town.server.ask("PTTL", "headrace:breaker:up") <= news["kept_ms"] == 3_600_000
    assert town.server.ask("KEYS", "headrace:breaker:*") == [b"headrace:breaker:up"]
