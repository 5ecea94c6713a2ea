"""Where answers are kept besides memory: the same of each store, on real servers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from secrets import token_hex

import msgspec
import psycopg
import pytest

from headrace.config.caching import CachePolicy
from headrace.data.feedback_file import FeedbackTable, Row
from headrace.gateway.cache import (
    embeddings,
    entries,
    given_again,
    postgres_shelf,
    redis_shelf,
)
from headrace.gateway.cache.asking import asked, partition_of
from headrace.gateway.cache.bound import Sighting
from headrace.gateway.cache.embeddings import Questions
from headrace.gateway.cache.given_again import GivenAgain
from headrace.gateway.cache.learning import Learning
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call, Caller, Usage
from support.postgres_process import PostgresProcess, postgres_process
from support.replies import call
from support.valkey_process import ValkeyProcess, valkey_process

from .stores import PATIENCE_S, FileStore, PostgresStore, RedisStore, Store, until

SEMANTIC = CachePolicy(answers="semantic", keep_s=600)
ONE, OTHER = "How do I reset my password?", "I forgot my password, how can I reset it?"
USAGE = Usage(input_tokens=7, output_tokens=9)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyProcess]:
    with valkey_process(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresProcess]:
    with postgres_process() as server:
        yield server


@pytest.fixture(params=["file", "redis", "postgres"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, embedder: None, patient: None
) -> AsyncIterator[Store]:
    made: Store
    if request.param == "file":
        made = FileStore(tmp_path)
    elif request.param == "redis":
        made = RedisStore(request.getfixturevalue("valkey"))
    else:
        made = PostgresStore(request.getfixturevalue("postgres").new_database(token_hex(4)))
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy: a call waits longer for the server than it would."""
    for module in (redis_shelf, postgres_shelf):
        monkeypatch.setattr(module, "LOOK_S", PATIENCE_S)


@pytest.fixture
async def redis(valkey: ValkeyProcess, embedder: None, patient: None) -> AsyncIterator[RedisStore]:
    made = RedisStore(valkey)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(scope="module")
def loaded() -> Questions:
    return Questions.load()


@pytest.fixture
def embedder(loaded: Questions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is loaded once for all tests."""
    one = loaded._embedder
    monkeypatch.setattr(embeddings.Questions, "load", classmethod(lambda cls: cls(one)))


def asking(question: str, tenant: str = "a") -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    made = call(body=json.dumps(body).encode())
    return msgspec.structs.replace(made, caller=Caller(key_id="k", tenant=tenant))


def answer(text: str) -> Recorded:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Recorded(b"", json.dumps(body).encode(), usage=USAGE, cost_microusd=10)


async def keep(cache: GivenAgain, question: str, tenant: str = "a", ago_s: float = 0.0) -> None:
    wanted, one = asked(asking(question, tenant), SEMANTIC), asking(question, tenant)
    assert wanted is not None
    now = time.time() - ago_s
    assert await cache.keep(wanted, answer(question), one, SEMANTIC, now)


async def found(cache: GivenAgain, question: str, tenant: str = "a") -> Recorded | None:
    wanted, one = asked(asking(question, tenant), SEMANTIC), asking(question, tenant)
    assert wanted is not None
    return await cache.find(wanted, one, SEMANTIC, time.time())


def tenants(name: str) -> str:
    return partition_of(Caller(key_id="k", tenant=name), "tenant")


async def test_another_worker_gives_the_same_answer_to_the_same_partition(store: Store) -> None:
    first = await store.worker()
    for i in range(30):
        await keep(first, f"What is {i}?", "ab"[i % 2])
    other = await store.after(first)
    for i in range(30):
        given = await found(other, f"What is {i}?", "ab"[i % 2])
        assert given is not None
        assert given.body == answer(f"What is {i}?").body
        assert (given.usage, given.cost_microusd) == (USAGE, 10)
        assert await found(other, f"What is {i}?", "ba"[i % 2]) is None


async def test_another_worker_finds_the_question_in_other_words(store: Store) -> None:
    first = await store.worker(semantic=True)
    await keep(first, ONE)
    await keep(first, "Show flights from Rome to Paris")
    other = await store.after(first, semantic=True)
    given = await found(other, OTHER)
    assert given is not None
    assert given.body == answer(ONE).body
    assert b"x-headrace-cache: semantic" in given.about
    assert await found(other, "Show flights from Paris to Rome") is None
    assert await found(other, OTHER, "b") is None


async def test_vectors_of_another_model_are_of_no_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await store.worker(semantic=True)
    await keep(first, ONE)
    for module in (entries, given_again, postgres_shelf):
        monkeypatch.setattr(module, "VERSION", "another model")
    other = await store.after(first, semantic=True)
    assert await found(other, ONE) is not None
    assert await found(other, OTHER) is None


async def test_what_is_purged_or_has_ended_is_not_found_by_another(store: Store) -> None:
    first = await store.worker()
    await keep(first, "one", "a")
    await keep(first, "one", "b")
    await keep(first, "old", "b", ago_s=SEMANTIC.keep_s)
    assert first.purge(tenants("a")) == 1
    await keep(first, "two", "a")
    other = await store.after(first) if isinstance(store, FileStore) else await store.worker()
    async with asyncio.timeout(30):
        while await found(other, "two") is None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
    assert await found(other, "one", "a") is None
    assert await found(other, "old", "b") is None
    assert await found(other, "one", "b") is not None


async def test_replicas_hear_of_each_other_while_they_run(redis: RedisStore) -> None:
    one, other = await redis.worker(semantic=True), await redis.worker(semantic=True)
    await keep(one, ONE)
    await until(lambda: len(other) == 1)
    given = await found(other, OTHER)
    assert given is not None
    assert b"x-headrace-cache: semantic" in given.about
    await keep(other, "What is new?", "b")
    await until(lambda: len(one) == 2)
    assert other.purge(tenants("a")) == 1
    await until(lambda: len(one) == 1)
    assert await found(one, ONE) is None
    assert await found(one, OTHER) is None
    assert await found(one, "What is new?", "b") is not None
    await keep(one, ONE)
    await until(lambda: len(other) == 2)
    assert other.purge() == 2
    await until(lambda: len(one) == 0)
    assert redis.left() == []


async def test_an_answer_is_found_before_its_news_and_where_memory_had_no_room(
    redis: RedisStore,
) -> None:
    small = await redis.worker(most_answers=5)
    other = await redis.worker()
    for i in range(20):
        await keep(small, f"What is {i}?")
    await until(lambda: len(other) == 20)
    assert len(small) == 5
    for i in range(20):
        assert await found(small, f"What is {i}?") is not None
    assert len(small) == 5


async def test_while_the_server_hangs_calls_go_on_and_what_they_kept_is_told_later(
    redis: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_shelf, "LOOK_S", 0.05)
    one, other = await redis.worker(timeout_s=60.0), await redis.worker()
    await keep(one, "before")
    await until(lambda: len(other) == 1)
    redis.server.pause()
    try:
        async with asyncio.timeout(PATIENCE_S):  # less than what the server may take for one
            for i in range(50):
                assert await found(one, f"What is {i}?") is None
                await keep(one, f"What is {i}?")
        assert await found(one, "before") is not None
        assert len(other) == 1
    finally:
        redis.server.go_on()
    await until(lambda: len(other) == 51)


async def test_a_server_that_lost_all_is_filled_again_and_no_call_fails(redis: RedisStore) -> None:
    one, other = await redis.worker(), await redis.worker()
    await keep(one, "before")
    await until(lambda: len(other) == 1)
    redis.server.kill()
    assert await found(one, "before") is not None
    assert await found(one, "never") is None
    await keep(one, "meanwhile")
    redis.server.start()
    await until(lambda: len(other) >= 1 and ("meanwhile" in redis.questions(other)))
    await keep(other, "after")
    await until(lambda: "after" in redis.questions(one))


async def test_news_that_were_missed_are_not_trusted(redis: RedisStore) -> None:
    """Where the stream was cut before a worker read it, a drop may be among what it missed."""
    one, other = await redis.worker(), await redis.worker()
    await keep(one, "gone")
    await keep(one, "stays")
    await until(lambda: len(other) == 2)
    async with redis.deaf(other):
        one.purge(tenants("a"))
        await keep(one, "new")
        await until(lambda: redis.told() == 4)
        redis.server.ask("XTRIM", f"{redis.prefix}answers", "MAXLEN", 1)
    await until(lambda: redis.questions(other) == {"new"})


async def test_postgres_tells_of_drops_and_no_call_fails_or_waits_for_it(
    postgres: PostgresProcess, embedder: None, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = token_hex(4)
    store = PostgresStore(postgres.new_database(name))
    try:
        one = await store.worker(semantic=True)
        await keep(one, ONE)
        other = await store.after(one, semantic=True)
        await finds(other, OTHER)
        assert len(other) == 1
        assert one.purge(tenants("a")) == 1
        await until(lambda: len(other) == 0)
        assert await found(other, ONE) is None
        monkeypatch.setattr(postgres_shelf, "LOOK_S", 0.05)
        with psycopg.connect(store.url.reveal()) as busy:
            busy.execute("LOCK TABLE headrace_answers IN ACCESS EXCLUSIVE MODE")
            async with asyncio.timeout(PATIENCE_S):  # less than what a statement may take
                for i in range(20):
                    assert await found(other, f"What is {i}?") is None
            await keep(other, ONE)
            assert await found(other, ONE) is not None
        await finds(one, OTHER)
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            admin.execute(end, (name,))
            assert await found(other, "What is away?") is None
            await keep(other, "What is away?")
            admin.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        await finds(one, "What is away?")
    finally:
        await store.close()


async def finds(cache: GivenAgain, question: str) -> None:
    """Sooner or later: a look-up that takes too long on a busy machine finds nothing."""
    async with asyncio.timeout(PATIENCE_S):
        while await found(cache, question) is None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.05)


async def test_what_was_found_out_in_postgres_is_known_to_workers_of_all_hosts(
    postgres: PostgresProcess,
) -> None:
    url, heard = postgres.new_database(token_hex(4)), list[Row]()

    async def hear(row: Row) -> None:
        heard.append(row)

    workers = [Learning(FeedbackTable(url), hear) for _ in range(3)]
    for worker in workers[:2]:
        worker.start()
    pairs = [Sighting("p", -1, b"asked %d" % i, b"kept", "same", 0.9) for i in range(20)]
    await asyncio.gather(
        *(workers[i % 2].find_out(pair, None, False, "flag") for i, pair in enumerate(pairs))
    )
    workers[2].start()
    await until(lambda: all(worker.found_out["flag", False] == 20 for worker in workers))
    assert workers[2].bound.opinion(pairs[3], 0.5).why == "flagged"
    assert len(heard) == 2 * 10 + 20
    for worker in workers:
        await worker.close()
