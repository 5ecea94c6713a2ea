"""Amounts of money that stand in a body as JSON numbers. Pure.

They are taken as they are written, digit by digit: read as a float, 0.1 would be another amount.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

MOST_DIGITS = 24
"""Of a number's text. A longer one is no amount, and an exponent could make it fill the memory."""
MOST_MAGNITUDE = 12
SCHEMA = {"type": "number", "minimum": 0, "exclusiveMaximum": 1_000_000_000}
"""What the document says beside the text's pattern."""
SAID = "An amount of US dollars, such as `50` or `0.25`, as text or as a number of at most six \
decimals, which is taken as it is written; answers have text."


class _Written(float):
    """A number with a fraction or an exponent, and how it was written."""

    text: str

    @classmethod
    def of(cls, text: str) -> _Written:
        made = cls(text)
        made.text = text
        return made


def with_texts(data: bytes) -> bytes:
    """The same body, with the text of each number that is `usd` in one of its `budgets`. What is no
    such body, or no JSON, is given back as it is."""
    if b'"usd"' not in data:
        return data
    try:
        body = json.loads(data, parse_float=_Written.of)
    except (ValueError, RecursionError):
        return data
    budgets = body.get("budgets") if isinstance(body, dict) else None
    changed = False
    for budget in budgets if isinstance(budgets, list) else ():
        text = _text_of(budget.get("usd")) if isinstance(budget, dict) else None
        if text is not None:
            budget["usd"], changed = text, True
    return json.dumps(body).encode() if changed else data


def _text_of(amount: Any) -> str | None:
    """None for what is no number, or none that an amount could be."""
    if isinstance(amount, _Written):
        if len(amount.text) > MOST_DIGITS:
            return None
        exact = Decimal(amount.text)
        return format(exact, "f") if abs(exact.adjusted()) <= MOST_MAGNITUDE else None
    if isinstance(amount, int) and not isinstance(amount, bool):
        return str(amount)
    return None
