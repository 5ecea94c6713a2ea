"""The docstrings under the fields of the configuration's structs, which Python does not keep."""

from __future__ import annotations

import ast
import inspect

from headrace import allowances
from headrace.config import (
    admin_oidc,
    alerting,
    backends,
    caching,
    caps,
    exporting,
    oidc,
    policies,
    pricing,
    schema,
    sharing,
    storing,
    telemetry,
    terms,
    units,
)


def field_docs() -> dict[str, dict[str, str]]:
    """The docstring of each field, by the names of struct and field."""
    docs: dict[str, dict[str, str]] = {}
    # What is inherited first.
    modules = (
        allowances,
        terms,
        units,
        oidc,
        admin_oidc,
        policies,
        sharing,
        caching,
        storing,
        telemetry,
        alerting,
        exporting,
        caps,
        pricing,
        backends,
        schema,
    )
    for node in (n for module in modules for n in ast.parse(inspect.getsource(module)).body):
        if not isinstance(node, ast.ClassDef):
            continue
        fields = docs.setdefault(node.name, {})
        for base in node.bases:
            if isinstance(base, ast.Name):
                fields |= docs.get(base.id, {})
        for field, after in zip(node.body, node.body[1:], strict=False):
            match field, after:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str() as text)),
                ):
                    fields[name] = " ".join(text.split())
    return docs
