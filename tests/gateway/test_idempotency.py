"""A repeated call gets the first one's answer, and no other caller does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.config.sharing import CoalescingPolicy, IdempotencyPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.idempotency import KEY_LIMIT, LASTING
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import Recorded
from headrace.gateway.repeats import Mismatch, Repeats
from headrace.gateway.reply import Reply
from headrace.gateway.sharing import Sharing
from headrace.nouns import Call, Caller
from support.replies import Listener, call, until

ABOUT = b"x-headrace-backend: a\r\n"
Answering = Callable[[Call, Reply], Awaitable[None]]


class Upstream:
    """The rest of the pipeline: answers when told to, and counts."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.cancelled = 0
        self.settled: list[tuple[str, str]] = []
        self.shared: list[tuple[str, str]] = []
        self.open = asyncio.Event()
        self.tail: asyncio.Event | None = None
        """What is waited for after the answer has ended."""
        self.about = ABOUT
        self.refusal: Refused | None = None

    async def admit(self, call: Call) -> None:
        pass

    async def serve(self, call: Call, reply: Reply) -> None:
        finish = "client_gone"
        self.asked.append(call)
        number = len(self.asked)
        try:
            if call.stream:
                reply.begin(ABOUT)
                reply.send(b"data: %d\n\n" % number)
            await self.open.wait()
            if self.refusal is not None:
                reply.refuse(self.refusal, ABOUT)
                finish = "refused"
            elif call.stream:
                reply.end(b"data: [DONE]\n\n")
                finish = "complete"
            else:
                reply.whole(b'{"answer":%d}' % number, self.about)
                finish = "complete"
            if self.tail is not None:
                await self.tail.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            if not reply.interrupted_by_drain:
                raise
            reply.refuse(Refused(Reason.DRAINING, "Restarting."), ABOUT)
            finish = "drained"
        finally:
            self.settled.append((call.id, finish))

    def refuse(self, refused: Refused, call: Call, reply: Reply, progress: Progress) -> None:
        progress.status = reply.refuse(refused, b"")
        progress.reason, progress.finish = refused.reason.value, "refused"

    def settle(self, call: Call, progress: Progress) -> None:
        self.shared.append((call.id, progress.finish))


class Lab:
    """Sharing in front of an upstream."""

    def __init__(self, **policy: Any) -> None:
        self.upstream = Upstream()
        self.sharing = Sharing(
            msgspec.convert(policy, IdempotencyPolicy), CoalescingPolicy(mode="never")
        )

    async def ask(self, asked: Call) -> Listener:
        client = Listener()
        await self.sharing.answer(asked, client, self.upstream)
        return client

    def start(self, asked: Call) -> tuple[Listener, asyncio.Task[None]]:
        client = Listener()
        return client, asyncio.create_task(self.sharing.answer(asked, client, self.upstream))

    async def running(self, count: int = 1) -> None:
        await until(lambda: len(self.upstream.asked) == count)


def keyed(key: str = "k-1", **fields: Any) -> Call:
    return call(idempotency_key=key, **fields)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_key_gives_the_same_answer_again(stream: bool) -> None:
    lab = Lab()
    lab.upstream.open.set()
    first = await lab.ask(keyed(stream=stream, id="one"))
    second = await lab.ask(keyed(stream=stream, id="two"))
    assert first.ended and (first.text or first.body)
    assert (second.body, second.text) == (first.body, first.text)
    assert b"answered-by: replay" in second.about and b"answered-by" not in first.about
    assert len(lab.upstream.asked) == 1
    assert lab.upstream.settled == [("one", "complete")]
    assert lab.upstream.shared == [("two", "complete")]


async def test_a_second_call_in_flight_is_refused_409() -> None:
    lab = Lab()
    first, task = lab.start(keyed(id="one"))
    await lab.running()
    second = await lab.ask(keyed(id="two"))
    assert second.refused is not None
    assert second.refused.reason is Reason.IDEMPOTENCY_IN_FLIGHT
    assert second.refused.retry_after_s == 1.0
    lab.upstream.open.set()
    await task
    assert first.body == b'{"answer":1}'
    assert lab.upstream.shared == [("two", "refused")]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_sdks_own_retry_joins_the_call_in_flight(stream: bool) -> None:
    lab = Lab()
    first, task = lab.start(keyed(stream=stream))
    await lab.running()
    second, again = lab.start(keyed(stream=stream, sdk_attempt=1))
    await asyncio.sleep(0)
    lab.upstream.open.set()
    await asyncio.gather(task, again)
    assert second.ended and (second.body, second.text) == (first.body, first.text)
    assert len(lab.upstream.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"body": b'{"model":"m","messages":[]}'},
        {"model": "n"},
    ],
)
@pytest.mark.parametrize("done", [True, False])
async def test_another_payload_is_refused_422(other: dict[str, Any], done: bool) -> None:
    lab = Lab()
    _, task = lab.start(keyed())
    await lab.running()
    if done:
        lab.upstream.open.set()
        await task
    second = await lab.ask(keyed(**other))
    assert second.refused is not None
    assert second.refused.reason is Reason.IDEMPOTENCY_MISMATCH
    lab.upstream.open.set()
    await task


@pytest.mark.parametrize(
    "other",
    [
        Caller(key_id="key-2"),
        Caller(key_id="key-1", tenant="other"),
        Caller(key_id="key-1", user="someone"),
    ],
)
async def test_a_key_is_the_callers_own(other: Caller) -> None:
    lab = Lab()
    lab.upstream.open.set()
    await lab.ask(keyed())
    second = await lab.ask(keyed(caller=other))
    assert second.body == b'{"answer":2}'
    assert len(lab.upstream.asked) == 2


async def test_a_caller_without_the_right_to_the_model_gets_nothing_kept() -> None:
    lab = Lab()
    lab.upstream.open.set()
    await lab.ask(keyed())
    await lab.ask(keyed(caller=Caller(key_id="key-1", models=frozenset({"n"}))))
    assert len(lab.upstream.asked) == 2


@pytest.mark.parametrize("key", ["", "x" * (KEY_LIMIT + 1), "schlüssel", "a\x00b"])
async def test_a_key_must_be_fit_for_logs(key: str) -> None:
    lab = Lab()
    client = await lab.ask(keyed(key))
    assert client.refused is not None and client.refused.reason is Reason.BAD_REQUEST
    assert lab.upstream.asked == []


async def test_a_keyed_call_runs_on_after_its_client_left() -> None:
    lab = Lab()
    _, task = lab.start(keyed(id="one"))
    await lab.running()
    task.cancel()
    await asyncio.wait({task})
    assert lab.upstream.cancelled == 0
    lab.upstream.open.set()
    await until(lambda: bool(lab.upstream.settled))
    back = await lab.ask(keyed(id="two"))
    assert back.body == b'{"answer":1}'
    assert lab.upstream.settled == [("one", "complete")]
    assert lab.upstream.shared == [("two", "complete")]


async def test_a_keyed_call_whose_client_leaves_at_once_is_still_settled_once() -> None:
    lab = Lab(keep_running_s=0)
    _, task = lab.start(keyed(id="one"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert lab.upstream.settled + lab.upstream.shared == [("one", "client_gone")]


async def test_without_leave_to_run_on_it_is_cancelled_with_its_client() -> None:
    lab = Lab(keep_running_s=0)
    _, task = lab.start(keyed())
    await lab.running()
    task.cancel()
    await asyncio.wait({task})
    assert lab.upstream.cancelled == 1
    lab.upstream.open.set()
    assert (await lab.ask(keyed())).body == b'{"answer":2}'


@pytest.mark.parametrize("comes_back", [False, True])
async def test_running_on_has_an_end_unless_the_client_is_back(
    comes_back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(keep_running_s=600)
    _, task = lab.start(keyed())
    await lab.running()
    task.cancel()
    await asyncio.wait({task})
    back, again = lab.start(keyed(sdk_attempt=1)) if comes_back else (None, None)
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    later = loop.time() + 601
    monkeypatch.setattr(loop, "time", lambda: later)
    for _ in range(5):
        await asyncio.sleep(0)
    assert lab.upstream.cancelled == (0 if comes_back else 1)
    if again is not None and back is not None:
        lab.upstream.open.set()
        await again
        assert back.body == b'{"answer":1}'


async def test_a_keyed_calls_client_that_is_drained_takes_the_work_with_it() -> None:
    lab = Lab()
    client, task = lab.start(keyed(id="one"))
    await lab.running()
    client.interrupted_by_drain = True
    task.cancel()
    await asyncio.wait({task})
    assert client.refused is not None and client.refused.reason is Reason.DRAINING
    assert lab.upstream.settled + lab.upstream.shared == [("one", "drained")]


async def test_draining_work_that_has_not_begun_settles_it() -> None:
    lab = Lab()
    client = Listener()
    task = asyncio.create_task(lab.sharing.answer(keyed(id="one"), client, lab.upstream))
    drain = asyncio.create_task(lab.sharing.drain())  # runs before the work that `task` begins
    await asyncio.wait({task, drain})
    assert client.refused is not None and client.refused.reason is Reason.DRAINING
    assert lab.upstream.settled + lab.upstream.shared == [("one", "drained")]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_end_of_the_answer_is_not_the_end_of_the_work(stream: bool) -> None:
    lab = Lab()
    lab.upstream.open.set()
    lab.upstream.tail = asyncio.Event()
    first, task = lab.start(keyed(id="one", stream=stream))
    await until(lambda: first.ended)
    again = await lab.ask(keyed(id="two", stream=stream))
    assert (again.body, again.text) == (first.body, first.text)
    assert not task.done() and lab.upstream.settled == []
    lab.upstream.tail.set()
    await task
    assert lab.upstream.settled == [("one", "complete")]


async def test_a_refused_try_is_not_joined_while_it_ends() -> None:
    lab = Lab()
    lab.upstream.open.set()
    lab.upstream.tail = asyncio.Event()
    lab.upstream.refusal = Refused(Reason.UPSTREAM_BUSY, "No.")
    first, task = lab.start(call(sdk_attempt=0))
    await until(lambda: first.ended)
    lab.upstream.refusal = None
    retry, again = lab.start(call(sdk_attempt=1))
    await until(lambda: retry.ended)
    assert retry.body == b'{"answer":2}'
    lab.upstream.tail.set()
    await asyncio.gather(task, again)


@pytest.mark.parametrize("sdk", [False, True])
async def test_the_friendly_message_is_not_kept_as_an_answer(sdk: bool) -> None:
    lab = Lab()
    lab.upstream.open.set()
    lab.upstream.about = b"x-headrace-answered-by: message\r\n"
    await lab.ask(call(sdk_attempt=0) if sdk else keyed())
    again = await lab.ask(call(sdk_attempt=1) if sdk else keyed())
    assert again.body == b'{"answer":2}'


@pytest.mark.parametrize("reason", [Reason.UPSTREAM_BUSY, Reason.CONTEXT_TOO_LONG])
async def test_only_lasting_refusals_are_kept(reason: Reason) -> None:
    lab = Lab()
    lab.upstream.open.set()
    lab.upstream.refusal = Refused(reason, "No.")
    first = await lab.ask(keyed())
    assert first.refused is not None and first.refused.reason is reason
    lab.upstream.refusal = None
    second = await lab.ask(keyed())
    if reason in LASTING:
        assert second.refused is not None and second.refused.reason is reason
        assert len(lab.upstream.asked) == 1
    else:
        assert second.body == b'{"answer":2}'


async def test_draining_ends_calls_without_clients_and_tells_those_with() -> None:
    lab = Lab()
    _, gone = lab.start(keyed("a", id="gone"))
    await lab.running()
    gone.cancel()
    await asyncio.wait({gone})
    client, task = lab.start(keyed("b", id="here"))
    await lab.running(2)
    await lab.sharing.drain()
    await task
    assert client.refused is not None and client.refused.reason is Reason.DRAINING
    assert sorted(lab.upstream.settled) == [("gone", "drained"), ("here", "drained")]


async def test_a_key_without_a_policy_is_not_heeded() -> None:
    lab = Lab(keep_s=0)
    lab.upstream.open.set()
    await lab.ask(keyed())
    await lab.ask(keyed())
    assert len(lab.upstream.asked) == 2


# --- the SDK's own retries


@pytest.mark.parametrize("stream", [False, True])
async def test_an_sdks_retry_gets_the_answer_that_was_lost(stream: bool) -> None:
    lab = Lab()
    lab.upstream.open.set()
    first = await lab.ask(call(sdk_attempt=0, stream=stream, id="one"))
    retry = await lab.ask(call(sdk_attempt=1, stream=stream, id="two"))
    assert retry.ended and (retry.body, retry.text) == (first.body, first.text)
    assert len(lab.upstream.asked) == 1
    assert lab.upstream.settled == [("one", "complete")]
    assert lab.upstream.shared == [("two", "complete")]


async def test_equal_first_tries_are_two_calls() -> None:
    lab = Lab()
    lab.upstream.open.set()
    await lab.ask(call(sdk_attempt=0))
    assert (await lab.ask(call(sdk_attempt=0))).body == b'{"answer":2}'


@pytest.mark.parametrize("stream", [False, True])
async def test_an_sdks_retry_joins_the_running_call(stream: bool) -> None:
    lab = Lab()
    first, task = lab.start(call(sdk_attempt=0, stream=stream))
    await lab.running()
    retry, again = lab.start(call(sdk_attempt=1, stream=stream))
    await asyncio.sleep(0)
    lab.upstream.open.set()
    await asyncio.gather(task, again)
    assert retry.ended and (retry.body, retry.text) == (first.body, first.text)
    assert len(lab.upstream.asked) == 1


async def test_a_retry_that_joined_goes_on_by_itself_when_the_first_is_cancelled() -> None:
    lab = Lab()
    _, task = lab.start(call(sdk_attempt=0, id="one"))
    await lab.running()
    retry, again = lab.start(call(sdk_attempt=1, id="two"))
    await asyncio.sleep(0)
    task.cancel()
    await lab.running(2)
    lab.upstream.open.set()
    await again
    assert retry.body == b'{"answer":2}'
    assert lab.upstream.settled == [("one", "client_gone"), ("two", "complete")]
    assert lab.upstream.shared == []


async def test_a_client_that_leaves_cancels_its_call_at_once() -> None:
    lab = Lab()
    _, task = lab.start(call(sdk_attempt=0))
    await lab.running()
    task.cancel()
    await asyncio.wait({task})
    assert lab.upstream.cancelled == 1


async def test_a_refused_try_leaves_nothing_behind() -> None:
    """Not even what an equal call before it had: the retry is of this one."""
    lab = Lab()
    lab.upstream.open.set()
    await lab.ask(call(sdk_attempt=0))
    lab.upstream.refusal = Refused(Reason.UPSTREAM_BUSY, "No.")
    await lab.ask(call(sdk_attempt=0))
    lab.upstream.refusal = None
    assert (await lab.ask(call(sdk_attempt=1))).body == b'{"answer":3}'


async def test_a_retry_of_another_caller_or_body_is_its_own_call() -> None:
    lab = Lab()
    lab.upstream.open.set()
    await lab.ask(call(sdk_attempt=0))
    for other in (
        call(sdk_attempt=1, caller=Caller(key_id="key-2")),
        call(sdk_attempt=1, caller=Caller(key_id="key-1", tenant="other")),
        call(sdk_attempt=1, body=b'{"model":"m","messages":[]}'),
        call(sdk_attempt=1, model="n"),
    ):
        await lab.ask(other)
    assert len(lab.upstream.asked) == 5


async def test_without_headers_nothing_is_of_concern() -> None:
    lab = Lab()
    assert not lab.sharing.concerns(call())
    assert lab.sharing.concerns(call(sdk_attempt=0))
    assert lab.sharing.concerns(keyed())


# --- the store, against a plain model


@given(st.data())
def test_a_key_with_another_fingerprint_is_a_mismatch(data: st.DataObject) -> None:
    repeats: Repeats[str] = Repeats(keep_s=10.0)
    repeats.begin("k", b"a", "work")
    if data.draw(st.booleans()):
        repeats.end("k", "work", Recorded(about=b"", body=b"x"), 0, 0.0)
    with pytest.raises(Mismatch):
        repeats.find("k", b"b", 1.0)
    assert repeats.find("k", b"a", 1.0) is not None


def test_an_answer_is_kept_until_its_time_and_no_longer() -> None:
    repeats: Repeats[str] = Repeats(keep_s=10.0)
    repeats.begin("k", b"", "work")
    recorded = Recorded(about=b"", body=b"x")
    repeats.end("k", "work", recorded, 0, 5.0)
    assert repeats.find("k", b"", 14.999) is recorded
    assert repeats.find("k", b"", 15.0) is None
    assert (len(repeats), repeats.kept_bytes) == (0, 0)


class RepeatsMachine(RuleBasedStateMachine):
    """Against a list of all that was ever kept."""

    KEEP_S, MOST, BYTES = 10.0, 4, 100

    def __init__(self) -> None:
        super().__init__()
        self.repeats: Repeats[int] = Repeats(self.KEEP_S, self.MOST, self.BYTES)
        self.now = 0.0
        self.works = 0
        self.running: dict[str, int] = {}
        self.kept: list[tuple[str, bytes, float]] = []

    keys = st.sampled_from(["a", "b", "c", "d", "e", "f"])

    @rule(key=keys)
    def begin(self, key: str) -> None:
        self.works += 1
        self.repeats.begin(key, b"", self.works)
        self.running[key] = self.works
        self.kept = [k for k in self.kept if k[0] != key]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), size=st.integers(0, 60), answered=st.booleans())
    def end(self, data: st.DataObject, size: int, answered: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.running)))
        work = self.running.pop(key)
        recorded = Recorded(about=b"", body=bytes(size)) if answered else None
        self.repeats.end(key, work, recorded, 5, self.now)
        if answered:
            self.kept.append((key, bytes(size), self.now + self.KEEP_S))
        self.kept = [k for k in self.kept if self.now < k[2]]
        while len(self.kept) > self.MOST or sum(len(k[1]) + 5 for k in self.kept) > self.BYTES:
            del self.kept[0]

    @rule(key=keys)
    def end_of_other_work_changes_nothing(self, key: str) -> None:
        self.repeats.end(key, -1, Recorded(about=b"", body=b"wrong"), 0, self.now)

    @rule(seconds=st.sampled_from([0, 1, 5, 9, 10, 11]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=keys)
    def find(self, key: str) -> None:
        found = self.repeats.find(key, b"", self.now)
        if key in self.running:
            assert found == self.running[key]
            return
        live = [body for k, body, until in self.kept if k == key and self.now < until]
        if live:
            assert isinstance(found, Recorded) and found.body == live[0]
        else:
            assert found is None

    @invariant()
    def bounded(self) -> None:
        assert self.repeats.kept_bytes <= self.BYTES
        assert len(self.repeats) <= self.MOST + len(self.running)


TestRepeats = RepeatsMachine.TestCase
