"""The names of gathered tools, and which of them a caller may see and call. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.config.tool_servers import ToolAccess, ToolLimit
from headrace.nouns import Caller

BETWEEN = "__"
"""Stands between a server's name, which has none, and its tool's."""


def gathered(server: str, tool: str) -> str:
    """What a server's tool is called here."""
    return f"{server}{BETWEEN}{tool}"


def parted(name: str) -> tuple[str, str]:
    """Server and tool of such a name; of another the tool is ""."""
    server, _, tool = name.partition(BETWEEN)
    return server, tool


class ToolRights:
    """What the configuration says."""

    def __init__(self, rules: Sequence[ToolAccess]) -> None:
        self._rules = tuple(rules)

    def of(self, caller: Caller) -> tuple[str, ...]:
        """Patterns of all rules that are about this caller."""
        return tuple(p for rule in self._rules if concerns(rule, caller) for p in rule.tools)


def permits(patterns: Sequence[str], name: str) -> bool:
    """Whether one of the patterns is the tool's name, or the beginning of it and `*`."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
        for pattern in patterns
    )


def concerns(rule: ToolAccess | ToolLimit, caller: Caller) -> bool:
    """Whether a rule is about this caller."""
    return (
        (rule.keys is None or caller.key_id in rule.keys)
        and (rule.teams is None or caller.team in rule.teams)
        and (rule.tenants is None or caller.tenant in rule.tenants)
    )
