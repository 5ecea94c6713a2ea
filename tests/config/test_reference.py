"""The JSON Schema says what the loader says, and the reference page is current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from headrace import allowances
from headrace.config import (
    admin_oidc,
    alerting,
    backends,
    caching,
    caps,
    exporting,
    model_cards,
    oidc,
    policies,
    pricing,
    realtime,
    schema,
    sharing,
    storing,
    telemetry,
    tool_servers,
    units,
)
from headrace.config.fielddocs import field_docs
from headrace.config.loading import loaded
from headrace.config.problems import ConfigError
from headrace.config.reference import json_schema, reference_markdown, with_reference
from headrace.config.show import show

BUDGETS = """
backends: {a: {provider: local}}
budgets: [{per: team, usd: 50}, {per: key, usd: 0.10}, {per: user, usd: "0.25"}]
"""
DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def examples() -> list[str]:
    return [part.split("```")[0] for part in DOCS.read_text("utf-8").split("```yaml\n")[1:]]


def structs() -> list[type[msgspec.Struct]]:
    """Those of all modules that a file can hold, found from the whole file down."""
    found: dict[type[msgspec.Struct], None] = {}
    waiting: list[msgspec.inspect.Type] = [msgspec.inspect.type_info(schema.Config)]
    while waiting:
        match waiting.pop():
            case msgspec.inspect.Metadata(type=inner) | msgspec.inspect.ListType(item_type=inner):
                waiting.append(inner)
            case msgspec.inspect.DictType(value_type=inner):
                waiting.append(inner)
            case msgspec.inspect.UnionType(types=types):
                waiting.extend(types)
            case msgspec.inspect.StructType() as struct:
                found[struct.cls] = None
                waiting.extend(field.type for field in struct.fields)
    return list(found)


def test_the_structs_are_of_several_modules_and_no_two_have_one_name() -> None:
    modules = {struct.__module__ for struct in structs()}
    assert modules == {
        module.__name__
        for module in (
            schema,
            backends,
            model_cards,
            oidc,
            policies,
            pricing,
            sharing,
            storing,
            telemetry,
            tool_servers,
            alerting,
            exporting,
            caps,
            allowances,
            units,
            admin_oidc,
            caching,
            realtime,
        )
    }
    names = [struct.__name__ for struct in structs()]
    assert len(names) == len(set(names))


def test_every_field_has_a_docstring() -> None:
    missing = [
        f"{struct.__name__}.{field}"
        for struct in structs()
        for field in struct.__struct_fields__
        if not field_docs(struct).get(field)
    ]
    assert missing == []


def test_the_schema_is_valid_and_describes_every_property() -> None:
    made = json_schema()
    Draft202012Validator.check_schema(made)
    assert made["title"] == "Headrace configuration"
    assert "$id" not in made
    assert made["properties"]["models"]["description"].startswith("Names that clients ask for")
    for definition in (made, *made["$defs"].values()):
        for name, value in definition["properties"].items():
            assert value["description"], name
    assert "discriminator" not in str(made)


@pytest.mark.parametrize("text", [*examples(), BUDGETS, "server: {port: 0}", "{}"])
def test_good_files_pass_the_schema(text: str) -> None:
    Draft202012Validator(json_schema()).validate(yaml.safe_load(text))
    loaded(text.encode(), Path("headrace.yaml"))


def test_amounts_are_kept_as_they_are_written() -> None:
    budgets = loaded(BUDGETS.encode(), Path("headrace.yaml")).config.budgets
    assert [budget.usd for budget in budgets] == ["50", "0.10", "0.25"]


@pytest.mark.parametrize("text", [*examples(), BUDGETS])
def test_what_is_shown_passes_the_schema(text: str) -> None:
    shown = show(loaded(text.encode(), Path("headrace.yaml")))
    Draft202012Validator(json_schema()).validate(yaml.safe_load(shown))


@pytest.mark.parametrize(
    "tree",
    [
        {"servr": {}},
        {"server": {"port": 70000}},
        {"server": {"port": "8080"}},
        {"server": {"drain_s": 0}},
        {"backends": {"a": {}}},
        {"backends": {"a": {"provider": "azur"}}},
        {"backends": {"a": {"provider": "local", "credential": "env:K"}}},
        {"backends": {"a": {"provider": "openai", "credential": "sk-x"}}},
        {"backends": {"a": {"provider": "openai", "operations": ["images"]}}},
        {"backends": {"a b": {"provider": "local"}}},
        {"backends": {"*": {"provider": "local"}}},
        {"models": {"m": {"pools": ["a"]}}},
        {"models": {"**": {"pools": [["a"]]}}},
        {"keys": {"k": {}}},
        {"backends": {"a": {"provider": "openai", "url": "http://[::1]", "context_tokens": 0}}},
        {"models": {"m": {"pools": [["a"]], "context_fallback": "a"}}},
        {"models": {"m": {"pools": [["a"]], "balance": {"method": "fastest"}}}},
        {"models": {"m": {"pools": [["a"]], "balance": {"weights": {"a": -1}}}}},
        {"models": {"m": {"pools": [["a"]], "balance": {"affinity_header": "x y"}}}},
        {"models": {"m": {"pools": [["a"]], "retry": {"attempts": 17}}}},
        {"models": {"m": {"pools": [["a"]], "fallback": {"massage": "x"}}}},
        {"models": {"m": {"pools": [["a"]], "coalesce": "sometimes"}}},
        {"models": {"m": {"pools": [["a"]], "timeouts": {"idle_s": 0}}}},
        {"resilience": {"breaker": {"min_calls": 0}}},
        {"resilience": {"breaker": {"open_jitter": 1}}},
        {"resilience": {"concurrency": {"cut": 1.0}}},
        {"resilience": {"shedding": {"critical_share": 1.1}}},
        {"resilience": {"idempotency": {"keep_s": -1}}},
        {"resilience": {"coalescing": {"mode": None}}},
        {"resilience": {"kept_answers": {"keep_s": 0}}},
        {"resilience": {"hedging": {}}},
    ],
)
def test_bad_files_fail_the_schema_as_they_fail_to_load(tree: dict[str, Any]) -> None:
    assert not Draft202012Validator(json_schema()).is_valid(tree)
    with pytest.raises(ConfigError):
        loaded(yaml.safe_dump(tree).encode(), Path("headrace.yaml"))


def test_the_reference_page_is_current() -> None:
    page = DOCS.read_text("utf-8")
    assert page == with_reference(page), (
        "run: .venv/bin/python -m headrace.config.reference docs/configuration.md"
    )


def test_the_reference_names_every_key() -> None:
    text = reference_markdown()
    for struct in structs():
        for field in struct.__struct_fields__:
            assert f"| `{field}` |" in text
    for section in (
        "server",
        "server.tls",
        "backends.NAME.timeouts",
        "models.NAME.balance",
        "models.NAME.retry",
        "models.NAME.fallback",
        "resilience.breaker",
        "resilience.kept_answers",
        "redis",
    ):
        assert f"### `{section}`\n" in text


def test_the_reference_says_each_range_once_and_whole() -> None:
    text = reference_markdown()
    assert "| `critical_share` | a share from 0 to 1 |" in text
    assert "| `cut` | a number above 0 and below 1 |" in text
    assert "| `open_jitter` | a number of at least 0 and below 1 |" in text
    assert "| `affinity_header` | text of the form `^[A-Za-z0-9-]{1,64}$` |" in text


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_reference("# A page\n")
