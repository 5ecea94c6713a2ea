"""Backends are taken out and brought back by those who may."""

from __future__ import annotations

import json
import re

from console.world import World, until
from headrace.console.pages.backends import joined


def state_of(world: World, name: str) -> str:
    (told,) = [one for one in world.api("GET", "/v1/backends") if one["name"] == name]
    return str(told["state"])


def test_an_operator_takes_one_out_and_brings_it_back(world: World) -> None:
    person = world.person("operator")
    assert "Take out west" in person.look("/console/backends").text
    done = person.post("/console/backends/isolate", backend="west")
    assert (done.status_code, done.headers["location"]) == (303, "/console/backends")
    assert state_of(world, "west") == "isolated"
    page = person.look("/console/backends").text
    assert "west is taken out in 1 worker." in page
    assert "west is taken out" not in person.look("/console/backends").text, "told once"
    person.post("/console/backends/restore", backend="west")
    until(lambda: state_of(world, "west") != "isolated")
    trail = (world.gateway.folder / ".headrace" / "audit.jsonl").read_text()
    assert trail.index('"backends.isolate"') < trail.index('"backends.restore"')


def test_live_figures_are_not_older_than_the_page(world: World) -> None:
    """They would say that what was just taken out is still in use."""
    person = world.person("operator")
    with person.http.stream("GET", "/console/live") as stream:
        lines = stream.iter_lines()
        next(line for line in lines if line.startswith("data: "))  # from before
        person.post("/console/backends/isolate", backend="west")
        page = person.look("/console/backends").text
        place = re.search(r'data-at="([0-9.]+)"', page)
        assert place is not None
        at = 0.0
        for line in lines:
            if line.startswith("id: "):
                at = float(line.removeprefix("id: "))
            if line.startswith("data: ") and at >= float(place[1]):
                break
    assert ">isolated<" in json.loads(line.removeprefix("data: "))["backend west"]
    person.post("/console/backends/restore", backend="west")
    until(lambda: state_of(world, "west") != "isolated")


def test_others_see_no_button_and_are_refused(world: World) -> None:
    viewer, acme = world.person("viewer"), world.person("acme")
    page = viewer.look("/console/backends")
    assert page.status_code == 200
    assert "Take out" not in page.text
    answer = viewer.post("/console/backends/isolate", backend="west")
    assert answer.status_code == 403
    assert "operator" in answer.text
    assert acme.look("/console/backends").status_code == 403
    assert "/console/backends" not in acme.look("/console/").text
    assert acme.post("/console/backends/isolate", backend="west").status_code == 403
    assert state_of(world, "west") != "isolated"


def test_a_backend_that_is_not_there_is_told_on_the_page(world: World) -> None:
    answer = world.person("operator").post("/console/backends/isolate", backend="<script>")
    assert answer.status_code == 404
    assert 'role="alert"' in answer.text
    assert "<script>" not in answer.text


def test_workers_are_joined() -> None:
    one = {"name": "a", "state": "open", "may_be_asked": False, "why": "failing", "in_s": 4.0,
           "running": 1, "limit": 8.0, "failure_share": None}  # fmt: skip
    other = {**one, "state": "closed", "may_be_asked": True, "in_s": None, "failure_share": 0.2}
    (backend,) = joined([one, other])
    assert backend.now.state == "mixed"
    assert backend.now.states == {"open": 1, "closed": 1}
    assert (backend.now.running, backend.now.limit, backend.now.failure_share) == (2, 16.0, 0.2)
    assert (backend.why, backend.in_s) == ("failing", 4.0)
