"""How the configuration refers to a secret, which never stands in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, get_args

from msgspec import Meta, Struct
from msgspec.structs import fields

from headrace.config.problems import KeyPath

SecretRef = Annotated[
    str,
    Meta(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$",
        description="a reference, `env:NAME` or `file:PATH`",
        extra={"secret": True},
    ),
]


def references(section: Struct, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """All references to secrets in a part of the configuration, by where they stand. `path` is
    that of the part."""
    for field in fields(section):
        value, at = getattr(section, field.name), (*path, field.encode_name)
        yield from _within(value, at, refers=_is_reference(field.type))


def _within(value: object, path: KeyPath, *, refers: bool) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Struct):
        yield from references(value, path)
    elif isinstance(value, str):
        if refers:
            yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _within(item, (*path, key), refers=refers)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _within(item, (*path, number), refers=refers)


def _is_reference(kind: object) -> bool:
    return kind == SecretRef or any(map(_is_reference, get_args(kind)))
