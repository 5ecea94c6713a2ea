"""T01: calls of all kinds while the gateway, its writer and its database are killed at random.

What the upstream's own journal saw is what the ledger holds: each call once, none lost, with the
upstream's tokens; calls that were in work when the gateway was killed are flagged.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

from chaos.conftest import SOAK, STEADY
from headrace.config.storing import Store
from headrace.data.database import Database, DatabaseAway
from headrace.data.databases import database
from headrace.data.draining import unfinished
from headrace.data.ledger_verify import verify
from support.commands import Process, forked
from support.gateway_process import children_that_run
from support.postgres_process import PostgresProcess, postgres_process
from support.scripted import own_script
from support.upstream_process import UpstreamProcess, Visit, upstream_process

CALLS = 10_000 if SOAK else 400
KILLS = 40 if SOAK else 5
AT_ONCE = 12
SEED = 1
RECOVERY_S = 2.0 if SOAK else 20.0
KEY = "app0123456789abcdef0123456789"

CONFIG = (
    STEADY
    + """
store: {{drain_every_s: 0.05, journal_keep_hours: 24{where}}}
keys:
  app: {{secret: env:APP, team: search}}
backends:
  up: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
models:
  plain: {{pools: [[up]], retry: {{attempts: 1}}}}
"""
)
FAULTS: list[dict[str, Any]] = [
    {"kind": "cut", "how": "eof"},
    {"kind": "cut", "how": "rst", "after": 0},
    {"kind": "missing_done"},
    {"kind": "error_event", "after": 2},
    {"kind": "hostile", "form": "keys", "status": 500},
]


class Plan(NamedTuple):
    """One call, thrown by dice. `leaves_after_s` is None for a client that stays."""

    call: str
    stream: bool
    script: dict[str, Any]
    leaves_after_s: float | None


def _plans(dice: random.Random) -> list[Plan]:
    plans = []
    for number in range(CALLS):
        script: dict[str, Any] = {"tokens": dice.randrange(1, 40), "gap_ms": dice.choice([0, 1, 5])}
        script["usage"] = {"input": dice.randrange(1, 9_000)}
        if dice.random() < 0.05:
            script["fault"] = dice.choice(FAULTS)
        leaves = dice.uniform(0, 0.08) if dice.random() < 0.1 else None
        plans.append(Plan(f"chaos-{number:06}", dice.random() < 0.3, script, leaves))
    return plans


class House:
    """A gateway that is started again under the same folder, whatever became of the last one."""

    def __init__(self, config: str, folder: Path, env: dict[str, str]) -> None:
        (folder / "headrace.yaml").write_text(config)
        self.folder = folder
        self._env = env
        self._process: tuple[Process, IO[bytes]] | None = None
        self.port = 0

    def start(self) -> None:
        """Returns when it serves."""
        with (self.folder / "log.jsonl").open("ab") as log:
            arguments = ["serve", "--json", "--port", "0"]
            self._process = forked(arguments, self.folder, self._env, log)
        line = self._process[1].readline()
        assert line, (self.folder / "log.jsonl").read_text()[-2000:]
        self.port = int(json.loads(line)["url"].removesuffix("/v1").rsplit(":", 1)[1])

    def kill(self) -> None:
        """The gateway alone: its writer sees that it is gone."""
        assert self._process is not None
        process, output = self._process
        process.kill()
        process.wait(10)
        output.close()

    def kill_writer(self) -> None:
        assert self._process is not None
        for pid in children_that_run(self._process[0].pid, "headrace.operate.ledger_writer"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        assert self._process is not None
        process, output = self._process
        process.terminate()
        assert process.wait(60) == 0
        output.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    with postgres_process() as running:
        yield running


async def _carry_out(house: House, plan: Plan) -> None:
    """The call, however it ends: the gateway may be gone at any moment."""
    body: dict[str, Any] = {
        "model": "plain",
        "messages": [{"role": "user", "content": "Hello"}],
        "user": own_script(**plan.script),
        "stream": plan.stream,
    }
    data = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n"
        f"content-length: {len(data)}\r\nauthorization: Bearer {KEY}\r\n"
        f"x-request-id: {plan.call}\r\n\r\n"
    )
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        try:
            writer.write(head.encode() + data)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(plan.leaves_after_s or 60):
                    await reader.read(-1)
        finally:
            writer.transport.abort()


async def _storm(
    house: House, plans: list[Plan], postgres: PostgresProcess | None, dice: random.Random
) -> int:
    """All calls, and the kills between them; how many calls were in work when the gateway was
    killed, at most."""
    slots, done, running, exposed = asyncio.Semaphore(AT_ONCE), 0, 0, 0
    up = asyncio.Event()
    up.set()

    async def one(plan: Plan) -> None:
        nonlocal done, running
        async with slots:
            await up.wait()
            running += 1
            try:
                await _carry_out(house, plan)
            finally:
                running -= 1
                done += 1

    calls = asyncio.gather(*map(one, plans))
    for kill in range(KILLS):
        until = (kill + dice.uniform(0.5, 1.0)) * CALLS / (KILLS + 1)
        while done < until and not calls.done():  # noqa: ASYNC110 - there is nobody to tell
            await asyncio.sleep(0.005)
        victim = dice.choice(["gateway", "gateway", "writer", "store"])
        if victim == "gateway":
            up.clear()
            exposed += running
            await asyncio.to_thread(house.kill)
            await asyncio.to_thread(house.start)
            up.set()
        elif victim == "store" and postgres is not None:
            await asyncio.to_thread(postgres.kill)
            await asyncio.sleep(dice.uniform(0, 0.5))
            await asyncio.to_thread(postgres.start_again)
        else:
            house.kill_writer()
    await calls
    return exposed


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
async def test_nothing_is_lost_or_doubled(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dice = random.Random(SEED)
    server = request.getfixturevalue("postgres") if kind == "postgresql" else None
    url = None if server is None else server.new_database("chaos")
    env = {"APP": KEY} | ({} if url is None else {"DATABASE_URL": url.reveal()})
    where = "" if url is None else ", url_secret: env:DATABASE_URL"
    with upstream_process(tmp_path, "--fsync") as upstream:
        house = House(CONFIG.format(url=upstream.url, where=where), tmp_path, env)
        await asyncio.to_thread(house.start)
        exposed = await _storm(house, _plans(dice), server, dice)
        await asyncio.to_thread(house.stop)
        await asyncio.to_thread(upstream.wait_for, lambda v: all(visit.ended for visit in v))
        assert _recovered_within(tmp_path / Store().folder) < RECOVERY_S
        kept = database(tmp_path / Store().folder, url)
        _compare(kept, upstream, exposed)
        report = verify(kept, tmp_path / Store().folder, lambda _: None)
        assert report.findings == []
        assert report.journal_calls == report.rows
        kept.close()


def _recovered_within(folder: Path) -> float:
    """Seconds after the last stop until nothing is left in the journal."""
    began = time.monotonic()
    while unfinished(folder):
        assert time.monotonic() - began < 60
        time.sleep(0.01)
    return time.monotonic() - began


def _compare(kept: Database, upstream: UpstreamProcess, exposed: int) -> None:
    rows = {}
    columns = "call, finish, orphan, usage_source, input_tokens, output_tokens, cost_microusd"
    for call, *rest in _read(kept, f"SELECT {columns} FROM ledger"):
        assert call not in rows, f"{call} is there twice"
        rows[call] = rest
    seen: dict[str, list[Visit]] = {}
    for visit in upstream.visits():
        assert visit.seen.request_id is not None
        seen.setdefault(visit.seen.request_id, []).append(visit)
    lost = seen.keys() - rows.keys()
    assert lost == set(), f"{len(lost)} calls that the upstream saw have no row"
    settled = orphans = 0
    for call, (finish, orphan, source, tokens_in, tokens_out, cost) in rows.items():
        assert (finish == "orphan") == bool(orphan)
        assert cost is not None
        orphans += orphan
        if finish == "complete":
            (visit,) = seen[call]
            assert source == "upstream"
            assert (tokens_in, tokens_out) == (visit.seen.tokens_in, visit.seen.tokens_out)
            settled += 1
        elif orphan:
            assert (source, tokens_out) == ("estimated", 4096)
    assert orphans <= exposed
    assert settled > CALLS / 2
    print(f"\n{len(seen)} calls seen, {len(rows)} rows, {settled} complete, {orphans} orphans")


def _read(kept: Database, statement: str) -> list[tuple[Any, ...]]:
    for _ in range(100):
        with contextlib.suppress(DatabaseAway):
            return list(kept.read(statement))
        time.sleep(0.1)
    raise AssertionError("the store does not come back")
