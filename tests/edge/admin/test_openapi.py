"""The admin API is what its OpenAPI document says: checked by schemathesis on a real port."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from schemathesis import BaseSchema, GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from headrace.edge.admin.route import Route
from headrace.edge.admin.table import routes
from headrace.gateway.administration.wishes import NewAdminKey, NewKey, NewTeam, NewTenant
from support.admin_thread import AdminThread, admin_thread

OWN = "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"
JSON = {"content-type": "application/json"}
KEY = {"authorization": f"Bearer {OWN}"}
EXAMPLES = 200 if os.environ.get("HEADRACE_SOAK") == "1" else 8

NOT_THESE = [ignored_auth, positive_data_acceptance]
"""The first cannot take away a key that it did not add: T21 does that. The second takes a request
that fits the schema for a good one: but days must be in a calendar, time zones exist, ranges have
no bits behind their prefix, and a schema says none of that."""
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminThread]:
    with admin_thread(tmp_path_factory.mktemp("store"), OWN) as made:
        registry = made.registry
        registry.units.create_tenant(registry.by, NewTenant(name="acme"))
        registry.units.create_team(registry.by, "acme", NewTeam(name="red"))
        registry.keys.create(registry.by, NewKey(name="shop", tenant="acme"))
        registry.admin_keys.create(registry.by, NewAdminKey(name="ann", role="viewer"))
        yield made


@pytest.fixture(scope="module")
def api(admin: AdminThread) -> BaseSchema:
    answer = admin.ask("GET", "/openapi.json", OWN)
    assert answer.status_code == 200
    made = schemathesis.openapi.from_dict(answer.json())
    made.config.update(base_url=admin.url)
    return made


@pytest.mark.parametrize("route", routes(), ids=lambda route: route.name)
def test_the_api_is_as_documented(api: BaseSchema, route: Route) -> None:
    """Good and bad requests of all kinds: each answer is one that the document knows."""
    operation = api[route.path][route.method]

    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    @bounded
    def good(case: Any) -> None:
        case.call_and_validate(headers=KEY, excluded_checks=NOT_THESE)

    @given(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    @bounded
    def bad(case: Any) -> None:
        assume(not any(value == [] for value in case.query.values()))  # no such thing is ever sent
        case.call_and_validate(headers=KEY, excluded_checks=NOT_THESE)

    good()
    if "{" in route.path or route.body is not None or route.query is not None:
        bad()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("50", "50"),
        ("0.1", "0.1"),
        ("123456789.123456", "123456789.123456"),  # a float has no room for one digit more
        ("999999999.999999", "999999999.999999"),
        ("5e1", "50"),
        ("25E-2", "0.25"),
        ('"0.10"', "0.10"),
    ],
)
def test_an_amount_may_be_a_number_and_is_taken_as_written(
    admin: AdminThread, written: str, kept: str
) -> None:
    body = f'{{"budgets": [{{"per": "tenant", "usd": {written}, "soft_share": 0.75}}]}}'
    answer = admin.ask("PATCH", "/v1/tenants/acme", OWN, content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    (budget,) = admin.ask("GET", "/v1/tenants/acme", OWN).json()["budgets"]
    assert (budget["usd"], budget["soft_share"]) == (kept, 0.75)


@pytest.mark.parametrize(
    "written",
    ["0.1234567", "0.30000000000000004", "-1", "1e9", "1e999999999", "1e-999999999", "true", "NaN",
     "1000000000", "[5]", '5, "usd": 6'],
)  # fmt: skip
def test_a_number_that_is_no_amount_is_refused(admin: AdminThread, written: str) -> None:
    body = f'{{"budgets": [{{"per": "tenant", "usd": {written}}}]}}'
    answer = admin.ask("PATCH", "/v1/tenants/acme", OWN, content=body, headers=JSON)
    assert answer.status_code == 400, answer.text


def test_amounts_are_documented_as_text_or_number(admin: AdminThread) -> None:
    schemas = admin.ask("GET", "/openapi.json", OWN).json()["components"]["schemas"]
    usd = schemas["BudgetRule"]["properties"]["usd"]
    assert {option["type"] for option in usd["anyOf"]} == {"string", "number", "null"}
    assert "answers have text" in usd["description"]


@pytest.mark.parametrize("query", ["step=null", "step=Null&by=model"])
def test_a_member_of_a_query_is_never_null(admin: AdminThread, query: str) -> None:
    answer = admin.ask("GET", f"/v1/usage?{query}", OWN)
    assert answer.status_code == 400
    assert "leave it out" in answer.text
    assert admin.ask("GET", "/v1/usage?tenant=null", OWN).status_code == 200, "a name like others"


def test_the_document_needs_a_key(admin: AdminThread) -> None:
    assert admin.ask("GET", "/openapi.json").status_code == 401


def test_the_document_holds_nothing_of_the_registry(admin: AdminThread) -> None:
    text = json.dumps(admin.ask("GET", "/openapi.json", OWN).json())
    assert "digest" not in text
    assert str(Path.home()) not in text
