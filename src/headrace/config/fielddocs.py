"""The docstrings under the fields of the configuration's structs, which Python does not keep."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Mapping

from msgspec import Struct


def field_docs(struct: type[Struct]) -> dict[str, str]:
    """The docstring of each field, its bases' too, by the field's name."""
    docs: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if issubclass(kind, Struct) and kind is not Struct:
            docs |= _written_in(kind.__module__)[kind.__name__]
    return docs


@functools.cache  # a module is parsed once, and only if one of its structs is asked for
def _written_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """By the names of the module's structs and of the fields that each adds to its bases'."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: _own(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _own(node: ast.ClassDef) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                fields[name] = " ".join(text.split())
    return fields
