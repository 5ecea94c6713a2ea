"""One word for what a client saw. No I/O: the same sight always gets the same word.

The words are docs/faults.md's; `WORDS` says what each means.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from benchmarks.faults.cases import A_TEXT, B_TEXT, CANARY, Case

Verdict = Literal[
    "answered",
    "friendly error",
    "provider's words",
    "raw error",
    "broken connection",
    "spliced",
    "unreadable",
    "silent end",
    "looks complete",
    "flooded",
    "leaked",
    "hung",
]

WORDS: dict[Verdict, str] = {
    "answered": "the right answer, complete",
    "friendly error": "an error in OpenAI's shape with a sentence of the gateway's own",
    "provider's words": "an error in OpenAI's shape that repeats what the provider said",
    "raw error": "an error with HTML, a stack trace, class names, addresses, the words of a parser "
    "or a body that is not OpenAI's shape",
    "broken connection": "the connection broke: the SDK raises, without a reason",
    "spliced": "the first backend's beginning and the second's answer as one text",
    "unreadable": "success, with something that the SDK cannot read as an answer",
    "silent end": "a stream that ends without an error and without a finish reason",
    "looks complete": "success and a finish reason, but the answer is cut, empty or wrong",
    "flooded": "more than 80 MiB of an answer without end",
    "leaked": "the canary of a hostile error body reached the client",
    "hung": "neither an answer nor an error within the client's patience",
}

FLOOD_BYTES = 80 * 1024 * 1024

_PROVIDER = re.compile(
    r"The server had an error while|engine is currently overloaded|\bOverloaded\b|org-scripted|"
    r"exceeded your current quota|Payment required: this account|maximum context length is \d+|"
    r"rejected as a result of our safety system",
    re.IGNORECASE,
)
"""The sentences of the scripted upstream."""
_RAW = re.compile(
    r"<html|<head|<!doctype|Traceback|File \"|\b[A-Za-z]*[a-z](Error|Exception)\b|\blitellm\.|"
    r"127\.0\.0\.1|localhost|\bECONN|\bUND_ERR|upstream connect error|fetch failed|Unexpected |"
    r"valid JSON|JSON at position|Expecting value|\bNoneType\b|object (is not|has no)|"
    r"not supported between|Cannot read prop|is not iterable|\[object|\x1b|\x00",
)


class Sight(Struct, frozen=True, kw_only=True):
    """What one call gave to the client."""

    elapsed_s: float = 0.0
    hung: bool = False
    text: str = ""
    text_bytes: int = 0
    finish: str | None = None
    error: Literal["none", "api", "connection", "unreadable"] = "none"
    """What the SDK raised: its error for what the gateway said, one of the connection, or one that
    tells that it could not read a success."""
    status: int = 0
    """Of an error; 0 for one within a stream."""
    code: str = ""
    message: str = ""
    shaped: bool = False
    """Whether the error is an object with a message, as OpenAI's are."""
    everything: str = ""
    """All text of the answer or error, its body and headers included."""


def judge(case: Case, sight: Sight) -> Verdict:
    """The word for `sight`."""
    if CANARY in sight.everything:
        return "leaked"
    if sight.text_bytes > FLOOD_BYTES:
        return "flooded"
    if sight.hung:
        return "hung"
    match sight.error:
        case "api":
            return _error(sight)
        case "connection":
            return "broken connection"
        case "unreadable":
            return "unreadable"
    return _success(case, sight)


def _error(sight: Sight) -> Verdict:
    if not sight.shaped or not sight.message or _RAW.search(sight.message):
        return "raw error"
    return "provider's words" if _PROVIDER.search(sight.message) else "friendly error"


def _success(case: Case, sight: Sight) -> Verdict:
    right = {case.text} if case.text else {A_TEXT, B_TEXT}
    if sight.finish == "stop" and sight.text in right:
        return "answered"
    if sight.finish == case.fault.finish != "stop":
        return "answered"
    if sight.text.endswith(B_TEXT) and A_TEXT.startswith(sight.text.removesuffix(B_TEXT)):
        return "spliced"
    if case.stream and sight.finish is None:
        return "silent end"
    return "looks complete"


def right(case: Case) -> frozenset[Verdict]:
    """What the client should see. The right answer is never wrong, wherever it comes from."""
    if case.fault.phase == "own":
        return frozenset({"answered", "friendly error", "provider's words"})
    late = case.committed or case.scope == "both" or case.fault.harmless
    if case.fault.phase != "none" and late:
        return frozenset({"answered", "friendly error"})
    return frozenset({"answered"})


DECEPTIVE: frozenset[Verdict] = frozenset({"silent end", "looks complete", "spliced"})
"""Verdicts after which an application goes on with what is no answer."""
UNTOLD: frozenset[Verdict] = DECEPTIVE | {"unreadable", "flooded", "leaked", "hung"}
"""Verdicts that are neither an answer nor an error that says there is none."""
