"""Records and prices in C are those in Python, to the byte."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headrace.data.journal import Journal
from headrace.data.segments import records
from headrace.gateway import metering as metering_module
from headrace.gateway.flat_prices import FlatRates
from headrace.gateway.metering import Metering
from headrace.gateway.models import Target
from headrace.gateway.prices import PriceBook
from headrace.gateway.progress import Progress
from headrace.nouns import Call, Caller, Cut, Dialect, Operation, Reserved, Units, Usage

if TYPE_CHECKING:
    from headrace.compiled._steps import Steps


class Service:
    """What a backend sells as."""

    def __init__(self, provider: str, priced_as: str | None) -> None:
        self.provider = provider
        self.priced_as = priced_as


class Clock:
    """A clock that stands still, as far as metering asks it."""

    @staticmethod
    def time_ns() -> int:
        return 1_764_500_000_123_456_789

    @staticmethod
    def time() -> float:
        return 1_764_500_000.5


@pytest.fixture(autouse=True, scope="module")
def standing_clock() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metering_module, "time", Clock)
        yield


ODD = ["", 'a "b"', "a\\b", "na\u00efve", "\x00", "\x7f", "line\n", "\ud7ff", "\u65e5\u672c"]
NAMES = st.sampled_from(["gpt-4o", "a", "x" * 300, "team red"] * 40 + ODD)
"""Mostly plain: a single odd text leaves a record to Python."""
MAYBE = st.none() | NAMES
COUNTS = st.sampled_from([0, 0, 1, 17, 10**6] * 20 + [2**62, 2**63, 2**70])
TARGETS = st.builds(
    Target,
    NAMES,
    st.builds(Service, st.sampled_from(["openai", "anthropic", "nobody"]),
              st.sampled_from(["gpt-4o", "o3", "claude-sonnet-4-5", "", None])),
    st.none(),
    MAYBE,
    MAYBE,
)  # fmt: skip
CALLERS = st.builds(
    Caller, NAMES, MAYBE, MAYBE, NAMES,
    tags=st.lists(st.tuples(NAMES, NAMES), max_size=3).map(tuple),
)  # fmt: skip
CALLS = st.builds(
    Call,
    NAMES,
    st.sampled_from(Dialect),
    st.sampled_from(Operation),
    NAMES,
    MAYBE,
    st.binary(max_size=30),
    st.booleans(),
    st.booleans(),
    CALLERS,
    st.floats(0, 1e6),
    reserved=st.none()
    | st.builds(Reserved, COUNTS, st.none() | COUNTS, st.none() | COUNTS),
    cut=st.sampled_from([None, None, None, Cut(1, 5)]),
)  # fmt: skip
USAGES = st.builds(
    Usage,
    COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS,
    st.sampled_from(["upstream", "estimated", "none"]),
    st.just(0) | COUNTS,
    st.sampled_from([None, None, None, Units(images=1)]),
)  # fmt: skip
PROGRESSES = st.builds(
    Progress,
    status=st.sampled_from([200, 499, 503]),
    finish=st.sampled_from(["complete", "refused", "client_gone"]),
    target=st.none() | TARGETS | TARGETS,
    attempts=st.integers(0, 9),
    first_content_at=st.none() | st.floats(0, 1e6),
    usage=st.none() | USAGES | USAGES,
    cost_microusd=st.none() | COUNTS,
    priced=st.booleans(),
    number=st.integers(0, 3),
    answered_by=st.sampled_from(["", "cache", "message"]),
    saved_microusd=COUNTS,
    cache_tier=st.sampled_from([None, "exact"]),
    reason=MAYBE,
    sent_upstream=st.sampled_from([True, True, False]),
)


class World:
    """Metering with a journal of its own."""

    def __init__(self, folder: Path, steps: Any) -> None:
        self.folder = folder
        self.journal = Journal(folder, window_bytes=64 * 1024)
        self.metering = Metering(self.journal, PriceBook.shipped(), steps)

    def written(self) -> bytes:
        """Without the head, which names the run."""
        self.journal.close()
        [path] = self.folder.iterdir()
        return path.read_bytes().partition(b"\n")[2]


STEPS = st.lists(
    st.tuples(CALLS, PROGRESSES, USAGES, TARGETS, st.floats(0, 1e6)), min_size=1, max_size=6
)


@given(STEPS)
def test_they_are_those_in_python(steps: Steps, calls: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        by_c, by_python = World(Path(one), steps), World(Path(other), None)
        for call, progress, usage, target, now in calls:
            ended = []
            for world in (by_c, by_python):
                mine = replace(progress)
                world.metering.intend(call, target, mine)
                before = mine.number
                world.metering.price(call, mine)
                row = world.metering.settle(call, mine, usage, now)
                ended.append((row, before, mine.cost_microusd, mine.priced))
            assert ended[0] == ended[1]
        assert by_c.written() == by_python.written()


RATE = st.integers(0, 50) | st.integers(0, 2**62)
TOKENS = st.integers(0, 60) | st.integers(0, 10**13)


@given(
    st.builds(FlatRates, RATE, RATE, RATE, RATE, st.integers(-50, 50), st.integers(1, 10**6)),
    st.builds(Usage, TOKENS, TOKENS, TOKENS, TOKENS, cache_write_tokens=st.sampled_from([0, 0, 7])),
)
def test_a_price_is_that_in_python(steps: Steps, flat: FlatRates, usage: Usage) -> None:
    """Cached and reasoning tokens may be more than there were in all: an upstream may say so."""
    book, progress = PriceBook.shipped(), progress_of(usage)
    book.flat["openai", "gpt-4o"] = flat
    if steps.price(book.flat, CALL, progress):
        assert progress.cost_microusd == book.cost_microusd("openai", "gpt-4o", usage)
        assert usage.cache_write_tokens == 0
    else:
        assert progress == progress_of(usage)
        cost = book.cost_microusd("openai", "gpt-4o", usage)
        assert usage.cache_write_tokens or (cost is not None and not 0 < cost <= 10**15)


CALLER = Caller("key-1", "alice", "red", tags=(("env", "prod"), ("app", "shop")))
CALL = Call(
    "req-1", Dialect.OPENAI, Operation.CHAT, "m", "m", b"{}", False, False, CALLER, 5.0,
    reserved=Reserved(10, 20, 30),
)  # fmt: skip
TARGET = Target("up", cast(Any, Service("openai", "gpt-4o")), cast(Any, None), "eu", "gpt-4o-2024")
USAGE = Usage(100, 50, 40, 10)


def progress_of(usage: Usage | None = USAGE) -> Progress:
    return Progress(200, "complete", TARGET, 1, usage=usage, sent_upstream=True)


def test_usual_calls_go_by_c(steps: Steps, tmp_path: Path) -> None:
    """Else the test above would say nothing. Each says whether it did all of its step."""
    world, progress = World(tmp_path, steps), progress_of()
    world.metering.price(CALL, progress_of())  # the price is looked up
    world.metering.intend(CALL, TARGET, progress_of())  # pages of the journal are made
    assert steps.intend(world.journal, CALL, TARGET, progress, 7)
    assert progress.number == 2
    assert steps.price(world.metering._prices.flat, CALL, progress)
    assert progress.priced
    row = steps.settle(world.journal, CALL, progress, USAGE, "v", 8, 6.5)
    assert row is not None
    assert (row.cost_microusd, row.latency_us, row.number) == (progress.cost_microusd, 1_500_000, 2)
    world.journal.close()
    _, intent, settled = records(tmp_path)
    assert settled == row
    assert intent.tags == CALLER.tags


def test_what_is_unusual_is_left_alone(steps: Steps, tmp_path: Path) -> None:
    """Nothing is written or changed then."""
    journal = Journal(tmp_path)
    start, progress = journal._at, progress_of()
    odd = replace(CALL, model="naïve")
    assert not steps.intend(journal, odd, TARGET, progress, 7)
    assert steps.settle(journal, odd, progress, USAGE, "v", 8, 6.5) is None
    assert steps.settle(journal, replace(CALL, cut=Cut(1, 2)), progress, USAGE, "v", 8, 6.5) is None
    long = replace(CALL, model="m" * 5000)
    assert not steps.intend(journal, long, TARGET, progress, 7)
    assert not steps.price({}, CALL, progress)
    assert (journal._at, journal.next_seq, progress) == (start, 1, progress_of())


def test_a_full_window_is_left_to_python(steps: Steps, tmp_path: Path) -> None:
    """Lines go on in the next window and the next file, none twice."""
    journal = Journal(tmp_path, segment_bytes=128 * 1024, window_bytes=64 * 1024)
    metering, by_c = Metering(journal, PriceBook.shipped(), steps), 0
    for _ in range(600):
        before, progress = journal.next_seq, progress_of()
        by_c += steps.intend(journal, CALL, TARGET, progress, 7)
        if journal.next_seq == before:
            metering.intend(CALL, TARGET, progress)
        metering.settle(CALL, progress, USAGE, 6.5)
    journal.close()
    assert [record.seq for record in records(tmp_path)] == list(range(1, 1201))
    assert 500 < by_c < 600


def test_other_objects_are_refused(steps: Steps, tmp_path: Path) -> None:
    """No field is read of what is no such object."""
    journal: Any = Journal(tmp_path)
    thing: Any = msgspec.Raw(b"1")
    assert not steps.intend(thing, CALL, TARGET, progress_of(), 7)
    assert not steps.intend(journal, thing, TARGET, progress_of(), 7)
    assert not steps.intend(journal, CALL, thing, progress_of(), 7)
    assert not steps.intend(journal, CALL, TARGET, thing, 7)
    assert steps.settle(journal, CALL, thing, USAGE, "v", 8, 6.5) is None
    assert steps.settle(journal, CALL, progress_of(), thing, "v", 8, 6.5) is None
    assert not steps.price(thing, CALL, progress_of())
    assert not steps.admit(thing, thing, thing, thing, None, 1, 1.0, 1.0)
    with pytest.raises(TypeError, match="arguments are needed"):
        steps.price()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="needed"):
        type(steps)(Call=Call)
    with pytest.raises(TypeError, match="no plain field"):
        type(steps)(Call=Looked)


class Looked:
    """Its id is no field, but looked up."""

    @property
    def id(self) -> str:
        return ""


def test_nothing_is_kept_for_ever(steps: Steps, tmp_path: Path) -> None:
    """Every object that a step makes or takes is given back."""
    metering = World(tmp_path, steps).metering

    def calls(count: int) -> int:
        for _ in range(count):
            progress = progress_of()
            metering.intend(CALL, TARGET, progress)
            metering.price(CALL, progress)
            metering.settle(CALL, progress, USAGE, 6.5)
            metering.settle(CALL, replace(progress, reason="na\u00efve"), USAGE, 6.5)
        gc.collect()
        return sys.getallocatedblocks()

    gc.collect()
    references = [sys.getrefcount(one) for one in (CALL, TARGET, USAGE, CALLER)]
    before = calls(200)
    assert calls(2000) - before < 200
    assert [sys.getrefcount(one) for one in (CALL, TARGET, USAGE, CALLER)] == references
