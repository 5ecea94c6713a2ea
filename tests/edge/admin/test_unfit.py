"""What the admin API says to a body or a query that does not fit, through its port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.admin_thread import AdminThread, admin_thread

KEY = "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"
PER = "gateway, ip, key, model, team, tenant or user"


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminThread]:
    with admin_thread(tmp_path_factory.mktemp("admin"), KEY) as thread:
        yield thread


def budget(**members: Any) -> dict[str, Any]:
    return {"budgets": [{"per": "key", "usd": 5, "every": "day"} | members]}


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"tenat": "acme"}, "tenat", "There is no member `tenat` in the body. Did you mean `tena"),
        ({"zzz": 1}, "zzz", "in the body. Known here: budgets, expires, ip_ranges, limits, mode"),
        ({"z" * 99: 1}, None, "There is no member of this name in the body. Known here: budgets,"),
        (budget(evry="day"), "budgets[0].evry", "in `budgets[0]`. Did you mean `every`?"),
        (
            {"budgets": [{"usd": 5}]},
            "budgets[0].per",
            f"`budgets[0].per` is missing: write {PER}, or a list, each item {PER}.",
        ),
        ({"expires": "soon"}, "expires", 'write a day or an instant in quotes, such as `"2030-'),
        (budget(usd="lots"), "budgets[0].usd", "write an amount of US dollars such as `50` or"),
        (budget(every="fortnight"), "budgets[0].every", "does not fit: write day, month or week."),
        (
            {"limits": [{"per": "key", "requests": 0}]},
            "limits[0].requests",
            "a whole number from 1",
        ),
        ({"limits": {"requests": 5}}, "limits", "`limits` does not fit: write a list of objects."),
        ({"limits": ["requests"]}, "limits[0]", "does not fit: write an object."),
        ({"models": "gpt-4o"}, "models", "write a list, each item a name of letters, digits"),
        ({"priority": None}, "priority", "does not fit: write batch, critical or normal."),
        ({"tags": {"a b": "c"}}, "tags", "A name in `tags` does not fit: write a name of letter"),
        ({"tags": {"a": 5}}, "tags[...]", "write a word of letters, digits, blanks and"),
        ({"ip_ranges": ["here"]}, "ip_ranges[0]", "write an address or a range such as `10.0.0.0"),
    ],
)
def test_a_body_is_told_which_member_and_what_to_write(
    admin: AdminThread, body: dict[str, Any], param: str | None, said: str
) -> None:
    error = refused(admin.ask("POST", "/v1/keys", KEY, {"name": "shop"} | body))
    assert (error["param"], said in error["message"]) == (param, True), error


def test_what_is_no_object_is_told(admin: AdminThread) -> None:
    error = refused(admin.ask("POST", "/v1/keys", KEY, []))
    assert (error["param"], error["message"].startswith("The body does not fit: write an obj")) == (
        None, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "param", "said"),
    [
        ("/v1/calls?modle=x", "modle", "no parameter `modle` in the query. Did you mean `model`?"),
        ("/v1/calls?since=soon", "since", "write a day or an instant, such as `2030-12-31` or"),
        ("/v1/calls?call=x", "call", "write a call's id, as its `x-request-id` is."),
        ("/v1/calls?status=9", "status", "write a whole number from 100 to 599."),
        ("/v1/calls?model=", "model", "`model` does not fit: it is empty."),
        ("/v1/calls?after=x", "after", "write the `next` of the page before."),
        ("/v1/usage?by=A+B", "by", "such as `team,model` or `tag:env`."),
        ("/v1/keys?limit=many", "limit", "write a whole number from 1 to 500."),
    ],
)
def test_so_is_a_query(admin: AdminThread, path: str, param: str, said: str) -> None:
    error = refused(admin.ask("GET", path, KEY))
    assert (error["param"], said in error["message"]) == (param, True), error


def refused(answer: Any) -> dict[str, Any]:
    """Its error, which has nothing of a checker's own words and carries its id."""
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert error["request_id"] in error["message"]
    for word in ("Expected", "Object", "regex", "enum", "^"):
        assert word not in error["message"]
    return error
