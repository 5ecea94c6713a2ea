"""What every answer of the console has, and who sees what."""

from __future__ import annotations

import pytest

from console.world import HOSTILE, World
from headrace.console.page import BASE
from headrace.console.templating import Assets, Templates


def test_every_answer_forbids_what_pages_do_not_need(world: World) -> None:
    person, stranger = world.person("admin"), world.stranger()
    for answer in (
        stranger.look("/console/sign-in"),
        stranger.look("/console/nothing"),
        stranger.look(Assets().url("console.css")),
        person.look("/console/"),
        person.http.post("/console/sign-out", data={}),
    ):
        policy = answer.headers["content-security-policy"]
        for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'",
                     "frame-ancestors 'none'", "form-action 'self'"):  # fmt: skip
            assert part in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "style=" not in answer.text
        assert "<script>" not in answer.text


def test_pages_are_not_stored_and_files_are(world: World) -> None:
    assert world.person("admin").look("/console/").headers["cache-control"] == "no-store"
    answer = world.stranger().look(Assets().url("console.js"))
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-type"].startswith("text/javascript")
    assert world.stranger().look(f"{BASE}/static/..%2fapp.py").status_code == 404


def test_it_answers_to_its_own_names_alone(world: World) -> None:
    answer = world.stranger().look("/console/sign-in", host="evil.example")
    assert answer.status_code == 400
    assert "admin.hosts" in answer.text


def test_whoever_is_for_one_tenant_sees_its_figures_alone(world: World) -> None:
    person = world.person("acme")
    page = person.look("/console/").text
    assert "data-live=" not in page
    assert ">small<" in page and ">large<" not in page
    assert person.look("/console/live").status_code == 403
    everything = world.person("viewer").look("/console/").text
    assert "data-live=" in everything
    assert ">small<" in everything and ">large<" in everything


@pytest.mark.parametrize("template", ["fault.html", "sign_in.html"])
def test_what_others_wrote_is_text(template: str) -> None:
    templates = Templates(Assets())
    page = templates.render(template, status=404, message=HOSTILE, request_id=HOSTILE,
                            csrf=HOSTILE, fault=HOSTILE, next=f'"{HOSTILE}',
                            base="", providers=[HOSTILE])  # fmt: skip
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
