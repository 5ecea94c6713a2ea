"""Calls are found, and one call's story is told."""

from __future__ import annotations

import re

import httpx
import pytest

from console.world import HOSTILE, World, until


@pytest.fixture(scope="module")
def troubled(world: World) -> str:
    """The id of a call whose first attempt failed."""
    world.upstream.script({"status": 500})
    answer = world.call("large")
    assert answer.status_code == 200
    return in_ledger(world, answer)


def in_ledger(world: World, answer: httpx.Response) -> str:
    call = answer.headers["x-request-id"]
    until(lambda: bool(world.api("GET", f"/v1/calls?call={call}")["items"]))
    return str(call)


def listed(text: str) -> list[str]:
    return re.findall(r'href="/console/calls/([A-Za-z0-9-]+)"', text)


def test_calls_are_searched(world: World, troubled: str) -> None:
    person = world.person("viewer")
    every = listed(person.look("/console/calls?period=1").text)
    assert len(every) >= 14 and troubled in every
    assert listed(person.look(f"/console/calls?call={troubled}").text) == [troubled]
    small = listed(person.look("/console/calls?model=small").text)
    large = listed(person.look("/console/calls?model=large").text)
    assert troubled in large and not set(small) & set(large)
    assert len(listed(person.look("/console/calls?status=400").text)) == 1
    assert listed(person.look("/console/calls?status=200&backend=east&user=nobody").text) == []


def test_older_calls_are_a_page_away(world: World) -> None:
    seen: list[str] = []
    after = ""
    while True:
        page = world.api("GET", f"/v1/calls?limit=4{after}")
        seen += [item["call"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(seen) == len(set(seen)) == world.calls_in_ledger()
    times = [item["settled_us"] for item in world.api("GET", "/v1/calls")["items"]]
    assert times == sorted(times, reverse=True)


def test_a_tenant_finds_its_own(world: World, troubled: str) -> None:
    acme = world.person("acme")
    calls = listed(acme.look("/console/calls").text)
    assert len(calls) == 6
    assert troubled not in calls
    assert acme.look(f"/console/calls/{troubled}").status_code == 404
    assert listed(acme.look("/console/calls?tenant=default").text) == []
    page = acme.look(f"/console/calls/{calls[0]}")
    assert page.status_code == 200
    assert "keys for all tenants" in page.text


def test_the_story_of_a_call(world: World, troubled: str) -> None:
    page = world.person("viewer").look(f"/console/calls/{troubled}").text
    assert "asked first" in page and "asked again: ok" in page
    assert page.count("<b>east</b>") >= 2
    assert '<svg class="spans"' in page
    assert "got 200" in page


def test_what_is_not_there_is_told(world: World) -> None:
    person = world.person("viewer")
    answer = person.look("/console/calls/nothing-of-it")
    assert answer.status_code == 404
    assert "last 90 days" in answer.text
    for query in (f"call={HOSTILE}", f"model={HOSTILE}", "status=abc", "after=x", "finish=a-b"):
        answer = person.look(f"/console/calls?{query}")
        assert answer.status_code == (200 if query.startswith("model") else 400)
        assert "<script>" not in answer.text
