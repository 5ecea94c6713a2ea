"""Calls are found, and one call's story is told."""

from __future__ import annotations

import html
import json
import re
import subprocess

import httpx
import pytest

from console.world import ENV, HOSTILE, World, until
from support.commands import run


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
    rejected = listed(person.look("/console/calls?ended=upstream_rejected").text)
    assert rejected == listed(person.look("/console/calls?ended=refused&status=400").text) != []
    assert listed(person.look("/console/calls?status=200&backend=east&user=nobody").text) == []


def test_calls_are_found_by_the_name_of_their_key(world: World) -> None:
    made = [world.api("POST", "/v1/keys", {"name": name}) for name in ("kiosk", "twin", "twin")]
    url = f"{world.gateway.url}/chat/completions"
    headers = {"authorization": f"Bearer {made[0]['secret']}"}
    body = {"model": "large", "messages": [{"role": "user", "content": "hello"}]}

    def called() -> httpx.Response:
        return httpx.post(url, json=body, headers=headers, timeout=30)

    until(lambda: called().status_code == 200)  # the worker knows of the key
    call = in_ledger(world, called())
    person = world.person("operator")
    page = person.look("/console/calls?key=kiosk")
    assert call in listed(page.text)
    assert "<td>kiosk" in page.text
    assert listed(person.look(f"/console/calls?key={made[0]['key']['id']}").text) == listed(
        page.text
    )
    assert f">kiosk</a> ({made[0]['key']['id']})" in person.look(f"/console/calls/{call}").text

    def told(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(arguments, world.gateway.folder, ENV)

    label = f"kiosk ({made[0]['key']['id']})"
    assert label in person.look("/console/usage?by=key&key=kiosk").text
    used = told("usage", "--by", "key", "--where", "key=kiosk")
    assert label in used.stdout, used.stderr
    (row,) = json.loads(told("usage", "--by", "key", "--where", "key=kiosk", "--json").stdout)
    assert row["key"] == made[0]["key"]["id"]
    twins = told("usage", "--where", "key=twin")
    assert twins.returncode == 2
    assert made[1]["key"]["id"] in twins.stderr
    several = person.look("/console/calls?key=twin")
    assert several.status_code == 400
    assert all(one["key"]["id"] in several.text for one in made[1:])
    world.api("POST", f"/v1/keys/{made[1]['key']['id']}/revoke")
    marked = f"{made[1]['key']['id']} (revoked)"
    twins = told("usage", "--where", "key=twin")
    assert twins.returncode == 2 and marked in twins.stderr
    assert marked in person.look("/console/calls?key=twin").text


def test_what_was_searched_for_wrongly_stays_in_the_form(world: World) -> None:
    answer = world.person("viewer").look("/console/calls?model=large&ended=a-b")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert 'name="model" value="large"' in answer.text


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


def test_a_refusal_is_told_in_the_clients_words(world: World) -> None:
    answer = world.call("larg")
    said = answer.json()["error"]["message"].partition(" (request id")[0]
    page = world.person("viewer").look(f"/console/calls/{in_ledger(world, answer)}").text
    assert f"refused: {said}" in html.unescape(page)
    assert "No backend was asked" not in page


def test_what_is_not_there_is_told(world: World) -> None:
    person = world.person("viewer")
    answer = person.look("/console/calls/nothing-of-it")
    assert answer.status_code == 404
    assert "last 90 days" in answer.text
    for query in (f"call={HOSTILE}", f"model={HOSTILE}", "status=abc", "after=x", "ended=a-b"):
        answer = person.look(f"/console/calls?{query}")
        assert answer.status_code == (200 if query.startswith("model") else 400)
        assert "<script>" not in answer.text
