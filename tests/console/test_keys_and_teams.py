"""Keys, tenants and savings over HTTP: what is done, and for whom it is not."""

from __future__ import annotations

import re

import pytest

from console.world import HOSTILE, World, until
from headrace.allowances import BudgetRule, LimitRule
from headrace.console.rules_text import rules_of, rules_text
from headrace.edge.admin.asked import Refusal

SECRET = re.compile(r'<p class="secret mono">(hr_[^<]+)</p>')


def key_path(page: str) -> str:
    found = re.search(r'href="(/console/keys/[A-Za-z0-9]+)">', page)
    assert found is not None
    return found[1]


def test_a_key_is_made_used_rotated_and_revoked(world: World) -> None:
    world.api("POST", "/v1/tenants/default/teams", {"name": "shop"})
    person = world.person("operator")
    assert "Make a key" in person.look("/console/keys").text
    made = person.post("/console/keys", name="counter", tenant="default", team="shop",
                       models="large, small", requests="600", usd="5", every="day")  # fmt: skip
    assert made.status_code == 200, re.findall(r'role="alert">([^<]+)', made.text)
    secret = SECRET.search(made.text)
    assert secret is not None
    path = key_path(made.text)
    page = person.look(path).text
    assert secret[1] not in page
    assert secret[1] not in person.look("/console/keys?name=counter").text
    assert "&#34;requests&#34;:600" in page and "&#34;usd&#34;:&#34;5&#34;" in page
    id = path.rpartition("/")[2]
    told = world.api("GET", f"/v1/keys/{id}")
    assert (told["team"], told["models"]) == ("shop", ["large", "small"])
    changed = person.post(f"{path}/change", name="counter", team="", models="large",
                          limits='{"per": "key", "concurrent": 3}', budgets="")  # fmt: skip
    assert changed.status_code == 303
    told = world.api("GET", f"/v1/keys/{id}")
    assert (told["team"], told["budgets"]) == (None, [])
    assert told["limits"][0]["concurrent"] == 3
    rotated = SECRET.search(person.post(f"{path}/rotate", grace_s="0").text)
    assert rotated is not None and rotated[1] != secret[1]
    assert person.post(f"{path}/revoke").status_code == 400
    assert world.api("GET", f"/v1/keys/{id}")["state"] == "live"
    assert person.post(f"{path}/revoke", sure="yes").status_code == 303
    assert world.api("GET", f"/v1/keys/{id}")["state"] == "revoked"
    page = person.look(path).text
    assert "is revoked" in page and "/rotate" not in page


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "x", "requests": "many"}, "Requests a minute must be a whole number"),
        ({"name": "x", "requests": "0"}, "Requests a minute does not fit: write a whole number"),
        ({"name": "x", "tokens": "0"}, "Tokens a minute does not fit: write a whole number"),
        ({"name": "", "requests": ""}, "Name does not fit: write a name of letters"),
        ({"name": "x", "models": "one, a b"}, "Models does not fit: write a name of letters"),
        ({"name": "x", "usd": "a lot"}, "Budget in dollars does not fit: write an amount of US"),
        ({"name": "x", "expires": "2030-02-31"}, "expires"),
    ],
)
def test_what_does_not_fit_is_told_and_kept_in_the_form(
    world: World, fields: dict[str, str], told: str
) -> None:
    person = world.person("operator")
    before = len(world.api("GET", "/v1/keys")["items"])
    answer = person.post("/console/keys", tenant="default", **fields)
    assert answer.status_code == 400
    said = re.search(r'role="alert">([^<]+)', answer.text)
    assert said is not None and told in said[1], said
    for name, value in fields.items():
        assert re.search(f'name="{name}"[^>]* value="{value}"', answer.text), name
    assert len(world.api("GET", "/v1/keys")["items"]) == before


def test_roles_decide(world: World) -> None:
    viewer = world.person("viewer")
    page = viewer.look("/console/keys")
    assert page.status_code == 200 and "Make a key" not in page.text
    assert viewer.post("/console/keys", name="no").status_code == 403
    path = f"/console/keys/{world.api('POST', '/v1/keys', {'name': 'seen'})['key']['id']}"
    assert "Rotate" not in viewer.look(path).text
    for verb in ("change", "rotate", "revoke"):
        assert viewer.post(f"{path}/{verb}", sure="yes", name="n").status_code == 403
    assert world.person("acme").look(path).status_code == 404, "another tenant's key"
    operator = world.person("operator")
    assert "Make the tenant" not in operator.look("/console/teams").text
    assert operator.post("/console/teams", name="no").status_code == 403
    csrf, operator.csrf = operator.csrf, "wrong"
    assert operator.post(f"{path}/rotate", grace_s="0").status_code == 403
    operator.csrf = csrf


def test_tenants_teams_and_users(world: World) -> None:
    person = world.person("admin")
    person.look("/console/teams")
    assert person.post("/console/teams", name="mill").headers["location"] == "/console/teams/mill"
    assert person.post("/console/teams", name="mill").status_code == 409
    assert person.post("/console/teams/mill/team", name="wheel").status_code == 303
    assert person.post("/console/teams/mill/user", name="ann", team="wheel").status_code == 303
    assert person.post("/console/teams/mill/cat", name="tom").status_code == 404
    place = "/console/teams/mill/team/wheel"
    rule = '{"per": "team", "usd": "20", "every": "day"}'
    assert person.post(f"{place}/change", models="large", budgets=rule).status_code == 303
    told = world.api("GET", "/v1/tenants/mill/teams/wheel")
    assert (told["models"], told["budgets"][0]["usd"]) == (["large"], "20")
    assert person.post(f"{place}/change", limits="requests: 5").status_code == 400
    assert person.post(f"{place}/suspend").status_code == 303
    assert "suspended" in person.look("/console/teams/mill").text
    assert person.post(f"{place}/resume").status_code == 303
    assert not world.api("GET", "/v1/tenants/mill/teams/wheel")["suspended"]
    assert person.post("/console/teams/mill/tenant/mill/suspend").status_code == 303
    assert world.api("GET", "/v1/tenants/mill")["suspended"]


def test_what_was_written_is_text(world: World) -> None:
    person = world.person("admin")
    for path in ("/console/keys", "/console/teams"):
        page = person.post(path, name=HOSTILE, tenant=f'"{HOSTILE}')
        assert page.status_code == 400
        assert "<script>alert" not in page.text
        assert "&lt;script&gt;" in page.text


def test_savings_are_shown_as_the_api_tells_them(world: World) -> None:
    for _ in range(2):
        world.call("large", content="again", stream=False)
    saved = sum(line["saved_microusd"] for line in world.api("GET", "/v1/savings")["lines"])
    viewer = world.person("viewer")
    page = viewer.look("/console/savings?days=7&by=team").text
    assert "Saved, measured" in page and "By team" in page
    assert saved or "No answer was given a second time" in page
    for _ in range(2):
        world.call("large", "SHOP_KEY", headers={"idempotency-key": "twice"})
    until(lambda: "repeats of a call" in viewer.look("/console/savings").text)
    assert world.person("acme").look("/console/savings?by=model").status_code == 200
    assert viewer.look("/console/savings?by=nothing&days=x").status_code == 200


def test_rules_come_back_as_they_were() -> None:
    rules: list[LimitRule | BudgetRule] = [
        LimitRule(per="key", requests=5),
        BudgetRule(per=["team", "model"], usd="5"),
    ]
    text = rules_text(rules)
    assert text.splitlines()[0] == '{"per":"key","requests":5}'
    back = rules_of({"limits": text + "\n\n"}, "limits")
    assert back == [{"per": "key", "requests": 5}, {"per": ["team", "model"], "usd": "5"}]
    with pytest.raises(Refusal, match="Line 2"):
        rules_of({"limits": '{"per": "key"}\nrequests: 5'}, "limits")
