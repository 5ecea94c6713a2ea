"""The OpenAPI document, from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from headrace import __version__
from headrace.allowances import BudgetRule
from headrace.edge.admin import amounts
from headrace.edge.admin.answers import ErrorBody
from headrace.edge.admin.route import Route

_JSON = "application/json"
_REFERENCE = "#/components/schemas/{name}"
PATH_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$"
"""Of what stands in a path. As a name, but without a slash."""
FAULTS = {
    400: "The request is not as it must be; `param` names the field at fault.",
    401: "No admin key, or one that is not known.",
    403: "The key may not do this.",
    404: "There is no such thing, or not for this key.",
    409: "It is there already, or was changed at the same moment, or was revoked.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    503: "The registry, the audit log or the workers cannot be used just now.",
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """OpenAPI 3.1."""
    kinds: list[Any] = [ErrorBody]
    for route in routes:
        kinds += [kind for kind in (route.answer, route.body, route.query) if kind is not None]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    usd = components[BudgetRule.__name__]["properties"]["usd"]
    usd.update(anyOf=[*usd["anyOf"], amounts.SCHEMA], description=amounts.SAID)
    by_kind = {_name(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    queries = {route.query.__name__ for route in routes if route.query is not None}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, by_kind, components)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace admin API",
            "version": __version__,
            "description": "Keys, tenants, teams, users, administrators and backends.",
        },
        "security": [{"adminKey": []}],
        "paths": paths,
        "components": {
            "schemas": {n: schema for n, schema in components.items() if n not in queries},
            "securitySchemes": {"adminKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, by_kind: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "pattern": PATH_PATTERN},
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if route.query is not None:
        for name, schema in components[route.query.__name__]["properties"].items():
            parameters.append({"name": name, "in": "query", "schema": _not_null(schema)})
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            str(route.status): {
                "description": "Done.",
                "content": {route.media: {"schema": by_kind[_name(route.answer)]}},
            },
            **{str(status): _fault(status) for status in sorted(statuses(route))},
        },
    }
    if route.role is None:
        operation["security"] = []
    else:
        operation["description"] = f"Needs the role {route.role.word}" + (
            ", for the whole gateway." if route.whole else "."
        )
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {_JSON: {"schema": by_kind[_name(route.body)]}},
        }
    return operation


def statuses(route: Route) -> set[int]:
    """Those of the errors that a route may answer."""
    found = {400} if route.role is None else {400, 401, 403, 503}
    if route.body is not None:
        found |= {413, 415}
    if "{" in route.path:
        found.add(404)
    return found | set(route.faults)


def _fault(status: int) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(name="ErrorBody")}
    return {"description": FAULTS[status], "content": {_JSON: {"schema": schema}}}


def _not_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query's member is there or not; it is never null."""
    options = [option for option in schema.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else schema


def _name(kind: Any) -> str:
    return str(getattr(kind, "__name__", "")) + str(getattr(kind, "__args__", ""))
