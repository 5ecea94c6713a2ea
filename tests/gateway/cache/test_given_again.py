"""What is kept: within bounds, by worth, by partition, to its end."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path

import msgspec
import pytest

from headrace.config.caching import CachePolicy
from headrace.config.sharing import AnswerCachePolicy
from headrace.data.answer_file import AnswerFile
from headrace.gateway.cache import file_shelf
from headrace.gateway.cache.asking import asked, partition_of
from headrace.gateway.cache.file_shelf import FileShelf
from headrace.gateway.cache.given_again import GivenAgain
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call, Caller
from support.replies import call

EXACT = CachePolicy(answers="exact", keep_s=60)
NOW = 1_000_000.0


def answer(text: str = "Hello", cost_microusd: int | None = 10, finish: str = "stop") -> Recorded:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish,
    }
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return Recorded(b"", json.dumps(body).encode(), cost_microusd=cost_microusd)


def asking(question: str, tenant: str = "a") -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": question}]}
    made = call(body=json.dumps(body).encode())
    return msgspec.structs.replace(made, caller=Caller(key_id="k", tenant=tenant))


async def keep(cache: GivenAgain, one: Call, recorded: Recorded) -> bool:
    wanted = asked(one, EXACT)
    assert wanted is not None
    return await cache.keep(wanted, recorded, one, EXACT, NOW)


async def found(cache: GivenAgain, one: Call, now: float = NOW) -> Recorded | None:
    wanted = asked(one, EXACT)
    assert wanted is not None
    return await cache.find(wanted, one, EXACT, now)


async def test_an_answer_ends_and_is_purged_by_partition() -> None:
    cache = GivenAgain(AnswerCachePolicy())
    for tenant in "ab":
        assert await keep(cache, asking("one", tenant), answer(tenant))
    assert await found(cache, asking("one")) is not None
    assert await found(cache, asking("one"), now=NOW + 60) is None
    assert cache.purge(partition_of(Caller(key_id="k", tenant="a"), "tenant")) == 1
    assert await found(cache, asking("one", "a")) is None
    assert await found(cache, asking("one", "b")) is not None
    assert cache.purge() == 1
    assert len(cache) == cache.kept_bytes == 0


async def test_bounds_hold_and_what_saves_most_stays() -> None:
    bounds = AnswerCachePolicy(most_answers=50)
    cache = GivenAgain(bounds, rng=random.Random(1))
    dear = [asking(f"dear {i}") for i in range(20)]
    for one in dear:
        assert await keep(cache, one, answer(cost_microusd=1_000_000))
    for i in range(500):
        await keep(cache, asking(f"cheap {i}"), answer(cost_microusd=1))
    assert len(cache) == 50
    kept = [await found(cache, one) for one in dear]
    assert sum(one is not None for one in kept) == len(dear)


async def test_bytes_are_bounded_and_counted() -> None:
    cache = GivenAgain(AnswerCachePolicy(most_bytes=10_000, answer_bytes=5_000))
    assert not await keep(cache, asking("too long"), answer("x" * 6_000))
    for i in range(30):
        assert await keep(cache, asking(f"question {i % 20}"), answer("x" * (100 * (i % 9))))
        assert cache.kept_bytes <= 10_000


@pytest.mark.parametrize("finish", ["length", "content_filter", "tool_calls"])
async def test_answers_that_are_not_whole_are_not_kept(finish: str) -> None:
    cache = GivenAgain(AnswerCachePolicy())
    assert not await keep(cache, asking("one"), answer(finish=finish))


def test_names_cannot_pass_for_other_partitions() -> None:
    callers = [
        Caller(key_id='b","c', tenant="a"),
        Caller(key_id="c", tenant='a","b'),
        Caller(key_id="c", tenant="a", team="b"),
        Caller(key_id="b", tenant="a"),
    ]
    assert len({partition_of(caller, "team") for caller in callers}) == len(callers)
    assert partition_of(callers[0], "shared") == partition_of(callers[1], "shared")


async def test_what_is_on_the_shelf_comes_back_and_what_was_dropped_does_not(
    tmp_path: Path,
) -> None:
    cache = GivenAgain(AnswerCachePolicy(), FileShelf(AnswerFile(tmp_path)))
    for i in range(20):
        await keep(cache, asking(f"question {i}", "ab"[i % 2]), answer(f"answer {i}"))
    cache.purge(partition_of(Caller(key_id="k", tenant="b"), "tenant"))
    await cache.close()
    again = GivenAgain(AnswerCachePolicy(), FileShelf(AnswerFile(tmp_path)))
    assert await again.restore(NOW) == 10
    given = await found(again, asking("question 4"))
    assert given is not None
    assert given.body == answer("answer 4").body
    assert given.cost_microusd == 10
    assert await found(again, asking("question 5", "b")) is None
    await again.close()
    later = GivenAgain(AnswerCachePolicy(), FileShelf(AnswerFile(tmp_path)))
    assert await later.restore(NOW + 60) == 0
    await later.close()


async def test_what_is_purged_while_the_shelf_is_read_does_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_shelf, "READ_AT_ONCE", 50)
    cache = GivenAgain(AnswerCachePolicy(), FileShelf(AnswerFile(tmp_path)))
    for i in range(200):
        await keep(cache, asking(f"question {i}", "ab"[i % 2]), answer(f"answer {i}"))
    await cache.close()
    again = GivenAgain(AnswerCachePolicy(), FileShelf(AnswerFile(tmp_path)))
    again.begin_restoring(NOW)
    async with asyncio.timeout(60):
        while not len(again):  # noqa: ASYNC110 - it hears of it by no event
            await asyncio.sleep(0)
    assert len(again) == 50
    again.purge(partition_of(Caller(key_id="k", tenant="b"), "tenant"))
    assert await again.restored(60)
    answers = [await found(again, asking(f"question {i}", "ab"[i % 2])) for i in range(200)]
    assert all((answers[i] is None) == bool(i % 2) for i in range(200))
    await again.close()
    later = GivenAgain(AnswerCachePolicy(), FileShelf(AnswerFile(tmp_path)))
    assert await later.restore(NOW) == 100
    await later.close()


async def test_an_answer_about_to_end_is_made_anew_by_few() -> None:
    """XFetch: nobody long before the end, some shortly before it."""
    cache = GivenAgain(AnswerCachePolicy(), rng=random.Random(3))
    one = asking("one")
    one.received_at = time.monotonic() - 2.0
    await keep(cache, one, answer())
    early = [await found(cache, one, NOW + 30) for _ in range(200)]
    late = [await found(cache, one, NOW + 58) for _ in range(200)]
    assert all(early)
    assert 0 < sum(given is None for given in late) < 200
