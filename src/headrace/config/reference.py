"""The JSON Schema for editors and the tables of the reference page, both from `schema.py`.

`python -m headrace.config.reference docs/configuration.md` renews the page's tables.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import NODEFAULT, inspect

from headrace.config.fielddocs import field_docs
from headrace.config.schema import Config
from headrace.config.words import also_number, expected

BEGIN = "<!-- Generated from src/headrace/config/schema.py: begin -->"
END = "<!-- Generated from src/headrace/config/schema.py: end -->"
_TAG_MEANING = "Which kind of backend this is."


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of `headrace.yaml`, with the fields' docstrings in it."""
    made = msgspec.json.schema(Config)
    structs = {at.cls.__name__: at.cls for _, at in _sections(inspect.type_info(Config), "")}
    defs: dict[str, Any] = made["$defs"]
    for name, definition in defs.items():
        docs = field_docs(structs[name])
        for key, value in definition["properties"].items():
            meaning = docs.get(key, _TAG_MEANING)
            definition["properties"][key] = {**value, "description": meaning}
        for field in inspect.type_info(structs[name]).fields:  # type: ignore[attr-defined]
            if also_number(field.type):
                _with_numbers(definition["properties"][field.encode_name])
        if not definition.get("required"):
            definition.pop("required", None)
    root = defs.pop("Config")
    for definition in (root, *defs.values()):
        _without_discriminators(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **root,
        "title": "Headrace configuration",
        "$defs": defs,
    }


def _with_numbers(schema: dict[str, Any]) -> None:
    """The loader keeps what is written without quotes as it is written."""
    for one in (schema, *schema.get("anyOf", ())):
        if one.get("type") == "string":
            one["type"] = ["number", "string"]


def _without_discriminators(node: object) -> None:
    """Removes OpenAPI's `discriminator`, which JSON Schema does not know."""
    if isinstance(node, dict):
        node.pop("discriminator", None)
        for value in node.values():
            _without_discriminators(value)
    elif isinstance(node, list):
        for value in node:
            _without_discriminators(value)


def reference_markdown() -> str:
    """A table for each section of the file."""
    parts: list[str] = []
    for path, struct in _sections(inspect.type_info(Config), ""):
        title = f"`{path}`" if path else "The whole file"
        if struct.tag is not None:
            title += f" with `{struct.tag_field}: {struct.tag}`"
        lines = [f"### {title}", "", " ".join((struct.cls.__doc__ or "").split()), ""]
        lines += ["| Key | Write | Default | Meaning |", "|---|---|---|---|"]
        if struct.tag is not None:
            lines.append(f"| `{struct.tag_field}` | `{struct.tag}` | required | {_TAG_MEANING} |")
        docs = field_docs(struct.cls)
        for field in struct.fields:
            meaning = docs.get(field.name, "")
            cells = (f"`{field.encode_name}`", expected(field.type), _default(field), meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def with_reference(page: str) -> str:
    """The page with its generated part renewed. Raises `ValueError` if a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page lacks the markers of its generated part")
    return f"{before}{BEGIN}\n\n{reference_markdown()}\n\n{END}{after}"


def _sections(kind: inspect.Type, path: str) -> Iterator[tuple[str, inspect.StructType]]:
    """Each struct once, with the path of the first place where it stands."""
    seen: set[type] = set()
    waiting: list[tuple[inspect.Type, str]] = [(kind, path)]
    while waiting:
        at, where = waiting.pop(0)
        match at:
            case inspect.Metadata(type=inner):
                waiting.insert(0, (inner, where))
            case inspect.UnionType(types=types):
                waiting[:0] = [(option, where) for option in types]
            case inspect.DictType(value_type=value):
                waiting.insert(0, (value, f"{where}.NAME"))
            case inspect.ListType(item_type=item):
                waiting.insert(0, (item, f"{where}[]"))
            case inspect.StructType():
                if at.cls in seen:
                    continue
                seen.add(at.cls)
                yield where, at
                dot = f"{where}." if where else ""
                waiting[:0] = [(field.type, f"{dot}{field.encode_name}") for field in at.fields]


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    default = field.default_factory() if field.default is NODEFAULT else field.default
    if isinstance(default, msgspec.Struct):
        plain, base = msgspec.to_builtins(default), msgspec.to_builtins(type(default)())
        changed = {key: value for key, value in plain.items() if value != base[key]}
        return f"`{_json(changed)}`" if changed else "its defaults"
    if default is None or default in ({}, []):
        return "none"
    return f"`{default if isinstance(default, str) else _json(default)}`"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def main() -> None:
    page = Path(sys.argv[1])
    page.write_text(with_reference(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
