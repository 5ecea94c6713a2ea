"""Alerts in simulated time: they begin and end at their thresholds, once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headrace.config.alerting import Alerts
from headrace.edge.gathering import Gathered
from headrace.gateway.telemetry.history import History
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    BackendNow,
    BudgetNow,
    Counted,
    Flow,
    Moment,
    Scores,
    new_flow,
    total,
)
from headrace.operate.alerting.alerting import board, look_every_s
from headrace.operate.alerting.messages import sentence
from headrace.operate.alerting.prometheus import rules_yaml
from headrace.operate.alerting.rules import ERRORS, RULES, Reading, readings
from headrace.operate.alerting.states import Change, Notice, Watch

STEP_S = 15.0
Told = list[tuple[str, str, str, float]]


class Gateway:
    """One whose calls the test makes up. Told of: change, rule, subject, second."""

    def __init__(self) -> None:
        self.alerts = Alerts()
        self.flow = new_flow("one", "up")
        self.judged = Counted()
        self.moment = Moment()
        self.behind_s = 0.0
        self.now = 1000.0
        self.history = History(self.alerts.long_window_s, 60.0)
        self.watch = Watch(self.alerts.remind_s)

    def live(self, seconds: float, each: Callable[[Flow], None] | None = None) -> Told:
        """Looks every 15 seconds; `each` is done to the flow before each look."""
        told: Told = []
        until = self.now + seconds
        while self.now < until:
            if each is not None:
                each(self.flow)
            self.now += STEP_S
            counted = total([Counted(flows=[self.flow]), self.judged])
            gathered = Gathered(counted, {"w": self.moment}, 0, self.behind_s)
            found = readings(gathered, self.history, self.alerts, self.now)
            for notice in self.watch.take(found, self.now):
                reading = notice.reading
                told.append((notice.change.value, reading.rule.name, reading.subject, self.now))
            self.history.take(counted, self.now)
        return told


def calls(
    good: int, bad: int = 0, took_s: float = 0.2, status: int = 500
) -> Callable[[Flow], None]:
    def each(flow: Flow) -> None:
        flow.statuses[200] = flow.statuses.get(200, 0) + good
        if bad:
            flow.statuses[status] = flow.statuses.get(status, 0) + bad
        index = next(i for i, bound in enumerate(DURATIONS_S) if took_s <= bound)
        flow.durations.counts[index] += good + bad

    return each


@pytest.mark.parametrize("status", [429, 500, 503])
def test_errors_past_their_share_begin_and_end_one_alert(status: int) -> None:
    gateway = Gateway()
    assert gateway.live(3600, calls(100)) == []
    told = gateway.live(3600, calls(90, 10, status=status))  # 10 %
    assert [one[:3] for one in told] == [("begins", "error-share", "one")]
    began = told[0][3] - 4600.0
    assert 1500 < began < 2400, "an hour's share passes 5 % after about half an hour"
    told = gateway.live(7200, calls(100))
    assert [one[:3] for one in told] == [("ends", "error-share", "one")]
    assert told[0][3] - 8200.0 < 900


def test_an_outage_is_told_within_minutes() -> None:
    gateway = Gateway()
    gateway.live(3600, calls(100))
    told = gateway.live(900, calls(0, 100))
    assert [one[:3] for one in told] == [("begins", "error-share", "one")]
    assert told[0][3] - 4600.0 <= 240


@pytest.mark.parametrize(("bad", "told"), [(4, 0), (6, 1)])
def test_the_threshold_is_five_percent(bad: int, told: int) -> None:
    gateway = Gateway()
    assert len(gateway.live(7200, calls(100 - bad, bad))) == told


def test_a_burst_is_no_alert_and_few_calls_say_nothing() -> None:
    gateway = Gateway()
    gateway.live(3600, calls(1000))
    assert gateway.live(60, calls(500, 500)) == []
    assert gateway.live(3600, calls(1000)) == []
    quiet = Gateway()
    assert quiet.live(900, lambda flow: None) == []
    calls(0, 19)(quiet.flow)
    assert quiet.live(30) == []


def test_a_share_around_its_threshold_does_not_flap() -> None:
    gateway = Gateway()
    turns = 0

    def swinging(flow: Flow) -> None:
        nonlocal turns
        turns += 1
        calls(*((93, 7) if turns // 8 % 2 else (96, 4)))(flow)

    assert len(gateway.live(6 * 3600, swinging)) <= 3  # begins, and a reminder after four hours


def test_slow_calls() -> None:
    gateway = Gateway()
    gateway.live(600, calls(100, took_s=4.9))
    assert gateway.watch.firing() == []
    told = gateway.live(3600, calls(100, took_s=7.0))
    assert [one[:3] for one in told] == [("begins", "latency-p95", "one")]


def judged(model: str, count: int, points: float, counted: Counted) -> None:
    scores = counted.scores.setdefault("groundedness", {}).setdefault(model, Scores())
    scores.count += count
    scores.points += count * points


@pytest.mark.parametrize(("points", "told"), [(3.9, 1), (4.0, 0), (4.1, 0)])
def test_groundedness_below_its_mean(points: float, told: int) -> None:
    gateway = Gateway()
    judged("one", 1000, 4.5, gateway.judged)
    assert gateway.live(4000) == [], "scores of long ago say nothing"
    found = gateway.live(3600, lambda _: judged("one", 10, points, gateway.judged))
    assert [one[:3] for one in found] == [("begins", "groundedness-mean", "one")] * told
    if told:
        found = gateway.live(3600, lambda _: judged("one", 10, 4.8, gateway.judged))
        assert [one[:2] for one in found] == [("ends", "groundedness-mean")]


def test_without_scores_or_with_few_groundedness_says_nothing() -> None:
    gateway = Gateway()
    assert gateway.live(3600) == []
    judged("one", 19, 1.0, gateway.judged)
    assert gateway.live(60) == []


@pytest.mark.parametrize(
    ("wrong", "bound", "told"), [(1, 0.01, 0), (5, 0.01, 0), (20, 0.01, 1), (20, 0.5, 0),
                                 (20, None, 0)]
)  # fmt: skip
def test_wrong_hits_of_the_cache_that_are_certain(
    wrong: int, bound: float | None, told: int
) -> None:
    """Of 400 that were checked: 5 are more than 1 %, and may still be chance."""
    gateway = Gateway()
    gateway.moment.most_wrong = bound
    assert gateway.live(600) == []
    gateway.moment.hits_checked, gateway.moment.hits_wrong = 400, wrong
    found = gateway.live(600)
    assert [one[:3] for one in found] == [("begins", "cache-wrong-hits", "cache")] * told
    gateway.moment.hits_checked = 40_000
    assert [one[0] for one in gateway.live(600)] == ["ends"] * told


def test_filtered_calls_count_as_errors() -> None:
    gateway = Gateway()

    def each(flow: Flow) -> None:
        calls(94, 6, status=400)(flow)
        flow.filtered += 6

    assert [one[1] for one in gateway.live(900, each)] == ["error-share"]


def test_redis_that_does_not_answer() -> None:
    gateway = Gateway()
    assert gateway.live(600) == []
    gateway.moment.redis_up = False
    assert gateway.live(15) == []
    assert [one[:3] for one in gateway.live(600)] == [("begins", "redis-away", "redis")]
    gateway.moment.redis_up = True
    assert [one[:2] for one in gateway.live(600)] == [("ends", "redis-away")]


def test_a_breaker_that_stays_open_and_one_that_does_not() -> None:
    gateway = Gateway()
    is_open = BackendNow("up", "open", 0, 10, 1.0)
    gateway.moment.backends = [is_open]
    assert gateway.live(15) == []
    gateway.moment.backends = [BackendNow("up", "closed", 0, 10, 0.0)]
    assert gateway.live(600) == []
    gateway.moment.backends = [is_open]
    assert [one[:3] for one in gateway.live(600)] == [("begins", "breaker-open", "up")]
    gateway.moment.backends = []  # no longer configured
    assert [one[:2] for one in gateway.live(7200)] == [("ends", "breaker-open")]


def test_a_breaker_that_calls_seldom_probe_is_an_alert() -> None:
    """With a call a minute it waits for its next probe at most looks."""
    gateway = Gateway()
    is_open = BackendNow("up", "open", 0, 10, 1.0)
    half = BackendNow("up", "half_open", 0, 10, 0.0)
    gateway.moment.backends = [half]
    assert gateway.live(600) == []
    told: Told = []
    for _ in range(3):
        gateway.moment.backends = [is_open]
        told += gateway.live(15)
        gateway.moment.backends = [half]
        told += gateway.live(45)
    assert [one[:3] for one in told] == [("begins", "breaker-open", "up")]
    gateway.moment.backends = [BackendNow("up", "closed", 0, 10, 0.0)]
    assert [one[:2] for one in gateway.live(600)] == [("ends", "breaker-open")]


@pytest.mark.parametrize(
    ("unit", "rule", "below", "above"),
    [("usd", "cost-over-budget", 1.09, 1.11), ("tokens", "tokens-over-budget", 1.19, 1.21)],
)
def test_budgets(unit: str, rule: str, below: float, above: float) -> None:
    gateway = Gateway()
    gateway.moment.budgets = [BudgetNow("all", unit, below)]
    assert gateway.live(3600) == []
    gateway.moment.budgets = [BudgetNow("all", unit, above)]
    assert [one[:3] for one in gateway.live(3600)] == [("begins", rule, "all")]
    gateway.moment.budgets = [BudgetNow("all", unit, 0.0)]
    assert [one[0] for one in gateway.live(3600)] == ["ends"]


def test_a_ledger_that_is_behind_is_told_again_after_hours() -> None:
    gateway = Gateway()
    gateway.behind_s = 61.0
    told = gateway.live(5 * 3600)
    assert [one[0] for one in told] == ["begins", "lasts"]
    assert told[1][3] - told[0][3] == pytest.approx(gateway.alerts.remind_s, abs=STEP_S)
    assert {change.value for change in Change} == {"begins", "lasts", "ends"}


def test_every_rule_says_what_to_do() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.about
        assert rule.do
    alerts = Alerts()
    over = Reading(ERRORS, "one", 0.7326, 0.1, alerts.error_share)
    assert sentence(Notice(Change.BEGINS, over, 0.0)).endswith(": 73.26 %, threshold 5 % (one).")
    summaries = [line for line in rules_yaml(alerts).splitlines() if "summary" in line]
    assert sum("humanizePercentage" in line for line in summaries) == 4
    assert sum("humanizeDuration" in line for line in summaries) == 2


def test_the_board_says_what_is_an_alert_and_since_when() -> None:
    gateway = Gateway()
    gateway.moment = Moment(backends=[BackendNow("up", "open", 0, 8.0, 1.0)])
    told = gateway.live(300)
    (began,) = [at for change, rule, _, at in told if (change, rule) == ("begins", "breaker-open")]
    gathered = Gathered(Counted(), {"w": gateway.moment}, 0, 0.0)
    seen = list(readings(gathered, gateway.history, gateway.alerts, gateway.now))
    shown = board(seen, gateway.watch, gateway.now, 5_000.0, ["ops"])
    lines = {line.rule: line for line in shown.lines}
    assert lines["breaker-open"].since_unix_s == 5_000.0 - (gateway.now - began)
    assert lines["breaker-open"].subject == "up"
    assert lines["ledger-behind"].since_unix_s is None
    assert shown.told == ["ops"]
    unread = board([], gateway.watch, gateway.now, 5_000.0, [])
    assert [line.rule for line in unread.lines] == ["breaker-open"]
    assert unread.lines[0].since_unix_s == lines["breaker-open"].since_unix_s


@pytest.mark.parametrize(
    ("alerts", "every_s"),
    [
        (Alerts(), 15.0),
        (Alerts(breaker_open_s=600, redis_away_s=600, ledger_behind_s=600), 15.0),
        (Alerts(breaker_open_s=10), 5.0),
        (Alerts(redis_away_s=4), 2.0),
        (Alerts(ledger_behind_s=0.01), 1.0),
    ],
)
def test_looks_are_as_near_as_the_shortest_rule_wants(alerts: Alerts, every_s: float) -> None:
    assert look_every_s(alerts) == every_s
