"""Servers of the Model Context Protocol (MCP), whose tools clients call through Headrace. The
docstrings under the fields are the documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from headrace.config.backends import Seconds
from headrace.config.references import SecretRef
from headrace.config.terms import Name

ServerName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9](-?[a-z0-9]){0,31}$",
        description="a name of lower-case letters, digits and single hyphens",
    ),
]
ToolPattern = Annotated[
    str,
    Meta(
        pattern=r"^(\*|[A-Za-z0-9_.-]{1,160}\*?)$",
        description="a tool as `SERVER__TOOL`, or how names begin and `*`, as in `files__*`",
    ),
]
Variable = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$", description="a variable's name"),
]


class ToolServer(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="by"):
    """What all have."""

    timeout_s: Seconds = 30.0
    """One call of a tool may take this long."""
    connect_s: Seconds = 10.0
    """To reach it and learn its tools."""


class HttpToolServer(ToolServer, frozen=True, kw_only=True, tag="http"):
    """A server that is asked over HTTP ("streamable HTTP")."""

    url: str
    """Its endpoint, such as `https://tools.example.net/mcp`."""
    credential: SecretRef | None = None
    """Where the key is that is sent as `Authorization: Bearer`; leave out for servers without."""


class CommandToolServer(ToolServer, frozen=True, kw_only=True, tag="command"):
    """A program that is started and asked over its standard input and output. It runs as the
    gateway's user, with none of the gateway's environment but `PATH`, `HOME` and their like."""

    command: list[str]
    """The program and its arguments. It starts in this file's folder."""
    env: dict[Variable, SecretRef] = field(default_factory=dict)
    """Variables that it gets, and where their texts are: `env:NAME` or `file:PATH`."""


class ToolAccess(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may call which tools. All that is said of a caller must fit."""

    keys: list[Name] | None = None
    """Keys: names of this file, ids of the registry. Leave out for all."""
    teams: list[Name] | None = None
    """Teams. Leave out for all."""
    tenants: list[Name] | None = None
    """Tenants. Leave out for all."""
    tools: list[ToolPattern]
    """Tools that they may see and call."""


class ToolLimit(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often tools may be called. A call must pass all limits that concern it; one limit counts
    all its tools together, for each key, user, team or tenant apart."""

    per: Literal["key", "user", "team", "tenant"] = "key"
    """What is counted apart; a caller that has none (a key without a team) is not concerned."""
    keys: list[Name] | None = None
    """Keys that it is for: names of this file, ids of the registry. Leave out for all."""
    teams: list[Name] | None = None
    """Teams that it is for. Leave out for all."""
    tenants: list[Name] | None = None
    """Tenants that it is for. Leave out for all."""
    tools: list[ToolPattern] | None = None
    """Tools that it is for. Leave out for all."""
    calls: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """Calls per `every_s`; as many may come at once after a pause."""
    every_s: Seconds = 60.0
    """The time that `calls` are for."""
    concurrent: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    """Calls at once."""
