"""Chat with models by the gateway's own port, and what it cost."""

from __future__ import annotations

import json

import httpx
import pytest
from playwright.sync_api import Browser as Chromium

from console.test_browser import check_access, pictured, tab_of
from console.world import ENV, HOSTILE, Person, World, until

HELLO = json.dumps([{"role": "user", "content": "hello"}])


def asked(person: Person, model: str, messages: str = HELLO) -> httpx.Response:
    return person.http.post(
        "/console/playground/ask",
        data={"model": model, "messages": messages},
        headers={"x-csrf-token": person.csrf, "sec-fetch-dest": "empty"},
    )


def test_two_models_answer_beside_each_other(chromium: Chromium, world: World) -> None:
    world.upstream.script({"text": HOSTILE}, times=1, model="large")
    with tab_of(chromium, world, "operator", "light", "desk") as tab:
        tab.goto("/console/playground")
        check_access(tab, "playground without a key")
        tab.click("text=Make one for")
        tab.select_option("#model-left", "large")
        tab.select_option("#model-right", "small")
        tab.fill("#prompt", "hello")
        tab.press("#prompt", "Control+Enter")
        for side in ("left", "right"):
            tab.wait_for_selector(f"#said-{side} .facts a")
            assert tab.text_content(f"#said-{side} .theirs")
            assert "$0.00" in (tab.text_content(f"#said-{side} .facts") or "")
        pictured(tab, "playground-light-desk")
        check_access(tab, "playground")
        tab.click("#said-left .facts a")
        tab.wait_for_selector("text=As the ledger has it")
        tab.goto("/console/playground")
        tab.click("text=Use another key")
        tab.wait_for_selector("#key")


def test_calls_are_those_of_the_key_that_is_given(world: World) -> None:
    person = world.person("viewer")
    page = person.look("/console/playground").text
    assert "Make one for" not in page
    assert person.post("/console/playground/new-key").status_code == 403
    assert asked(person, "large").status_code == 400
    wrong = person.post("/console/playground/key", key="hr_wrong")
    assert wrong.status_code == 400
    assert 'role="alert"' in wrong.text and "hr_wrong" not in wrong.text
    assert "not as it was given out" in wrong.text and "request id" not in wrong.text
    assert wrong.headers["x-request-id"] in wrong.text
    assert person.post("/console/playground/key", key=ENV["SHOP_KEY"]).status_code == 303
    page = person.look("/console/playground").text
    assert ENV["SHOP_KEY"] not in page
    assert "<option>large</option>" in page
    answer = asked(person, "large")
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("data: [DONE]")
    call = answer.headers["x-call"]
    path = f"/console/playground/cost/{call}"
    until(lambda: "cost" in person.look(path, **{"sec-fetch-dest": "empty"}).json())
    assert person.look(path).json()["cost"].startswith("$0.00")
    (row,) = world.api("GET", f"/v1/calls?call={call}")["items"]
    assert (row["key_id"], row["tenant"]) == ("shop", "acme")
    refused = asked(person, "nothing")
    assert refused.status_code == 422
    assert "nothing" in refused.json()["message"]


@pytest.mark.parametrize("messages", ["", "[]", '[{"role": "user"}]', "{}"])
def test_what_is_no_conversation_is_refused(world: World, messages: str) -> None:
    person = world.person("viewer")
    person.post("/console/playground/key", key=ENV["OWN_KEY"])
    assert asked(person, "large", messages).status_code == 400


def test_a_key_for_one_tenant_makes_one_for_that_tenant(world: World) -> None:
    world.api("POST", "/v1/tenants", {"name": "acme"})
    person = world.person("acme")
    done = person.post("/console/playground/new-key")
    assert done.status_code == 303
    (made,) = world.api("GET", "/v1/keys?tenant=acme&name=console-playground")["items"]
    assert made["expires"] is not None
