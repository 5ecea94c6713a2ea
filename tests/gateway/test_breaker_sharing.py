"""What workers tell each other and whom they believe: several of them, on clocks of their own, over
a line that a test can cut."""

from __future__ import annotations

import os
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from headrace.config.policies import BreakerPolicy
from headrace.gateway.breaker_sharing import BreakerSharing, News
from headrace.gateway.fleet import BackendState, Fleet
from headrace.gateway.health import Outcome, State, Transition

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
STEADY = BreakerPolicy(open_jitter=0.0, slow_start_s=0.001)


class Worker:
    """`offset_s` is what its clock differs by."""

    def __init__(self, town: Town, name: str, offset_s: float) -> None:
        self.town, self.name, self.offset_s = town, name, offset_s
        self.reached = True
        self.fleet = Fleet(Random(1))
        self.fleet.changed = self.changed
        self.sharing = BreakerSharing(self.fleet, name)
        self.told: list[Transition] = []
        for backend in ("a", "b"):
            self.fleet.enlist(backend, breaker=STEADY)

    @property
    def now(self) -> float:
        return self.town.now + self.offset_s

    @property
    def backend(self) -> BackendState:
        return self.fleet["a"]

    @property
    def state(self) -> State:
        return self.backend.breaker.state(self.now)

    def changed(self, backend: BackendState, change: Transition) -> None:
        self.sharing.changed(backend, change, self.now)

    def attempt(self, outcome: Outcome) -> None:
        permit = self.backend.breaker.begin(self.now)
        if permit is not None:
            change = self.backend.breaker.record(permit, outcome, self.now)
            if change is not None:
                self.changed(self.backend, change)

    def trip(self) -> None:
        for _ in range(STEADY.failures_in_a_row):
            self.attempt(Outcome.FAILED)
        assert self.state is State.OPEN

    def recover(self) -> None:
        for _ in range(STEADY.probe_successes):
            self.attempt(Outcome.OK)
        assert self.state is State.CLOSED

    def by_hand(self, verb: str) -> None:
        before, breaker = self.state, self.backend.breaker
        if verb == "isolate":
            breaker.isolate()
        else:
            breaker.restore(self.now)
        self.changed(self.backend, Transition(before, self.state, verb))

    def hear(self, text: bytes, left_ms: int | None = None) -> None:
        heard = self.sharing.heard(text, self.now, left_ms)
        if heard is not None:
            self.told.append(heard[1])

    def connect(self) -> None:
        """What a worker does when it reaches the others: reads, and tells what it knows."""
        self.reached = True
        for news, text, at in self.town.kept.values():
            self.hear(text, news.kept_ms - int((self.town.now - at) * 1000))
        self.sharing.tell_all(self.now)


class Town:
    """Workers, and what a server keeps."""

    def __init__(self, count: int) -> None:
        self.now = 1_000.0
        self.kept: dict[str, tuple[News, bytes, float]] = {}
        offsets = (0.0, 50_000.0, -950.0, 7.0)
        self.workers = [Worker(self, f"w{i}", offsets[i]) for i in range(count)]

    def carry(self) -> int:
        """Until nobody has anything to say. Returns the number of messages."""
        messages = 0
        while True:
            sent = [
                (news, text)
                for worker in self.workers
                if worker.reached
                for news, text in worker.sharing.news(worker.now)
            ]
            if not sent:
                return messages
            for news, text in sent:
                messages += 1
                assert messages < 1_000, "they never come to an end"
                self.kept[news.backend] = (news, text, self.now)
                for other in self.workers:
                    if other.reached:  # the speaker hears itself too
                        other.hear(text)

    def states(self) -> list[State]:
        return [worker.state for worker in self.workers]


def test_one_trips_and_all_know_then_one_probe_brings_it_back_for_all() -> None:
    town = Town(3)
    one, other, third = town.workers
    one.trip()
    assert town.carry() == 1
    assert town.states() == [State.OPEN] * 3
    assert [t.why for t in other.told] == ["failures in a row, as another worker said"]
    assert one.told == []
    town.now += 5.1
    assert town.states() == [State.HALF_OPEN] * 3
    other.recover()
    assert town.carry() == 1
    assert town.states() == [State.CLOSED] * 3
    assert third.told[-1].after is State.CLOSED


def test_a_failed_probe_spares_the_others_theirs() -> None:
    town = Town(2)
    one, _other = town.workers
    one.trip()
    town.carry()
    town.now += 5.1
    one.attempt(Outcome.FAILED)
    town.carry()
    town.now += 9.0
    assert town.states() == [State.OPEN] * 2
    town.now += 1.1
    assert town.states() == [State.HALF_OPEN] * 2


def test_the_time_out_of_others_is_longer_by_chance_never_shorter() -> None:
    town = Town(2)
    jittery = BreakerPolicy(open_jitter=0.2)
    one, _other = town.workers
    for worker in town.workers:
        worker.fleet.enlist("a", breaker=jittery)
    one.trip()
    town.carry()
    mine, theirs = (w.backend.breaker.export(w.now).open_s for w in town.workers)
    assert mine < theirs <= mine * 1.2


def test_a_pause_is_shared_and_ends_for_all() -> None:
    town = Town(2)
    one, other = town.workers
    one.backend.breaker.pause(20.0, one.now)
    one.changed(one.backend, Transition(State.CLOSED, State.CLOSED, "throttled"))
    town.carry()
    availability = other.backend.breaker.available(other.now)
    assert (availability.ok, availability.why) == (False, "throttled")
    town.now += 20.1
    assert other.backend.breaker.available(other.now).ok


def test_what_was_said_before_is_as_old_as_it_is() -> None:
    town = Town(2)
    one, late = town.workers
    late.reached = False
    one.trip()
    town.carry()
    town.now += 2.0
    late.connect()
    assert late.state is State.OPEN
    assert late.backend.breaker.export(late.now).open_s == pytest.approx(3.0, abs=0.01)
    town.now += 60.0
    later = Town(1).workers[0]
    later.town.now = town.now
    news, text, at = town.kept["a"]
    later.hear(text, news.kept_ms - int((town.now - at) * 1000))
    assert later.state is State.CLOSED  # the time out is long over


@pytest.mark.parametrize("first", ["isolate", "restore"])
def test_a_persons_word_holds_against_what_others_saw(first: str) -> None:
    town = Town(3)
    one, other, _third = town.workers
    one.by_hand("isolate")
    if first == "restore":
        town.carry()
        one.by_hand("restore")
    other.trip() if other.state is State.CLOSED else None  # it has not heard yet
    town.carry()
    expected = State.ISOLATED if first == "isolate" else State.CLOSED
    if first == "isolate":
        assert town.states() == [expected] * 3
    else:
        assert State.ISOLATED not in town.states()


def test_a_restored_backend_is_closed_for_all_and_its_pause_is_over() -> None:
    town = Town(2)
    one, other = town.workers
    one.backend.breaker.pause(100.0, one.now)
    one.changed(one.backend, Transition(State.CLOSED, State.CLOSED, "throttled"))
    town.carry()
    town.now += 1.0
    other.by_hand("restore")
    town.carry()
    assert all(w.backend.breaker.available(w.now).ok for w in town.workers)


def test_isolation_and_restoring_while_apart() -> None:
    town = Town(3)
    one, other, _third = town.workers
    one.by_hand("isolate")
    town.carry()
    other.reached = False
    one.by_hand("restore")
    town.carry()
    assert town.states() == [State.CLOSED, State.ISOLATED, State.CLOSED]
    town.now += 3_600.0
    other.connect()
    town.carry()
    assert town.states() == [State.CLOSED] * 3


def test_a_server_that_lost_all_is_told_again() -> None:
    town = Town(2)
    one, _other = town.workers
    one.by_hand("isolate")
    town.carry()
    town.kept.clear()
    for worker in town.workers:
        worker.connect()
    town.carry()
    new = Worker(town, "new", 3.0)
    town.workers.append(new)
    new.connect()
    assert new.state is State.ISOLATED


def test_one_that_is_cut_off_from_a_provider_is_not_believed_for_long() -> None:
    """It fails all the time where the other's probes succeed: twice, then each goes its own way."""
    town = Town(2)
    sick, well = town.workers
    outages = 0
    for _ in range(20):
        if sick.state is State.CLOSED:
            sick.trip()
        else:
            sick.attempt(Outcome.FAILED)
        town.carry()
        if well.state is State.OPEN:
            outages += 1
        town.now += 21.0
        if well.state is State.HALF_OPEN:
            well.recover()
        town.carry()
    assert outages <= 4
    assert well.state is State.CLOSED
    well.by_hand("isolate")  # a person is believed all the same
    town.carry()
    assert sick.state is State.ISOLATED


def test_an_outage_that_ends_at_once_makes_no_distrust() -> None:
    town = Town(2)
    one, other = town.workers
    one.trip()
    town.carry()
    town.now += 5.1
    other.recover()
    town.carry()
    town.now += 1_000.0
    one.trip()
    town.carry()
    assert other.state is State.OPEN


def test_unknown_backends_and_junk_are_passed_over() -> None:
    town = Town(2)
    one, other = town.workers
    one.fleet.enlist("c", breaker=STEADY)
    one.fleet["c"].breaker.isolate()
    one.changed(one.fleet["c"], Transition(State.CLOSED, State.ISOLATED, "isolate"))
    town.carry()
    assert other.told == []
    for junk in (b"", b"\xff", b"[]", b'{"sender": 1}', b'{"sender":"x","backend":"a"}'):
        with pytest.raises(ValueError, match="not a breaker's state"):
            other.hear(junk)
    assert other.state is State.CLOSED


def test_nothing_is_told_twice_nor_told_on() -> None:
    town = Town(4)
    town.workers[0].trip()
    assert town.carry() == 1
    assert town.carry() == 0
    town.workers[1].by_hand("isolate")
    town.workers[1].by_hand("restore")
    assert town.carry() == 1  # the last of it


DOINGS = st.tuples(
    st.integers(0, 3),
    st.sampled_from(
        ["isolate", "restore", "fail", "ok", "cut", "connect", "carry", "wait", "forget"]
    ),
)


@settings(max_examples=2_000 if SOAK else 150, deadline=None)
@given(st.lists(DOINGS, max_size=60))
def test_all_agree_on_what_persons_said_once_they_reach_each_other(
    doings: list[tuple[int, str]],
) -> None:
    town = Town(4)
    for who, what in doings:
        worker = town.workers[who]
        match what:
            case "isolate" | "restore":
                worker.by_hand(what)
            case "fail" | "ok":
                for _ in range(5):
                    worker.attempt(Outcome.FAILED if what == "fail" else Outcome.OK)
            case "cut":
                worker.reached = False
            case "connect":
                worker.connect()
            case "carry":
                town.carry()
            case "wait":
                town.now += 7.0
            case "forget":
                town.kept.clear()
    for worker in town.workers:
        worker.connect()
    town.carry()
    isolated = {state is State.ISOLATED for state in town.states()}
    assert len(isolated) == 1
    assert len({worker.backend.breaker.export(worker.now).hand for worker in town.workers}) == 1
