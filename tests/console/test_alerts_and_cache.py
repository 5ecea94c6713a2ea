"""What is watched is shown, and the cache is explained and emptied by those who may."""

from __future__ import annotations

import time

from console.world import HOSTILE, World, until
from headrace.console.pages.alerts import figure
from headrace.console.pages.cache import curve
from headrace.gateway.cache.operating import Point
from headrace.gateway.telemetry.alert_board import AlertBoard, AlertLine, write_board


def line(rule: str, subject: str, value: float, since: float | None) -> AlertLine:
    return AlertLine(
        rule=rule, severity="critical", about="Calls that failed", do="See the backends.",
        subject=subject, value=value, in_long=value, threshold=0.05, below=False,
        since_unix_s=since,
    )  # fmt: skip


def test_what_is_an_alert_is_on_top(world: World) -> None:
    person = world.person("viewer")
    assert "No alert just now." in person.look("/console/alerts").text
    lines = [
        line("error-share", HOSTILE, 0.25, time.time() - 90),
        line("error-share", "other", 0.01, None),
    ]
    now = time.time()
    page = shown(world, AlertBoard(at_unix_s=now, lines=lines, told=["ops"]), "Told: ops.")
    assert "1\u202fmin" in page and "25\u202f%" in page
    assert "See the backends." in page
    assert "<script>" not in page
    shown(world, AlertBoard(at_unix_s=now - 500, lines=[], told=[]), "may not run")
    assert world.person("acme").look("/console/alerts").status_code == 403


def shown(world: World, board: AlertBoard, said: str) -> str:
    """The page with this board: the gateway may write its own in between."""
    person, pages = world.person("viewer"), [""]

    def looked() -> bool:
        write_board(world.gateway.folder / ".headrace", board)
        pages.append(person.look("/console/alerts").text)
        return said in pages[-1]

    until(looked)
    return pages[-1]


def test_a_value_is_in_its_own_unit() -> None:
    assert figure(line("latency-p95", "m", 6.5, None), 6.5) == "6.50\u202fs"
    assert figure(line("cost-over-budget", "b", 1.2, None), 1.2) == "120\u202f%"
    assert figure(line("breaker-open", "b", 2, None), 2.0) == "2"
    assert figure(line("groundedness", "m", 3.5, None), 3.5) == "3.50"


def test_the_cache_is_shown_explained_and_emptied(world: World) -> None:
    first = world.call("kept")
    again = world.call("kept")
    assert again.headers["x-headrace-cache"]
    call = again.headers["x-request-id"]
    person = world.person("operator")
    page = person.look("/console/cache").text
    assert "1 same" in page
    page = person.look(f"/console/cache?call={call}").text
    assert first.headers["x-request-id"] in page
    assert "remembers a decision" in person.look("/console/cache?call=nothing-of-it").text
    refused = person.post("/console/cache/purge")
    assert refused.status_code == 400 and "tick" in refused.text
    assert person.post("/console/cache/purge", all="yes").status_code == 303
    assert "Dropped: 1 answer." in person.look("/console/cache").text
    judged = person.post("/console/cache/judge", asked=HOSTILE, kept="b")
    assert judged.status_code == 404
    assert "semantic" in judged.text and "<script>" not in judged.text


def test_a_viewer_sees_no_words_of_clients(world: World) -> None:
    viewer = world.person("viewer")
    page = viewer.look("/console/cache")
    assert page.status_code == 200
    assert "Drop" not in page.text and "Nearest misses" not in page.text
    assert viewer.post("/console/cache/purge", all="yes").status_code == 403
    assert world.person("acme").look("/console/cache").status_code == 403


def test_the_curve_is_of_what_is_remembered() -> None:
    points = [Point(least_score=n / 10, lookups=10, hits=10 - n, wrong_expected=0.1 * (10 - n))
              for n in range(5)]  # fmt: skip
    drawn = curve(points)
    assert drawn is not None and drawn.svg.count("<polyline") == 2
    assert curve([]) is None
