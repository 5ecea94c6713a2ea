"""Limits and budgets as texts of a form, and back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from headrace.allowances import BudgetRule, LimitRule
from headrace.edge.admin.asked import Refusal


def rules_text(rules: Sequence[LimitRule | BudgetRule]) -> str:
    """As JSON, one rule a line, without what is as usual."""
    return "\n".join(msgspec.json.encode(_told(rule)).decode() for rule in rules)


def _told(rule: LimitRule | BudgetRule) -> dict[str, Any]:
    usual = msgspec.to_builtins(type(rule)(per=rule.per))
    told = msgspec.to_builtins(rule)
    return {n: v for n, v in told.items() if n == "per" or v != usual[n]}


def rules_of(form: Mapping[str, str], field: str) -> list[Any]:
    """From one JSON object a line. What they say is checked by who takes them. Raises Refusal."""
    rules = []
    for number, line in enumerate(form.get(field, "").splitlines(), 1):
        if line.strip():
            try:
                rules.append(msgspec.json.decode(line))
            except msgspec.DecodeError as error:
                raise Refusal(
                    400, "invalid_request", f"Line {number} of {field} is no JSON: write one rule "
                    'a line, such as {"per": "key", "requests": 60}.',
                ) from error  # fmt: skip
    return rules


def text_of(form: Mapping[str, str], field: str) -> str | None:
    """None for what was left empty."""
    return form.get(field, "").strip() or None


def list_of(form: Mapping[str, str], field: str) -> list[str] | None:
    """Of names between commas; None for none."""
    names = [name.strip() for name in form.get(field, "").split(",")]
    return [name for name in names if name] or None


def number_of(form: Mapping[str, str], field: str, about: str) -> int | None:
    """Raises Refusal."""
    text = form.get(field, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise Refusal(400, "invalid_request", f"{about} must be a whole number, such as 60.")
    return int(text)
