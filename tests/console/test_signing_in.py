"""Who comes in, for how long, and whose forms count."""

from __future__ import annotations

import httpx
import pytest

from console.world import World, until
from headrace.console.sessions import IDLE_S, LONGEST_S, MOST, Sessions
from headrace.platform.secrets import Secret


def cookie_of(answer: httpx.Response, name: str) -> str:
    (found,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith(f"{name}=")]
    return found.lower()


def test_nobody_sees_a_page_without_signing_in(world: World) -> None:
    stranger = world.stranger()
    answer = stranger.look("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
    answer = stranger.look("/console/?a=b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/sign-in?next=%2Fconsole%2F%3Fa%3Db"
    script = stranger.look("/console/live", **{"sec-fetch-dest": "empty"})
    assert script.status_code == 401
    assert stranger.look("/console/nothing").status_code == 404


def test_a_key_opens_and_signing_out_closes(world: World) -> None:
    person = world.stranger()
    form = person.look("/console/sign-in")
    assert "httponly" in cookie_of(form, "headrace_form")
    answer = person.post("/console/sign-in", credential=world.keys["viewer"], next="/console/?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/?x=1")
    cookie = cookie_of(answer, "headrace_session")
    for word in ("httponly", "samesite=strict", "path=/console", "max-age="):
        assert word in cookie
    assert "secure" not in cookie, "it is served without TLS"
    assert person.look("/console/").status_code == 200
    token = person.http.cookies["headrace_session"]
    assert person.post("/console/sign-out").headers["location"] == "/console/sign-in"
    person.http.cookies.set("headrace_session", token, path="/console")
    assert person.look("/console/").status_code == 303, "the server has forgotten it"


@pytest.mark.parametrize(
    "way", ["https://else.example/", "//else.example", "/v1/keys", "javascript:x"]
)
def test_the_way_back_is_within_the_console(world: World, way: str) -> None:
    person = world.stranger()
    person.look("/console/sign-in")
    answer = person.post("/console/sign-in", credential=world.keys["viewer"], next=way)
    assert answer.headers["location"] == "/console/"


def test_a_wrong_key_is_told_and_audited(world: World) -> None:
    person = world.stranger()
    person.look("/console/sign-in")
    answer = person.post("/console/sign-in", credential="hra_wrong")
    assert answer.status_code == 401
    assert answer.headers["x-request-id"] in answer.text
    assert "headrace_session" not in person.http.cookies
    trail = (world.gateway.folder / ".headrace" / "audit.jsonl").read_text()
    assert "console.sign_in" in trail
    for key in (*world.keys.values(), "hra_wrong"):
        assert key not in trail + (world.gateway.folder / "log.jsonl").read_text()


def test_a_key_that_is_revoked_ends_its_sessions(world: World) -> None:
    made = world.api("POST", "/v1/admin-keys", {"name": "gone", "role": "viewer"})
    person = world.stranger().signed_in(made["secret"])
    world.api("POST", f"/v1/admin-keys/{made['key']['id']}/revoke")
    until(lambda: person.look("/console/").status_code == 303)


def test_a_form_must_be_ours(world: World) -> None:
    person = world.person("viewer")
    right, path = person.csrf, "/console/sign-out"
    for fields in ({"csrf": ""}, {"csrf": "x" * 32}, {"csrf": world.person("viewer").csrf}):
        assert person.http.post(path, data=fields).status_code == 403
    for headers in ({"origin": "https://else.example"}, {"origin": "null"},
                    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):  # fmt: skip
        answer = person.http.post(path, data={"csrf": right}, headers=headers)
        assert answer.status_code == 403
        assert "nothing was done" in answer.text
    assert person.http.post(path, json={"csrf": right}).status_code == 415
    assert person.look("/console/").status_code == 200, "still signed in"
    own = {"origin": world.url, "sec-fetch-site": "same-origin"}
    assert person.http.post(path, data={"csrf": right}, headers=own).status_code == 303


def test_nobody_is_signed_in_by_a_foreign_form(world: World) -> None:
    person = world.stranger()
    fields = {"csrf": "guessed", "credential": world.keys["admin"]}
    answer = person.http.post("/console/sign-in", data=fields)
    assert answer.status_code == 403
    person.look("/console/sign-in")
    headers = {"origin": "https://else.example"}
    fields["csrf"] = person.csrf
    assert person.http.post("/console/sign-in", data=fields, headers=headers).status_code == 403
    assert "headrace_session" not in person.http.cookies


def test_a_session_ends_by_itself() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    idle, used = sessions.begin(Secret("a")), sessions.begin(Secret("b"))
    step = IDLE_S - 1
    while now[0] + step < LONGEST_S:
        now[0] += step
        assert sessions.find(used) is not None
    assert sessions.find(idle) is None
    now[0] = LONGEST_S + 1
    assert sessions.find(used) is None


def test_sessions_are_bounded_and_hard_to_mix_up() -> None:
    sessions = Sessions()
    first = sessions.begin(Secret("first"))
    tokens = {sessions.begin(Secret("more")) for _ in range(MOST)}
    assert len(tokens) == MOST
    assert sessions.find(first) is None
    assert sessions.find(None) is None
    assert sessions.find("") is None
