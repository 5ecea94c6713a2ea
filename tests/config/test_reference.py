"""The JSON Schema says what the loader says, and the reference page is current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema import Draft202012Validator

from headrace.config import schema
from headrace.config.fielddocs import field_docs
from headrace.config.loading import loaded
from headrace.config.problems import ConfigError
from headrace.config.reference import json_schema, reference_markdown, with_reference
from headrace.config.show import show

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def example() -> str:
    return DOCS.read_text("utf-8").split("```yaml\n")[1].split("```")[0]


def structs() -> list[type[msgspec.Struct]]:
    return [
        thing
        for thing in vars(schema).values()
        if isinstance(thing, type) and issubclass(thing, msgspec.Struct) and thing.__struct_fields__
    ]


def test_every_field_has_a_docstring() -> None:
    docs = field_docs()
    missing = [
        f"{struct.__name__}.{field}"
        for struct in structs()
        for field in struct.__struct_fields__
        if not docs[struct.__name__].get(field)
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


@pytest.mark.parametrize("text", [example(), "server: {port: 0}", "{}"])
def test_good_files_pass_the_schema(text: str) -> None:
    Draft202012Validator(json_schema()).validate(yaml.safe_load(text))
    loaded(text.encode(), Path("headrace.yaml"))


def test_what_is_shown_passes_the_schema() -> None:
    shown = show(loaded(example().encode(), Path("headrace.yaml")))
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
    for section in ("### `server`", "### `server.tls`", "### `backends.NAME.timeouts`"):
        assert section in text


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        with_reference("# A page\n")
