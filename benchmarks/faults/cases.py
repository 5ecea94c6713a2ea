"""The fault script: what the faulty backends do, and when a gateway can still hide it.

The numbers F1 to F20 are those of docs/scripted-upstream.md. F14 (a tool's arguments are no JSON)
is the provider's answer and no gateway's to judge; F15 to F18 are not faults of a provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Phase = Literal["none", "before", "after", "own"]
"""When a stream's fault strikes: never, before its first content, after it. `own` is a refusal that
is the caller's to mend, so that no other backend would answer better."""
Scope = Literal["one", "both"]
"""Which backends are at fault: the first, or both."""

A_TEXT = "Alpha answers: " + " ".join(f"river{n}" for n in range(20)) + " and alpha is done."
B_TEXT = "Bravo answers: " + " ".join(f"wheel{n}" for n in range(20)) + " and bravo is done."
UTF8_TEXT = "水路は水車へ水を導く。 Ünïcödé 🏞️🌊 " * 3
CANARY = "CANARY-7f3a"
"""Stands in every hostile error body, several times."""


@dataclass(frozen=True)
class Fault:
    """One line of the script."""

    number: str
    title: str
    script: dict[str, Any]
    """As docs/scripted-upstream.md has it."""
    phase: Phase = "before"
    """Of a stream. A whole answer is always before: a client has seen nothing of it."""
    streams_only: bool = False
    harmless: bool = False
    """A right answer may be had from it, so to answer and to refuse are both right."""
    hold_s: float = 0.0
    """How long the backend asks to be left alone."""
    nothing_listens: bool = False
    heavy: bool = False
    """Takes the gateway's core or memory for itself, so it is called once, alone and of a
    fresh process."""
    finish: str = "stop"
    """The right finish reason."""

    @property
    def waits(self) -> bool:
        """Whether a gateway has nothing to do but to wait."""
        return self.number in ("F5", "F6")

    @property
    def key(self) -> str:
        """The title as a part of a model's name."""
        words = re.findall(r"[a-z0-9]+", self.title.lower())
        return "-".join([self.number.lower(), *words])


@dataclass(frozen=True)
class Case:
    """A fault, where it strikes and how it is asked for."""

    fault: Fault
    scope: Scope
    stream: bool
    model: str = field(init=False)
    """A name of its own, so that what a gateway has learned in one case does not count in the
    next: each case has two backends that it never saw before."""

    def __post_init__(self) -> None:
        mode = "stream" if self.stream else "whole"
        object.__setattr__(self, "model", f"{self.fault.key}-{self.scope}-{mode}")

    @property
    def text(self) -> str | None:
        """The right answer where it is neither backend's usual one."""
        text = self.fault.script.get("text")
        return text if isinstance(text, str) else None

    @property
    def committed(self) -> bool:
        """Whether the client has content before the fault strikes, so that nothing can hide it."""
        return self.stream and self.fault.phase == "after"


def _fault(kind: str, **parameters: Any) -> dict[str, Any]:
    """Events arrive one by one, as a provider's do."""
    return {"writes": "each", "gap_ms": 5, "fault": {"kind": kind, **parameters}}


def _hostile(form: str) -> dict[str, Any]:
    return _fault("hostile", form=form, canary=CANARY)


_MIB = 1024 * 1024

FAULTS: tuple[Fault, ...] = (
    Fault("F0", "no fault", {}, phase="none"),
    Fault("F1", "429, Retry-After 20 s", _fault("rate_limited", retry_after=20), hold_s=20),
    Fault("F1", "429, retry-after-ms 3000", _fault("rate_limited", retry_after_ms=3000), hold_s=3),
    Fault("F1", "429 that says no time", _fault("rate_limited")),
    Fault(
        "F19",
        "429 until a date, clock an hour off",
        {**_fault("rate_limited", retry_after_date_s=20), "date_skew_s": -3600},
        hold_s=20,
    ),
    Fault("F2", "429: quota spent", _fault("money", form="insufficient_quota")),
    Fault("F2", "402: payment required", _fault("money", form="payment_required")),
    Fault("F3", "500", {"status": 500}),
    Fault("F3", "503", {"status": 503}),
    Fault("F3", "529", {"status": 529}),
    Fault("F3", "502, HTML page", _hostile("html")),
    Fault("F3", "502, stack trace", _hostile("stack_trace")),
    Fault("F3", "502, host names", _hostile("hostnames")),
    Fault("F3", "502, keys", _hostile("keys")),
    Fault("F3", "502, control characters", _hostile("control_characters")),
    Fault("F4", "nothing listens", {}, nothing_listens=True),
    Fault("F4", "reset before a byte", _fault("reset")),
    Fault("F4", "closed before a byte", _fault("hangup")),
    Fault("F5", "silent", _fault("silent")),
    Fault("F5", "first token after 50 s", _fault("slow_first_token", wait_ms=50_000)),
    Fault("F6", "stall before content", _fault("stall", after=0), streams_only=True),
    Fault("F6", "stall in the middle", _fault("stall", after=3), phase="after"),
    Fault(
        "F6",
        "stall with keep-alive pings",
        _fault("stall", after=3, pings_every_ms=1000),
        phase="after",
        streams_only=True,
    ),
    Fault("F7", "cut before content", _fault("cut", after=0, how="clean_end"), streams_only=True),
    Fault("F7", "cut: connection closed", _fault("cut", how="eof"), phase="after"),
    Fault("F7", "cut: reset", _fault("cut", how="rst"), phase="after"),
    Fault("F7", "cut: clean end", _fault("cut", how="clean_end"), phase="after"),
    Fault("F7", "cut: broken chunk", _fault("cut", how="broken_chunk"), phase="after"),
    Fault(
        "F7",
        "all but [DONE]",
        _fault("missing_done"),
        phase="after",
        streams_only=True,
        harmless=True,
    ),
    Fault(
        "F8",
        "bad JSON before content",
        _fault("bad_sse", after=0, form="bad_json"),
        streams_only=True,
    ),
    Fault("F8", "bad JSON", _fault("bad_sse", form="bad_json"), phase="after"),
    Fault(
        "F8",
        "two events run together",
        _fault("bad_sse", form="no_blank_line"),
        phase="after",
        streams_only=True,
    ),
    Fault(
        "F8",
        "event of 2 MiB",
        _fault("bad_sse", form="huge_event"),
        phase="after",
        streams_only=True,
        harmless=True,
    ),
    Fault("F9", "UTF-8 split", {"split": "utf8", "text": UTF8_TEXT}, phase="none"),
    Fault(
        "F10",
        "error event before content",
        _fault("error_event", after=0),
        streams_only=True,
    ),
    Fault("F10", "error event", _fault("error_event"), phase="after"),
    Fault(
        "F10",
        "error event, then [DONE]",
        _fault("error_event", then="done"),
        phase="after",
        streams_only=True,
    ),
    Fault("F11", "200 with an error object", _fault("wrong_body", form="error_object")),
    Fault("F11", "200 with HTML", _fault("wrong_body", form="html")),
    Fault("F11", "200 with nothing", _fault("wrong_body", form="empty")),
    Fault("F11", "200 with other JSON", _fault("wrong_body", form="other_json")),
    Fault("F11", "200 with half of a JSON", _fault("wrong_body", form="truncated_json")),
    Fault("F11", "200 with a proxy's text", _fault("wrong_body", form="text")),
    Fault("F11", "wrong content type", _fault("wrong_content_type"), harmless=True),
    Fault("F12", "content filter, 400", _fault("content_filter", form="refused"), phase="own"),
    Fault(
        "F12",
        "content filter stops the answer",
        _fault("content_filter", form="finish"),
        phase="none",
        finish="content_filter",
    ),
    Fault("F13", "context too long", _fault("context_too_long"), phase="own"),
    Fault("F20", "1 MiB of headers", _fault("huge_headers"), harmless=True, heavy=True),
    Fault("F20", "gzip of 100 MiB", _fault("bomb", bytes=100 * _MIB), heavy=True),
    Fault("F20", "100 MiB of text", _fault("endless", bytes=100 * _MIB), phase="after", heavy=True),
)


def chosen(names: Iterable[str]) -> list[Fault]:
    """The faults whose number or key is named; all without a name, F0 always.

    Raises `ValueError` if there is no such fault.
    """
    wanted = {name.strip().lower() for name in names if name.strip()}
    known = {name for fault in FAULTS for name in (fault.number.lower(), fault.key)}
    if unknown := sorted(wanted - known):
        numbers = ", ".join(dict.fromkeys(fault.number for fault in FAULTS))
        raise ValueError(f"no fault is named {', '.join(unknown)}; there are: {numbers}")
    return [
        fault
        for fault in FAULTS
        if not wanted or fault.number == "F0" or {fault.number.lower(), fault.key} & wanted
    ]


def cases(faults: Iterable[Fault]) -> Iterator[Case]:
    """Each fault, whole and streamed, in one backend and in both."""
    for fault in faults:
        for scope in ("one",) if fault.phase == "none" else ("one", "both"):
            for stream in (True,) if fault.streams_only else (False, True):
                yield Case(fault, "both" if scope == "both" else "one", stream)
