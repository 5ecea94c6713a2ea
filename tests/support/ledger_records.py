"""Records of calls, for tests of what keeps them."""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.data.journal import Journal
from headrace.data.records import Intent, Settlement


def intent(seq: int, call: str = "call-0001", **fields: Any) -> Intent:
    made = Intent(
        seq=seq, number=seq, attempt=1, at_us=1_000_000, call=call, dialect="openai",
        operation="chat", model="m", key="k", tenant="t", backend="b", provider="openai",
        priced_as="gpt-4o",
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


def settlement(seq: int, number: int | None = None, **fields: Any) -> Settlement:
    made = Settlement(
        seq=seq, number=seq if number is None else number, at_us=2_000_000, call="call-0001",
        dialect="openai", operation="chat", model="m", key="k", tenant="t", status=200,
        finish="complete", answered_by="upstream", attempts=1, latency_us=4500, backend="b",
        input_tokens=1, output_tokens=2, usage_source="upstream", cost_microusd=3,
        price_version="test",
    )  # fmt: skip
    return msgspec.structs.replace(made, **fields)


class Scribe:
    """Writes whole calls and half ones into a journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def intend(self, call: str = "call-0001", number: int | None = None, **fields: Any) -> int:
        """Returns the call's number."""
        seq = self.journal.next_seq
        number = seq if number is None else number
        self.journal.append(intent(seq, call, number=number, **fields))
        return number

    def settle(self, number: int | None, call: str = "call-0001", **fields: Any) -> None:
        self.journal.append(settlement(self.journal.next_seq, number, call=call, **fields))

    def whole(self, call: str = "call-0001", **fields: Any) -> None:
        self.settle(self.intend(call), call, **fields)
