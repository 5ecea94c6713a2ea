"""Equal calls in flight are one upstream call, whoever of their clients leaves."""

from __future__ import annotations

import asyncio
import json

import pytest

from headrace.config.sharing import CoalescingPolicy, IdempotencyPolicy, Mode
from headrace.errors import Reason, Refused
from headrace.gateway.coalescing import Coalescing, FlightKey, key_of
from headrace.gateway.progress import Progress
from headrace.gateway.reply import Reply
from headrace.gateway.sharing import Sharing
from headrace.nouns import Call, Caller, Dialect, Operation, Priority
from support.replies import Listener, call, until

KEY = FlightKey("default", b"digest", False, False)


class Work:
    """Upstream calls that answer when told to."""

    def __init__(self, *, stream: bool = False) -> None:
        self.stream = stream
        self.runs = 0
        self.cancelled = 0
        self.tasks: list[asyncio.Task[object]] = []
        self.open = asyncio.Event()

    async def __call__(self, reply: Reply) -> None:
        self.runs += 1
        number = self.runs
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            if self.stream:
                reply.begin(b"")
                reply.send(b"data: %d\n\n" % number)
            await self.open.wait()
            if self.stream:
                reply.end(b"data: [DONE]\n\n")
            else:
                reply.whole(b'{"answer":%d}' % number, b"x-headrace-backend: a\r\n")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Crowd:
    """Many clients with one question."""

    def __init__(self, coalescing: Coalescing, work: Work) -> None:
        self.coalescing = coalescing
        self.work = work
        self.clients: list[Listener] = []
        self.tasks: list[asyncio.Task[None]] = []

    def join(self, count: int, key: FlightKey = KEY) -> None:
        for _ in range(count):
            client = Listener()
            self.clients.append(client)
            answering = self.coalescing.answer(key, self.work, client, Progress())
            self.tasks.append(asyncio.create_task(answering))


def crowd(count: int, *, stream: bool = False, waiters: int = 1000) -> Crowd:
    policy = CoalescingPolicy(most_waiters=waiters)
    made = Crowd(Coalescing(policy), Work(stream=stream))
    made.join(count)
    return made


async def test_a_thousand_equal_calls_are_one_upstream_call() -> None:
    us = crowd(1000)
    await until(lambda: us.work.runs == 1)
    us.work.open.set()
    await asyncio.gather(*us.tasks)
    assert us.work.runs == 1
    assert {c.body for c in us.clients} == {b'{"answer":1}'}
    marked = [c for c in us.clients if b"answered-by: shared" in c.about]
    assert len(marked) == 999
    assert us.coalescing.in_flight == 0


async def test_the_next_question_after_the_answer_is_a_new_call() -> None:
    us = crowd(1)
    us.work.open.set()
    await asyncio.gather(*us.tasks)
    us.join(1)
    await asyncio.gather(*us.tasks)
    assert us.work.runs == 2


async def test_when_the_first_client_leaves_the_work_goes_on_for_the_others() -> None:
    us = crowd(1000, stream=True)
    await until(lambda: us.work.runs == 1)
    us.tasks[0].cancel()
    await asyncio.wait({us.tasks[0]})
    us.work.open.set()
    await asyncio.gather(*us.tasks[1:])
    assert us.work.runs == 1 and us.work.cancelled == 0
    assert {c.text for c in us.clients[1:]} == {b"data: 1\n\ndata: [DONE]\n\n"}


async def test_when_the_work_is_killed_one_of_the_waiters_begins_it_again() -> None:
    us = crowd(1000)
    await until(lambda: us.work.runs == 1 and len(us.tasks) == 1000)
    await asyncio.sleep(0)
    us.work.tasks[0].cancel()
    await until(lambda: us.work.runs == 2)
    us.work.open.set()
    results = await asyncio.gather(*us.tasks, return_exceptions=True)
    assert us.work.runs == 2
    assert {c.body for c in us.clients[1:]} == {b'{"answer":2}'}
    assert isinstance(results[0], Refused)  # the one whose own work was killed
    assert results[1:] == [None] * 999
    assert sum(b"answered-by: shared" in c.about for c in us.clients[1:]) == 998
    assert us.coalescing.in_flight == 0


async def test_work_that_is_killed_twice_is_not_begun_a_third_time() -> None:
    us = crowd(10)
    await until(lambda: us.work.runs == 1)
    us.work.tasks[0].cancel()
    await until(lambda: us.work.runs == 2)
    us.work.tasks[1].cancel()
    results = await asyncio.gather(*us.tasks, return_exceptions=True)
    assert us.work.runs == 2
    for result in results:
        assert isinstance(result, Refused) and result.reason is Reason.UPSTREAM_FAILED


async def test_a_killed_stream_breaks_off_in_band_for_those_who_have_a_part() -> None:
    us = crowd(3, stream=True)
    await until(lambda: all(c.sent for c in us.clients))
    us.work.tasks[0].cancel()
    await asyncio.gather(*us.tasks)
    assert us.work.runs == 1
    for client in us.clients:
        assert client.refused is not None
        assert client.refused.reason is Reason.UPSTREAM_INTERRUPTED


async def test_the_work_is_cancelled_when_nobody_is_left() -> None:
    us = crowd(3)
    await until(lambda: us.work.runs == 1)
    for task in us.tasks:
        assert us.work.cancelled == 0
        task.cancel()
        await asyncio.wait({task})
    assert us.work.cancelled == 1
    assert us.coalescing.in_flight == 0


async def test_who_comes_while_it_is_cancelled_begins_anew() -> None:
    us = crowd(1)
    await until(lambda: us.work.runs == 1)
    us.tasks[0].cancel()
    await asyncio.sleep(0)
    us.join(1)
    await until(lambda: us.work.runs == 2)
    us.work.open.set()
    await us.tasks[1]
    assert us.clients[1].body == b'{"answer":2}'


async def test_cancelled_work_that_takes_its_time_is_not_joined() -> None:
    us = crowd(0)
    begun: list[asyncio.Event] = []

    async def work(reply: Reply) -> None:
        cleaned = asyncio.Event()
        begun.append(cleaned)
        number = len(begun)
        try:
            await us.work.open.wait()
        except asyncio.CancelledError:
            await cleaned.wait()
            raise
        reply.whole(b'{"answer":%d}' % number, b"")

    leaver, comer = Listener(), Listener()
    leaving = asyncio.create_task(us.coalescing.answer(KEY, work, leaver, Progress()))
    await until(lambda: len(begun) == 1)
    leaving.cancel()
    await until(lambda: us.coalescing.in_flight == 0)
    coming = asyncio.create_task(us.coalescing.answer(KEY, work, comer, Progress()))
    await until(lambda: len(begun) == 2)
    us.work.open.set()
    await coming
    assert comer.body == b'{"answer":2}'
    begun[0].set()
    await asyncio.wait({leaving})


async def test_an_answer_that_has_ended_is_not_joined_while_its_work_ends() -> None:
    us = crowd(0)
    tail, runs, finished = asyncio.Event(), 0, 0

    async def work(reply: Reply) -> None:
        nonlocal runs, finished
        runs += 1
        reply.whole(b'{"answer":%d}' % runs, b"")
        await tail.wait()
        finished += 1

    first, second = Listener(), Listener()
    tasks = [asyncio.create_task(us.coalescing.answer(KEY, work, first, Progress()))]
    await until(lambda: first.ended)
    tasks.append(asyncio.create_task(us.coalescing.answer(KEY, work, second, Progress())))
    await until(lambda: second.ended)
    assert second.body == b'{"answer":2}'
    tail.set()
    await asyncio.gather(*tasks)
    assert finished == 2


async def test_a_late_one_gets_the_prefix_of_a_stream() -> None:
    us = crowd(1, stream=True)
    await until(lambda: bool(us.clients[0].sent))
    us.join(1)
    await until(lambda: len(us.clients[1].sent) == 1)
    us.work.open.set()
    await asyncio.gather(*us.tasks)
    assert us.clients[1].text == us.clients[0].text == b"data: 1\n\ndata: [DONE]\n\n"


async def test_waiters_are_bounded() -> None:
    us = crowd(8, waiters=3)
    await until(lambda: us.work.runs == 2)
    us.work.open.set()
    await asyncio.gather(*us.tasks)
    assert us.work.runs == 2
    assert all(c.body for c in us.clients)


async def test_a_refusal_is_shared_but_not_joined_later() -> None:
    us = crowd(0)
    gate = asyncio.Event()
    runs = 0

    async def busy(reply: Reply) -> None:
        nonlocal runs
        runs += 1
        await gate.wait()
        reply.refuse(Refused(Reason.UPSTREAM_BUSY, "Not now."), b"")

    clients = [Listener(), Listener()]
    tasks = [asyncio.create_task(us.coalescing.answer(KEY, busy, c, Progress())) for c in clients]
    await until(lambda: runs == 1)
    gate.set()
    await asyncio.gather(*tasks)
    assert runs == 1
    assert all(c.refused and c.refused.reason is Reason.UPSTREAM_BUSY for c in clients)
    await us.coalescing.answer(KEY, busy, Listener(), Progress())
    assert runs == 2


async def test_draining_tells_all_who_wait() -> None:
    us = crowd(0)
    started = asyncio.Event()

    async def work(reply: Reply) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert reply.interrupted_by_drain
            reply.refuse(Refused(Reason.DRAINING, "Restarting."), b"")

    clients = [Listener(), Listener()]
    tasks = [asyncio.create_task(us.coalescing.answer(KEY, work, c, Progress())) for c in clients]
    await started.wait()
    await us.coalescing.drain()
    await asyncio.gather(*tasks)
    assert all(c.refused and c.refused.reason is Reason.DRAINING for c in clients)


# --- what may be shared


def body(**members: object) -> bytes:
    return json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | members
    ).encode()


def fixed(raw: bytes, **fields: object) -> Call:
    return call(raw, fixed_sampling=True, **fields)


def test_equal_calls_have_one_key_whatever_their_dialect_user_and_order() -> None:
    first = key_of(fixed(body(temperature=0)), "fixed_sampling")
    assert first is not None
    for other in (
        fixed(b'{"temperature":0, "messages":[{"content":"hi","role":"user"}]}'),
        fixed(body(temperature=0, user="u", metadata={"a": "b"})),
        fixed(body(temperature=0), dialect=Dialect.AZURE_OPENAI, body_model=None),
        fixed(body(temperature=0), caller=Caller(key_id="another of the tenant")),
    ):
        assert key_of(other, "fixed_sampling") == first


def test_calls_that_differ_in_what_counts_have_different_keys() -> None:
    calls = [
        fixed(body(temperature=0)),
        fixed(body(temperature=0, seed=1)),
        fixed(body(temperature=0, max_tokens=5)),
        fixed(body(temperature=0), model="n"),
        fixed(body(temperature=0), priority=Priority.BATCH),
        fixed(body(temperature=0), stream=True),
        fixed(body(temperature=0), stream=True, wants_usage=True),
        fixed(body(temperature=0), operation=Operation.COMPLETIONS),
        fixed(body(temperature=0), caller=Caller(key_id="key-1", tenant="other")),
    ]
    keys = [key_of(c, "fixed_sampling") for c in calls]
    assert None not in keys
    assert len(set(keys)) == len(calls)
    assert key_of(calls[0], "fixed_sampling", "policy 2") not in keys


@pytest.mark.parametrize(
    ("members", "mode", "shared"),
    [
        ({"temperature": 0}, "fixed_sampling", True),
        ({"temperature": 0.0}, "fixed_sampling", True),
        ({"seed": 7}, "fixed_sampling", True),
        ({"temperature": 0.1}, "fixed_sampling", False),
        ({"temperature": None}, "fixed_sampling", False),
        ({"seed": None}, "fixed_sampling", False),
        ({}, "fixed_sampling", False),
        ({}, "always", True),
        ({"temperature": 0, "tools": [{"type": "function"}]}, "fixed_sampling", False),
        ({"temperature": 0, "tools": []}, "fixed_sampling", True),
        ({"tools": [{"type": "function"}]}, "always", True),
        ({"temperature": 0, "store": True}, "fixed_sampling", False),
        ({"store": True}, "always", False),
        ({"temperature": 0}, "never", False),
    ],
)
def test_what_is_shared(members: dict[str, object], mode: Mode, shared: bool) -> None:
    assert (key_of(fixed(body(**members)), mode) is not None) is shared


def test_embeddings_are_shared() -> None:
    asked = call(b'{"model":"m","input":"hi"}', operation=Operation.EMBEDDINGS)
    assert key_of(asked, "fixed_sampling") is not None


def test_a_call_that_the_edge_did_not_mark_is_not_even_looked_at() -> None:
    assert key_of(call(body(temperature=0)), "fixed_sampling") is None


# --- together with the rest


class Server:
    """Counts and settles as the pipeline does."""

    def __init__(self) -> None:
        self.work = Work()
        self.ended: list[tuple[str, str]] = []

    async def admit(self, call: Call) -> None:
        pass

    async def serve(self, call: Call, reply: Reply) -> None:
        try:
            await self.work(reply)
        finally:
            self.ended.append((call.id, "served"))

    def refuse(self, refused: Refused, call: Call, reply: Reply, progress: Progress) -> None:
        progress.status = reply.refuse(refused, b"")

    def settle(self, call: Call, progress: Progress) -> None:
        self.ended.append((call.id, progress.finish))


async def test_every_call_is_settled_once_and_the_work_as_the_first_ones() -> None:
    sharing, server = Sharing(IdempotencyPolicy(), CoalescingPolicy()), Server()
    calls = [fixed(body(temperature=0), id=f"c{n}") for n in range(5)]
    tasks = [asyncio.create_task(sharing.answer(c, Listener(), server)) for c in calls]
    await until(lambda: server.work.runs == 1)
    tasks[0].cancel()
    tasks[3].cancel()
    await asyncio.sleep(0)
    server.work.open.set()
    await asyncio.wait(tasks)
    await until(lambda: len(server.ended) == 5)
    assert sorted(server.ended) == [
        ("c0", "served"),
        ("c1", "complete"),
        ("c2", "complete"),
        ("c3", "client_gone"),
        ("c4", "complete"),
    ]


async def test_who_may_not_use_the_model_does_not_join() -> None:
    sharing, server = Sharing(IdempotencyPolicy(), CoalescingPolicy()), Server()
    allowed = fixed(body(temperature=0))
    barred = fixed(body(temperature=0), caller=Caller(key_id="k", models=frozenset({"n"})))
    tasks = [asyncio.create_task(sharing.answer(c, Listener(), server)) for c in (allowed, barred)]
    await until(lambda: server.work.runs == 2)
    server.work.open.set()
    await asyncio.gather(*tasks)


async def test_keys_retries_and_coalescing_together_are_one_upstream_call() -> None:
    sharing, server = Sharing(IdempotencyPolicy(), CoalescingPolicy()), Server()
    raw = body(temperature=0)
    calls = [
        fixed(raw, id="a", idempotency_key="k1"),
        fixed(raw, id="b", idempotency_key="k2"),
        fixed(raw, id="c", sdk_attempt=0),
        fixed(raw, id="d", sdk_attempt=1),
        fixed(raw, id="e"),
    ]
    clients = [Listener() for _ in calls]
    tasks = [
        asyncio.create_task(sharing.answer(c, r, server))
        for c, r in zip(calls, clients, strict=True)
    ]
    await until(lambda: server.work.runs >= 1)
    server.work.open.set()
    await asyncio.gather(*tasks)
    assert server.work.runs == 1
    assert {c.body for c in clients} == {b'{"answer":1}'}
    assert sorted(who for who, _ in server.ended) == ["a", "b", "c", "d", "e"]


async def test_models_may_differ_in_mode() -> None:
    sharing = Sharing(IdempotencyPolicy(), CoalescingPolicy(), {"always": "always"})
    assert sharing.concerns(call(model="always"))
    assert not sharing.concerns(call(model="m"))
