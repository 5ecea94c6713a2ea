"""The plan of one call: its rules one by one, and its bounds whatever backends do."""

from __future__ import annotations

import os
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from headrace.config.policies import BalancePolicy, ConcurrencyPolicy, RetryPolicy
from headrace.errors import Reason, Refused
from headrace.gateway.failure import Failure, Kind
from headrace.gateway.fleet import Fleet, Route
from headrace.gateway.health import Outcome, State, Transition
from headrace.gateway.plan import CallPlan
from headrace.gateway.steps import GiveUp, Go, Move, Step, Wait

SOAK = os.environ.get("HEADRACE_SOAK") == "1"
REFUSED = Refused(Reason.UPSTREAM_FAILED, "test")
FAULTS = [Kind.SERVER, Kind.UNREACHABLE, Kind.SLOW, Kind.CUT]


def failure(kind: Kind, retry_after_s: float | None = None) -> Failure:
    return Failure(kind, REFUSED, retry_after_s)


class House:
    """A fleet, a route and plans on them, at a time that the test sets."""

    def __init__(
        self,
        *tiers: str,
        windows: dict[str, int] | None = None,
        wider: str = "",
        retry: RetryPolicy | None = None,
        balance: BalancePolicy | None = None,
        concurrency: ConcurrencyPolicy | None = None,
    ) -> None:
        self.now = 1000.0
        self.changes: list[tuple[str, Transition]] = []
        self.fleet = Fleet(Random(5), None, lambda b, t: self.changes.append((b.name, t)))
        for name in "".join(tiers) + wider:
            self.fleet.enlist(name, concurrency=concurrency)
        self.route = Route(
            self.fleet,
            [list(tier) for tier in tiers],
            retry=retry,
            windows=windows,
            wider=list(wider),
            balance=balance,
        )

    def plan(self, seconds: float = 60.0, session: bytes | None = None) -> CallPlan:
        return CallPlan(
            self.fleet, self.route, self.now, self.now + seconds, stream=True, session=session
        )

    def ask(self, plan: CallPlan, last: Failure | None = None) -> Step:
        return plan.next(self.now, last)

    def go(self, plan: CallPlan, kind: Kind | None = None, hint_s: float | None = None) -> Go:
        """The next step, which must be an attempt."""
        step = self.ask(plan, None if kind is None else failure(kind, hint_s))
        assert isinstance(step, Go), step
        return step

    def wait(self, plan: CallPlan, kind: Kind | None, hint_s: float | None = None) -> float:
        """The next step, which must be a wait; it is waited for."""
        step = self.ask(plan, None if kind is None else failure(kind, hint_s))
        assert isinstance(step, Wait), step
        self.now += step.seconds
        return step.seconds

    def gives_up(self, plan: CallPlan, kind: Kind | None, hint_s: float | None = None) -> GiveUp:
        step = self.ask(plan, None if kind is None else failure(kind, hint_s))
        assert isinstance(step, GiveUp), step
        return step

    def open(self, name: str) -> None:
        for _ in range(5):
            permit = self.fleet[name].breaker.begin(self.now)
            assert permit is not None
            self.fleet[name].breaker.record(permit, Outcome.FAILED, self.now)

    def succeed(self, plan: CallPlan, ttft_s: float = 0.2) -> None:
        self.now += ttft_s
        plan.first_token(self.now)
        plan.ended(self.now)


def test_a_call_that_succeeds_leaves_nothing_behind() -> None:
    house = House("abcd")
    plan = house.plan()
    go = house.go(plan)
    assert go.move is Move.FIRST
    assert go.backend.load.running == 1
    house.succeed(plan)
    plan.cancelled(house.now)
    assert go.backend.load.running == 0
    [told] = plan.decisions()
    assert (told.did, told.backend, told.why) == ("first", go.backend.name, "ok")
    assert plan.attempts == 1


@pytest.mark.parametrize("kind", FAULTS)
def test_another_backend_is_asked_at_once(kind: Kind) -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan)
    second = house.go(plan, kind)
    assert second.move is Move.FAILOVER
    assert second.backend is not first.backend
    house.succeed(plan)
    assert [d.why for d in plan.decisions()] == [kind.value, "ok"]
    assert first.backend.failure_share(house.now) == 1.0


def test_a_stale_connection_is_repeated_at_once_and_once_and_is_no_fault_of_the_backend() -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan)
    backend = first.backend
    again = house.go(plan, Kind.STALE)
    assert (again.backend, again.move) == (backend, Move.RETRY)
    assert backend.failure_share(house.now) == 0.0
    assert backend.budget.tokens(house.now) == house.fleet.budget.tokens(house.now) == 9.0
    other = house.go(plan, Kind.STALE)
    assert (other.backend is backend, other.move) == (False, Move.FAILOVER)
    house.succeed(plan)
    assert plan.attempts == 3
    assert [d.why for d in plan.decisions()] == ["stale", "stale", "ok"]


def test_a_stale_connection_is_not_repeated_past_the_bounds() -> None:
    house = House("a")
    while house.fleet.budget.take(house.now):
        pass
    plan = house.plan()
    house.go(plan)
    assert house.gives_up(plan, Kind.STALE).refused is REFUSED
    house = House("a", retry=RetryPolicy(attempts=1))
    plan = house.plan()
    house.go(plan)
    assert house.gives_up(plan, Kind.STALE).why == "no attempts left"


def test_a_stale_connection_takes_no_attempt_from_a_later_tier() -> None:
    house = House("a", "b", "c")
    plan = house.plan()
    house.go(plan)
    house.wait(plan, Kind.SERVER)
    house.go(plan)
    assert house.go(plan, Kind.SERVER).backend.name == "b"
    assert house.go(plan, Kind.STALE).backend.name == "c"


def test_a_kept_connection_that_breaks_late_was_not_stale() -> None:
    """The backend had the request, and failed."""
    house = House("ab")
    plan = house.plan()
    first = house.go(plan)
    house.now += 5.0
    assert house.go(plan, Kind.STALE).backend is not first.backend
    assert first.backend.failure_share(house.now) == 1.0
    house.succeed(plan)
    assert [d.why for d in plan.decisions()] == ["unreachable", "ok"]


def test_a_server_error_is_repeated_before_the_next_tier_and_others_are_not() -> None:
    house = House("a", "b")
    plan = house.plan()
    house.go(plan)
    assert 0.0 <= house.wait(plan, Kind.SERVER) <= 1.0
    again = house.go(plan)
    assert (again.backend.name, again.move) == ("a", Move.RETRY)
    assert house.go(plan, Kind.SERVER).backend.name == "b"

    other = house.plan()
    assert house.go(other).backend.name == "a"
    assert house.go(other, Kind.UNREACHABLE).backend.name == "b"


def test_repeating_leaves_an_attempt_for_each_later_tier() -> None:
    """Found by simulation: A, A, B, B, and C was well."""
    house = House("a", "b", "c")
    plan = house.plan()
    asked = [house.go(plan).backend.name]
    house.wait(plan, Kind.SERVER)
    asked.append(house.go(plan).backend.name)
    asked += [house.go(plan, Kind.SERVER).backend.name for _ in range(2)]
    assert asked == ["a", "a", "b", "c"]
    assert house.gives_up(plan, Kind.SERVER).why == "no attempts left"


def test_a_lone_backend_is_asked_twice() -> None:
    house = House("a")
    plan = house.plan()
    house.go(plan)
    house.wait(plan, Kind.CUT)
    assert house.go(plan).move is Move.RETRY
    given = house.gives_up(plan, Kind.CUT)
    assert given.refused is REFUSED


def test_four_attempts_over_everything() -> None:
    house = House("abc", "def")
    plan = house.plan()
    house.go(plan)
    for _ in range(3):
        house.go(plan, Kind.UNREACHABLE)
    assert house.gives_up(plan, Kind.UNREACHABLE).why == "no attempts left"


def test_backoff_doubles_and_is_short_for_a_failed_connection() -> None:
    most = {Kind.SERVER: 0.0, Kind.UNREACHABLE: 0.0}
    for kind in most:
        for _ in range(200):
            house = House("a")
            house.fleet.rng.seed(_)
            plan = house.plan()
            house.go(plan)
            most[kind] = max(most[kind], house.wait(plan, kind))
    assert 0.9 < most[Kind.SERVER] <= 1.0
    assert 0.09 < most[Kind.UNREACHABLE] <= 0.1

    seen = 0.0
    for seed in range(200):
        house = House("a", retry=RetryPolicy(attempts_per_backend=4))
        house.fleet.rng.seed(seed)
        plan = house.plan()
        house.go(plan)
        waits = []
        for _ in range(3):
            waits.append(house.wait(plan, Kind.SERVER))
            house.go(plan)
        assert waits[1] <= 2.0
        assert waits[2] <= 4.0
        seen = max(seen, waits[2])
    assert seen > 3.5


@pytest.mark.parametrize("kind", [Kind.REJECTED, Kind.FILTERED])
def test_a_request_at_fault_is_not_retried_and_counts_against_nobody(kind: Kind) -> None:
    house = House("ab", "c")
    for _ in range(50):
        plan = house.plan()
        go = house.go(plan)
        given = house.gives_up(plan, kind)
        assert given.retry_after_s is None
        assert given.refused is REFUSED
        assert go.backend.failure_share(house.now) == 0.0
        assert go.backend.breaker.state(house.now) is State.CLOSED
    assert house.fleet.budget.tokens(house.now) == 10.0


def test_too_long_goes_to_a_larger_window_only() -> None:
    house = House("ab", "c", windows={"a": 8_000, "b": 8_000, "c": 4_000, "w": 128_000}, wider="w")
    plan = house.plan()
    house.go(plan)
    go = house.go(plan, Kind.CONTEXT)
    assert (go.backend.name, go.move) == ("w", Move.CONTEXT_FALLBACK)
    assert house.gives_up(plan, Kind.CONTEXT).retry_after_s is None
    assert {d.why for d in plan.decisions() if d.did == "skipped"} == {
        "its context window is not larger"
    }


def test_too_long_without_declared_windows_is_told() -> None:
    house = House("ab", wider="w")
    plan = house.plan()
    house.go(plan)
    assert house.gives_up(plan, Kind.CONTEXT).refused is REFUSED


def test_wider_backends_are_not_asked_otherwise() -> None:
    house = House("a", windows={"a": 1, "w": 2}, wider="w")
    house.open("a")
    assert house.gives_up(house.plan(), None).refused is None


def test_no_such_model_is_counted_and_another_is_asked() -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan)
    house.go(plan, Kind.NO_SUCH_MODEL)
    assert first.backend.misconfigured == 1
    assert first.backend.breaker.state(house.now) is State.CLOSED


def test_money_spent_is_out_for_a_quarter_of_an_hour() -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan).backend
    assert house.go(plan, Kind.SPENT, 1.0).backend is not first
    assert first.breaker.available(house.now).why == "spent"
    house.now += 899.0
    assert not first.breaker.available(house.now).ok
    house.now += 1.0
    assert first.breaker.available(house.now).ok
    assert [(n, t.why) for n, t in house.changes] == [(first.name, "spent")]


def test_a_refused_credential_opens_and_is_told() -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan).backend
    house.go(plan, Kind.DENIED)
    assert first.breaker.state(house.now) is State.OPEN
    assert [(n, t.why) for n, t in house.changes] == [(first.name, "denied")]


def test_busy_here_goes_elsewhere_and_is_no_failure() -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan).backend
    assert house.go(plan, Kind.BUSY_HERE).backend is not first
    assert first.failure_share(house.now) == 0.0
    given = house.gives_up(plan, Kind.BUSY_HERE)
    assert given.retry_after_s == 1.0


# --- when the upstream asks to be left alone


@pytest.mark.parametrize("hint_s", [1.0, 30.0, 120.0])
def test_a_throttled_backend_is_left_alone_until_then(hint_s: float) -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan).backend
    assert house.go(plan, Kind.THROTTLED, hint_s).backend is not first
    house.succeed(plan)
    until = house.now + hint_s - 0.2
    while house.now < until - 0.01:
        later = house.plan()
        assert house.go(later).backend is not first
        house.succeed(later, 0.001)
        house.now += hint_s / 100
    house.now = until
    assert first.breaker.available(house.now).ok
    assert first.breaker.state(house.now) is State.CLOSED


def test_a_short_throttle_is_waited_for_if_there_is_no_other() -> None:
    for seed in range(50):
        house = House("a")
        house.fleet.rng.seed(seed)
        plan = house.plan()
        house.go(plan)
        began = house.now
        assert 3.0005 <= house.wait(plan, Kind.THROTTLED, 3.0) <= 3.31
        assert house.go(plan).move is Move.RETRY
        assert house.now - began >= 3.0


@pytest.mark.parametrize(("hint_s", "left_s"), [(120.0, 600.0), (10.5, 600.0), (9.0, 8.0)])
def test_a_long_throttle_is_not_waited_for(hint_s: float, left_s: float) -> None:
    house = House("a")
    plan = house.plan(left_s)
    house.go(plan)
    given = house.gives_up(plan, Kind.THROTTLED, hint_s)
    assert given.retry_after_s == pytest.approx(hint_s)


def test_a_wait_ends_a_little_late_so_that_no_timer_is_early() -> None:
    house = House("a", retry=RetryPolicy(wait_jitter=0.0))
    plan = house.plan()
    house.go(plan)
    assert house.wait(plan, Kind.THROTTLED, 3.0) == pytest.approx(3.001)


def test_calls_that_come_while_it_is_throttled_wait_too() -> None:
    house = House("a")
    plan = house.plan()
    house.go(plan)
    house.ask(plan, failure(Kind.THROTTLED, 2.0))
    for _ in range(20):
        other = house.plan()
        step = house.ask(other)
        assert isinstance(step, Wait)
        assert step.seconds >= 2.0
    house.now += 2.3
    assert house.go(other).move is Move.FIRST


def test_a_503_with_retry_after_is_obeyed_too() -> None:
    house = House("a")
    plan = house.plan()
    house.go(plan)
    assert house.wait(plan, Kind.SERVER, 5.0) >= 5.0


# --- deadlines


def test_no_retry_that_could_not_be_answered_in_time() -> None:
    house = House("ab")
    for backend in ("a", "b"):
        house.fleet[backend].load.stream.observe(2.0, house.now)
    plan = house.plan(3.0)
    house.go(plan)
    house.now += 1.5
    given = house.gives_up(plan, Kind.SLOW)
    assert given.why == "no backend can be asked"
    assert "too little time left" in {d.why for d in plan.decisions()}


def test_nothing_starts_after_the_deadline() -> None:
    house = House("ab")
    plan = house.plan(0.0)
    assert house.gives_up(plan, None).why == "no time left"


# --- what keeps a storm away


def test_a_hop_into_a_failing_backend_costs_and_into_an_open_one_never_happens() -> None:
    house = House("a", "b")
    backend = house.fleet["b"]
    for i in range(9):
        permit = backend.breaker.begin(house.now)
        assert permit is not None
        backend.breaker.record(permit, Outcome.FAILED if i == 4 else Outcome.OK, house.now)
    hops = 0
    for _ in range(20):
        plan = house.plan()
        assert house.go(plan).backend.name == "a"
        step = house.ask(plan, failure(Kind.NO_SUCH_MODEL))
        hops += isinstance(step, Go)
        plan.cancelled(house.now)
    assert hops == 10  # what the gateway's budget held
    house.open("b")
    plan = house.plan()
    house.go(plan)
    assert house.gives_up(plan, Kind.NO_SUCH_MODEL).refused is REFUSED


def test_a_retry_on_the_same_backend_takes_from_both_budgets() -> None:
    house = House("a")
    own, gateway = house.fleet["a"].budget, house.fleet.budget
    plan = house.plan()
    house.go(plan)
    house.ask(plan, failure(Kind.SERVER))
    assert own.tokens(house.now) == gateway.tokens(house.now) == 9.0
    for empty in (own, gateway):
        while empty.take(house.now):
            pass
        plan = house.plan()
        house.go(plan)
        assert house.gives_up(plan, Kind.CUT).refused is REFUSED
        assert "the retry budget is spent" in {d.why for d in plan.decisions()}
        house.fleet["a"].breaker.restore(house.now)
        house.now += 100.0
        assert empty.tokens(house.now) == 10.0


def test_after_a_wait_in_vain_the_other_is_asked_without_a_pause() -> None:
    """It has had the one that it asked for, so that nobody waits for nothing."""
    house = House("ab")
    plan = house.plan()
    first = house.go(plan).backend
    second = house.go(plan, Kind.THROTTLED, 3.0).backend
    assert second is not first
    house.wait(plan, Kind.THROTTLED, 3.0)
    waited_for = house.go(plan).backend
    last = house.go(plan, Kind.THROTTLED, 3.0)
    assert (last.backend is waited_for, last.move) == (False, Move.RETRY)
    assert house.now < 1003.4
    assert house.gives_up(plan, Kind.THROTTLED, 3.0).why == "no attempts left"


def test_a_call_that_waited_and_is_refused_again_waits_no_more() -> None:
    house = House("ab")
    for name in "ab":
        house.fleet[name].breaker.pause(3.0, house.now)
    plan = house.plan()
    house.wait(plan, None)
    house.go(plan)
    house.go(plan, Kind.THROTTLED, 3.0)
    given = house.gives_up(plan, Kind.THROTTLED, 3.0)
    assert house.now < 1003.4
    assert given.retry_after_s == pytest.approx(3.0)


def test_a_retry_after_a_throttle_costs_too() -> None:
    house = House("a")
    while house.fleet.budget.take(house.now):
        pass
    plan = house.plan()
    house.go(plan)
    assert isinstance(house.ask(plan, failure(Kind.THROTTLED, 1.0)), GiveUp)
    assert isinstance(house.ask(house.plan()), Wait)  # its first attempt, no retry


def test_a_call_waits_three_times_at_most() -> None:
    house = House("a")
    plan = house.plan(600.0)
    for _ in range(3):
        house.fleet["a"].breaker.pause(2.0, house.now)
        house.wait(plan, None)
    house.fleet["a"].breaker.pause(2.0, house.now)
    assert house.gives_up(plan, None).why == "no backend can be asked"


def test_success_fills_both_budgets() -> None:
    house = House("a")
    own, gateway = house.fleet["a"].budget, house.fleet.budget
    while own.take(house.now) and gateway.take(house.now):
        pass
    plan = house.plan()
    house.go(plan)
    house.succeed(plan, 0.0)
    assert own.tokens(house.now) == pytest.approx(0.2)
    assert gateway.tokens(house.now) == pytest.approx(0.2)


def test_a_429_and_many_errors_lower_the_limit_on_running_calls() -> None:
    house = House("ab")
    plan = house.plan()
    first = house.go(plan).backend
    house.go(plan, Kind.THROTTLED, 1.0)
    assert first.limit.ceiling == 4
    slow = House("a")
    for _ in range(12):
        plan = slow.plan()
        slow.go(plan)
        slow.succeed(plan, 11.0)
        if not slow.fleet["a"].breaker.plain:
            break
    assert slow.fleet["a"].limit.ceiling == 4
    failing = House("a", retry=RetryPolicy(attempts=1))
    for _ in range(4):
        for _ in range(4):
            plan = failing.plan()
            failing.go(plan)
            failing.gives_up(plan, Kind.SERVER)
        failing.fleet["a"].breaker.restore(failing.now)
    assert failing.fleet["a"].limit.ceiling == 4


def test_a_free_hop_costs_nothing() -> None:
    house = House("a", "b")
    for _ in range(100):
        plan = house.plan()
        house.go(plan)
        assert house.go(plan, Kind.NO_SUCH_MODEL).backend.name == "b"
        house.succeed(plan, 0.01)
    assert house.fleet.budget.tokens(house.now) == 10.0


def test_when_all_are_open_nothing_is_asked() -> None:
    house = House("ab", "c")
    for name in "abc":
        house.open(name)
    given = house.gives_up(house.plan(), None)
    assert given.refused is None
    assert given.retry_after_s is not None
    assert 4.0 <= given.retry_after_s <= 6.0


def test_one_call_probes_and_the_others_go_elsewhere() -> None:
    house = House("ab")
    house.open("a")
    house.now += 6.1
    probes = [house.go(house.plan()).move for _ in range(10)]
    assert probes.count(Move.PROBE) == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_next_call_probes_however_slow_it_was(seed: int) -> None:
    house = House("ab")
    house.fleet.rng.seed(seed)
    house.fleet["a"].load.stream.observe(50.0, house.now)
    house.fleet["b"].load.stream.observe(0.1, house.now)
    house.open("a")
    house.now += 6.1
    assert house.go(house.plan()).move is Move.PROBE


def test_a_cancelled_probe_frees_its_place() -> None:
    house = House("a")
    house.open("a")
    house.now += 6.1
    plan = house.plan()
    assert house.go(plan).move is Move.PROBE
    plan.cancelled(house.now)
    plan.cancelled(house.now)
    assert house.fleet["a"].load.running == 0
    assert isinstance(house.ask(house.plan()), GiveUp)  # who leaves at once may come again at once
    house.now += 6.1
    assert house.go(house.plan()).move is Move.PROBE


def test_a_probe_that_was_never_sent_costs_the_next_call_no_time() -> None:
    """The journal's disk was full: the backend was out for five seconds more, though well."""
    house = House("a")
    house.open("a")
    house.now += 6.1
    plan = house.plan()
    assert house.go(plan).move is Move.PROBE
    plan.broke(house.now)
    plan.cancelled(house.now)
    assert house.fleet["a"].load.running == 0
    assert house.go(house.plan()).move is Move.PROBE


def test_a_full_limit_sends_calls_elsewhere_and_then_away() -> None:
    house = House("a", "b", concurrency=ConcurrencyPolicy(start=4))
    names = [house.go(house.plan()).backend.name for _ in range(8)]
    assert names == ["a"] * 4 + ["b"] * 4
    given = house.gives_up(house.plan(), None)
    assert given.retry_after_s == 1.0


def test_a_session_stays_on_its_backend_and_moves_only_while_it_is_out() -> None:
    house = House("abcd")

    def home() -> str:
        plan = house.plan(session=b"s1")
        name = house.go(plan).backend.name
        house.succeed(plan, 0.01)
        return name

    usual = home()
    assert {home() for _ in range(20)} == {usual}
    house.fleet[usual].breaker.pause(10.0, house.now)
    assert usual not in {home() for _ in range(20)}
    house.now += 10.0
    assert home() == usual


def test_misuse_is_told() -> None:
    house = House("a")
    plan = house.plan()
    with pytest.raises(ValueError, match="running attempt"):
        plan.next(house.now, failure(Kind.SERVER))
    house.go(plan)
    with pytest.raises(ValueError, match="running attempt"):
        plan.next(house.now)


def test_a_reload_keeps_what_is_known() -> None:
    house = House("ab")
    house.open("a")
    assert house.fleet.enlist("a") is house.fleet["a"]
    assert house.fleet["a"].breaker.state(house.now) is State.OPEN
    house.fleet.retain(["a"])
    assert "b" not in house.fleet


# --- whatever happens


class Calls(RuleBasedStateMachine):
    """Several calls at once on a small fleet; backends do what they like."""

    @initialize(
        seed=st.integers(0, 10_000),
        tiers=st.sampled_from([("a",), ("ab",), ("a", "b"), ("ab", "cd"), ("a", "b", "c", "d")]),
    )
    def begin(self, seed: int, tiers: tuple[str, ...]) -> None:
        windows = {"a": 8_000, "b": 16_000, "c": 4_000, "w": 64_000}
        self.house = House(*tiers, windows=windows, wider="w")
        self.house.fleet.rng.seed(seed)
        self.names = "".join(tiers) + "w"
        self.plans: list[tuple[CallPlan, list[str], float]] = []
        self.waiting: list[tuple[CallPlan, list[str], float, float]] = []
        self.left_alone: dict[str, float] = {}

    def take(self, plan: CallPlan, asked: list[str], deadline: float, step: Step) -> None:
        now = self.house.now
        match step:
            case Go():
                name = step.backend.name
                asked.append(name)
                assert len(asked) <= 4
                assert asked.count(name) <= 2
                assert now < deadline
                assert now >= self.left_alone.get(name, 0.0)
                assert step.backend.breaker.state(now) is not State.OPEN
                assert step.permit.probe is (step.backend.breaker.state(now) is State.HALF_OPEN)
                assert plan.attempts == len(asked)
                self.plans.append((plan, asked, deadline))
            case Wait(seconds=seconds):
                assert now + seconds <= deadline
                assert seconds <= 11.1
                self.waiting.append((plan, asked, deadline, now + seconds))
            case GiveUp():
                self.end(plan)

    def end(self, plan: CallPlan) -> None:
        told = plan.decisions()
        assert told
        assert [d.at_s for d in told] == sorted(d.at_s for d in told)
        assert all(d.at_s == round(d.at_s, 6) for d in told)

    @rule(seconds=st.sampled_from([1.0, 5.0, 30.0, 60.0]), times=st.integers(1, 5))
    def a_call_comes(self, seconds: float, times: int) -> None:
        for _ in range(times):
            plan = self.house.plan(seconds)
            self.take(plan, [], self.house.now + seconds, self.house.ask(plan))

    @precondition(lambda self: self.plans)
    @rule(
        which=st.integers(0, 50),
        times=st.integers(1, 5),
        kind=st.sampled_from([*Kind, *FAULTS, *FAULTS]),
        hint_s=st.none() | st.sampled_from([0.5, 3.0, 9.9, 120.0]),
    )
    def it_fails(self, which: int, times: int, kind: Kind, hint_s: float | None) -> None:
        for _ in range(min(times, len(self.plans))):
            plan, asked, deadline = self.plans.pop(which % len(self.plans))
            if kind is Kind.THROTTLED or (kind in FAULTS and hint_s is not None):
                until = self.house.now + (1.0 if hint_s is None else hint_s)
                self.left_alone[asked[-1]] = max(self.left_alone.get(asked[-1], 0.0), until)
            elif kind is Kind.SPENT:
                self.left_alone[asked[-1]] = self.house.now + 900.0
            step = plan.next(self.house.now, failure(kind, hint_s))
            if kind in (Kind.REJECTED, Kind.FILTERED):
                assert isinstance(step, GiveUp)
            self.take(plan, asked, deadline, step)

    @precondition(lambda self: self.plans)
    @rule(which=st.integers(0, 50), end=st.sampled_from(["ok", "ok", "ok", "broke", "cancelled"]))
    def it_ends(self, which: int, end: str) -> None:
        plan, _, _ = self.plans.pop(which % len(self.plans))
        if end != "cancelled":
            plan.first_token(self.house.now)
        if end == "ok":
            plan.ended(self.house.now)
        elif end == "broke":
            plan.broke(self.house.now)
        plan.cancelled(self.house.now)
        self.end(plan)

    @rule(by=st.floats(0.0, 3.0) | st.sampled_from([10.0, 70.0]))
    def time_goes_on(self, by: float) -> None:
        self.house.now += by
        due = [w for w in self.waiting if w[3] <= self.house.now]
        self.waiting = [w for w in self.waiting if w[3] > self.house.now]
        for plan, asked, deadline, _ in due:
            self.take(plan, asked, deadline, self.house.ask(plan))

    @rule(name=st.sampled_from("abcd"), by=st.sampled_from(["isolate", "restore"]))
    def a_person_intervenes(self, name: str, by: str) -> None:
        if name not in self.names:
            return
        breaker = self.house.fleet[name].breaker
        if by == "isolate":
            breaker.isolate()
        else:
            breaker.restore(self.house.now)
            self.left_alone.pop(name, None)

    @invariant()
    def running_calls_are_counted(self) -> None:
        if not hasattr(self, "house"):
            return
        for name in self.names:
            running = sum(asked[-1] == name for _, asked, _ in self.plans)
            assert self.house.fleet[name].load.running == running


Calls.TestCase.settings = settings(
    max_examples=2_000 if SOAK else 40,
    stateful_step_count=80 if SOAK else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestCalls = Calls.TestCase
