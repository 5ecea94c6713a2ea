"""A recording is the same answer, for whoever joins and however slowly they read."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import Reason, Refused
from headrace.gateway.follower import Abandoned
from headrace.gateway.progress import Progress
from headrace.gateway.recorded import Recorded, about_of_another
from headrace.gateway.recording import SLICE_BYTES, Recorder, replay
from support.replies import Listener, until

ABOUT = b"x-headrace-backend: a\r\nx-headrace-cost-usd: 0.000100\r\n"
EVENTS = [b"data: %d\n\n" % n for n in range(20)]


def refusal(reason: Reason = Reason.UPSTREAM_BUSY) -> Refused:
    return Refused(reason, "Not now.", retry_after_s=1.0)


async def test_a_direct_reply_gets_the_same_and_it_is_recorded() -> None:
    client = Listener()
    recorder = Recorder(10_000, direct=client)
    recorder.begin(ABOUT)
    for event in EVENTS[:-1]:
        recorder.send(event)
        assert client.sent[-1] == event
    assert recorder.recorded() is None
    recorder.end(EVENTS[-1])
    assert client.about == ABOUT
    assert client.text == b"".join(EVENTS)
    assert recorder.recorded() == Recorded(about=ABOUT, events=tuple(EVENTS))


async def test_a_direct_reply_sets_the_pace() -> None:
    client = Listener()
    recorder = Recorder(10_000, direct=client)
    client.stop_reading()
    assert recorder.congested
    waiting = asyncio.create_task(recorder.drained())
    await asyncio.sleep(0)
    assert not waiting.done()
    client.read_on()
    await waiting
    assert not recorder.congested


async def test_followers_get_the_prefix_and_then_what_comes() -> None:
    recorder = Recorder(10_000)
    early, late, progress = Listener(), Listener(), Progress()
    first = asyncio.create_task(recorder.follow(early, Progress()))
    await until(lambda: recorder.followers == 1)
    recorder.begin(ABOUT)
    for event in EVENTS[:5]:
        recorder.send(event)
    assert early.text == b"".join(EVENTS[:5])
    second = asyncio.create_task(recorder.follow(late, progress, "shared"))
    await until(lambda: recorder.followers == 2)
    assert late.text == b"".join(EVENTS[:5])
    assert progress.finish == "incomplete"
    recorder.send(EVENTS[5])
    assert late.sent[-1] == EVENTS[5]
    recorder.end(EVENTS[6])
    await asyncio.gather(first, second)
    assert early.text == late.text == b"".join(EVENTS[:7])
    assert early.about == ABOUT
    assert late.about == b"x-headrace-backend: a\r\nx-headrace-answered-by: shared\r\n"
    assert (progress.status, progress.finish) == (200, "complete")
    assert progress.first_content_at is not None


async def test_a_slow_follower_does_not_hold_up_the_work_and_gets_all() -> None:
    recorder = Recorder(10_000)
    pace, slow = Listener(), Listener()
    slow.stop_reading()
    tasks = [asyncio.create_task(recorder.follow(r, Progress())) for r in (pace, slow)]
    await until(lambda: recorder.followers == 2)
    recorder.begin(ABOUT)
    for event in EVENTS:
        recorder.send(event)
        assert not recorder.congested
    recorder.end()
    await tasks[0]
    assert slow.text == EVENTS[0]
    slow.read_on()
    await tasks[1]
    assert slow.text == b"".join(EVENTS)


async def test_the_first_follower_sets_the_pace_until_it_leaves() -> None:
    recorder = Recorder(10_000)
    pace, other = Listener(), Listener()
    tasks = [asyncio.create_task(recorder.follow(r, Progress())) for r in (pace, other)]
    await until(lambda: recorder.followers == 2)
    pace.stop_reading()
    recorder.begin(ABOUT)
    recorder.send(EVENTS[0])
    assert bool(recorder.congested)
    working = asyncio.create_task(recorder.drained())
    await asyncio.sleep(0)
    assert not working.done()
    tasks[0].cancel()
    await working
    assert not bool(recorder.congested)
    recorder.end(EVENTS[1])
    await tasks[1]
    assert other.text == b"".join(EVENTS[:2])


async def test_the_work_goes_on_when_the_first_follower_has_read_enough() -> None:
    recorder, client = Recorder(10_000), Listener()
    task = asyncio.create_task(recorder.follow(client, Progress()))
    await until(lambda: recorder.followers == 1)
    client.stop_reading()
    recorder.begin(ABOUT)
    recorder.send(EVENTS[0])
    working = asyncio.create_task(recorder.drained())
    await asyncio.sleep(0)
    assert not working.done()
    client.read_on()
    await working
    recorder.end(EVENTS[1])
    await task
    assert client.text == b"".join(EVENTS[:2])


async def test_a_whole_answer_over_the_limit_is_passed_on_but_not_kept() -> None:
    client = Listener()
    recorder = Recorder(limit_bytes=3, direct=client)
    recorder.whole(b"long", ABOUT)
    assert client.body == b"long"
    assert recorder.recorded() is None and not recorder.joinable


async def test_a_follower_that_falls_behind_the_limit_is_cut_in_band() -> None:
    recorder = Recorder(limit_bytes=30)
    pace, slow, progress = Listener(), Listener(), Progress()
    slow.stop_reading()
    tasks = [
        asyncio.create_task(recorder.follow(pace, Progress())),
        asyncio.create_task(recorder.follow(slow, progress)),
    ]
    await until(lambda: recorder.followers == 2)
    recorder.begin(ABOUT)
    for event in EVENTS:
        recorder.send(event)
    recorder.end()
    await tasks[0]
    assert pace.text == b"".join(EVENTS)
    slow.read_on()
    await tasks[1]
    assert slow.text == EVENTS[0]
    assert slow.refused is not None
    assert slow.refused.reason is Reason.UPSTREAM_INTERRUPTED
    assert progress.finish == "incomplete"
    assert recorder.recorded() is None
    assert not recorder.joinable


async def test_an_answer_over_the_limit_is_passed_on_but_not_kept() -> None:
    client = Listener()
    recorder = Recorder(limit_bytes=30, direct=client)
    recorder.begin(ABOUT)
    for event in EVENTS:
        recorder.send(event)
    assert recorder.events == []
    recorder.end()
    assert client.text == b"".join(EVENTS)
    assert recorder.recorded() is None
    late = Listener()
    await recorder.follow(late, Progress())
    assert late.refused is not None and not late.committed


async def test_a_first_event_over_the_limit_still_reaches_followers() -> None:
    recorder, client = Recorder(limit_bytes=5), Listener()
    task = asyncio.create_task(recorder.follow(client, Progress()))
    await until(lambda: recorder.followers == 1)
    recorder.begin(ABOUT)
    recorder.end(EVENTS[0])
    await task
    assert client.text == EVENTS[0]


async def test_a_long_prefix_is_given_in_slices() -> None:
    recorder = Recorder(10 * SLICE_BYTES)
    recorder.begin(b"")
    for _ in range(8):
        recorder.send(b"x" * (SLICE_BYTES // 2))
    client = Listener()
    client.stop_reading()
    task = asyncio.create_task(recorder.follow(client, Progress()))
    await until(lambda: recorder.followers == 1)
    assert len(client.text) == SLICE_BYTES
    recorder.end()
    client.read_on()
    await task
    assert len(client.text) == 4 * SLICE_BYTES


async def test_a_refusal_reaches_every_follower() -> None:
    recorder, clients = Recorder(100), [Listener(), Listener()]
    progresses = [Progress(), Progress()]
    tasks = [
        asyncio.create_task(recorder.follow(c, p)) for c, p in zip(clients, progresses, strict=True)
    ]
    await until(lambda: recorder.followers == 2)
    assert recorder.refuse(refusal(), ABOUT) == 500
    await asyncio.gather(*tasks)
    for client, progress in zip(clients, progresses, strict=True):
        assert client.refused is not None and client.refused.reason is Reason.UPSTREAM_BUSY
        assert (progress.status, progress.finish) == (500, "refused")
        assert progress.reason == "upstream_busy"
    recorded = recorder.recorded()
    assert recorded is not None and not recorded.complete


async def test_a_refusal_after_the_commit_is_in_band_and_not_kept() -> None:
    recorder, client, progress = Recorder(100), Listener(), Progress()
    task = asyncio.create_task(recorder.follow(client, progress))
    await until(lambda: recorder.followers == 1)
    recorder.begin(ABOUT)
    recorder.send(EVENTS[0])
    assert recorder.refuse(refusal(Reason.UPSTREAM_INTERRUPTED), b"") == 200
    await task
    assert client.text == EVENTS[0] and client.refused is not None
    assert progress.finish == "incomplete"
    assert recorder.recorded() is None


async def test_a_refusal_that_nobody_sees_has_status_499() -> None:
    assert Recorder(100).refuse(refusal(), b"") == 499


async def test_abandoned_work_tells_those_without_content_to_try_again() -> None:
    recorder = Recorder(100)
    fresh = asyncio.create_task(recorder.follow(Listener(), Progress()))
    await until(lambda: recorder.followers == 1)
    recorder.abandon()
    with pytest.raises(Abandoned):
        await fresh


async def test_abandoned_work_breaks_off_a_stream_in_band() -> None:
    recorder, client = Recorder(100), Listener()
    task = asyncio.create_task(recorder.follow(client, Progress()))
    await until(lambda: recorder.followers == 1)
    recorder.begin(ABOUT)
    recorder.send(EVENTS[0])
    recorder.abandon()
    await task
    assert client.refused is not None
    assert client.refused.reason is Reason.UPSTREAM_INTERRUPTED
    assert recorder.recorded() is None


async def test_abandoning_what_has_ended_changes_nothing() -> None:
    recorder = Recorder(100)
    recorder.whole(b"{}", ABOUT)
    recorder.abandon()
    assert recorder.recorded() == Recorded(about=ABOUT, body=b"{}")


async def test_one_followers_fault_is_not_the_others() -> None:
    recorder, broken, sound = Recorder(100), Listener(), Listener()
    broken.fails = True
    tasks = [asyncio.create_task(recorder.follow(r, Progress())) for r in (broken, sound)]
    await until(lambda: recorder.followers == 2)
    recorder.whole(b"{}", ABOUT)
    with pytest.raises(OSError):
        await tasks[0]
    await tasks[1]
    assert sound.body == b"{}"


async def test_an_empty_stream_ends() -> None:
    recorder, client, progress = Recorder(100), Listener(), Progress()
    recorder.begin(ABOUT)
    recorder.end()
    await recorder.follow(client, progress)
    assert client.ended and client.refused is None
    assert progress.finish == "complete"


@pytest.mark.parametrize(
    "recorded",
    [
        Recorded(about=ABOUT, body=b'{"a":1}'),
        Recorded(about=ABOUT, events=tuple(EVENTS)),
        Recorded(about=ABOUT, events=(EVENTS[0],)),
        Recorded(about=ABOUT, refused=refusal()),
    ],
)
async def test_a_replay_is_the_recorded_answer(recorded: Recorded) -> None:
    client, progress = Listener(), Progress()
    await replay(recorded, client, progress, "replay")
    assert client.body == recorded.body
    assert client.text == b"".join(recorded.events)
    assert client.refused is recorded.refused
    assert client.about == about_of_another(ABOUT, "replay")
    assert b"cost" not in client.about
    assert about_of_another(client.about, "cache").count(b"answered-by") == 1
    assert progress.finish == ("complete" if recorded.complete else "refused")


@settings(max_examples=200, deadline=None)
@given(
    events=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=12),
    joins=st.lists(st.integers(0, 12), min_size=1, max_size=4),
    stalls=st.sets(st.tuples(st.integers(0, 3), st.integers(0, 12))),
    limit=st.integers(1, 200),
)
def test_whoever_joins_gets_the_answer_or_is_told_that_it_is_not_whole(
    events: list[bytes], joins: list[int], stalls: set[tuple[int, int]], limit: int
) -> None:
    """Followers join before any event; some read and some stall before any event."""

    async def run() -> None:
        recorder = Recorder(limit)
        clients = [Listener() for _ in joins]
        tasks: list[asyncio.Task[None]] = []
        recorder.begin(ABOUT)
        for n, event in enumerate(events):
            for client, join in zip(clients, joins, strict=True):
                if join == n:
                    tasks.append(asyncio.create_task(recorder.follow(client, Progress())))
            for _ in range(4):
                await asyncio.sleep(0)
            for who, client in enumerate(clients):
                (client.stop_reading if (who, n) in stalls else client.read_on)()
            if n == len(events) - 1:
                recorder.end(event)
            else:
                recorder.send(event)
        for client, join in zip(clients, joins, strict=True):
            client.read_on()
            if join >= len(events):
                tasks.append(asyncio.create_task(recorder.follow(client, Progress())))
        await asyncio.gather(*tasks)
        answer = b"".join(events)
        for client in clients:
            assert client.ended
            if client.refused is None:
                assert client.text == answer
            else:
                assert answer.startswith(client.text)
                assert len(answer) > limit
        recorded = recorder.recorded()
        assert (recorded is not None) == (len(answer) <= limit)

    asyncio.run(run())
