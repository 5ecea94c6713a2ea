"""Calls of tools in journal, ledger and counts: an intent before, a settlement after, as for calls
of models. They cost nothing and use no tokens.
"""

from __future__ import annotations

import logging
import time

from msgspec import Struct

from headrace.data.journal import Journal
from headrace.data.records import Intent, Settlement
from headrace.gateway.telemetry.tool_meters import ToolMeters
from headrace.nouns import Caller

log = logging.getLogger("headrace.mcp")

DIALECT = "mcp"
OPERATION = "tool"


class ToolCall(Struct):
    """One call of a tool. `tool` is its name here, `server` that of its server; `began` is
    monotonic seconds."""

    id: str
    caller: Caller
    tool: str
    server: str
    began: float
    number: int = 0
    """In the journal; 0 until it is there."""


class Ended(Struct, frozen=True):
    """How a call ended: as the counts name it, and as the ledger does."""

    outcome: str
    status: int
    finish: str
    reason: str | None = None


OK = Ended("ok", 200, "complete")
ERROR = Ended("error", 200, "complete", "tool_error")
TIMEOUT = Ended("timeout", 504, "incomplete", "tool_timeout")
AWAY = Ended("away", 503, "incomplete", "tool_server_away")
TOO_LARGE = Ended("too_large", 502, "incomplete", "tool_answer_too_large")
LEFT = Ended("client_gone", 499, "client_gone")
LIMITED = Ended("refused", 429, "refused", "rate_limited")
ARGUMENTS_TOO_LARGE = Ended("refused", 413, "refused", "tool_arguments_too_large")


class ToolMetering:
    """Of one process. Used by its event loop alone."""

    def __init__(self, journal: Journal, meters: ToolMeters) -> None:
        self._journal = journal
        self._meters = meters

    def intend(self, call: ToolCall) -> None:
        """Told before the tool is called. Raises OSError: what cannot be accounted is not done."""
        journal, caller = self._journal, call.caller
        seq = journal.next_seq
        journal.append(
            Intent(
                seq=seq,
                number=seq,
                attempt=1,
                at_us=time.time_ns() // 1000,
                call=call.id,
                dialect=DIALECT,
                operation=OPERATION,
                model=call.tool,
                key=caller.key_id,
                tenant=caller.tenant,
                backend=call.server,
                provider=DIALECT,
                priced_as=call.tool,
                team=caller.team,
                user=caller.user,
                tags=caller.tags,
                output_tokens=0,
                bound_microusd=0,
            )
        )
        call.number = seq

    def settle(self, call: ToolCall, ended: Ended, now: float) -> None:
        """The end of a call that had an intent, or was refused without one."""
        caller, seq = call.caller, self._journal.next_seq
        self._meters.ended(caller.key_id, call.tool, ended.outcome, now - call.began)
        settlement = Settlement(
            seq=seq,
            number=call.number or seq,
            at_us=time.time_ns() // 1000,
            call=call.id,
            dialect=DIALECT,
            operation=OPERATION,
            model=call.tool,
            key=caller.key_id,
            tenant=caller.tenant,
            status=ended.status,
            finish=ended.finish,
            answered_by="upstream" if ended in (OK, ERROR) else "nobody",
            attempts=1 if call.number else 0,
            latency_us=int((now - call.began) * 1e6),
            backend=call.server,
            team=caller.team,
            user=caller.user,
            tags=caller.tags,
            reason=ended.reason,
        )
        try:
            self._journal.append(settlement)
        except OSError as error:
            log.error("settlement not written", extra={"call": call.id, "cause": str(error)})

    def heal(self) -> None:
        """Begins a new file of the journal if somebody removed this one."""
        try:
            self._journal.heal()
        except OSError as error:
            log.error("the journal is gone", extra={"cause": str(error)})

    def close(self) -> None:
        self._journal.close()
