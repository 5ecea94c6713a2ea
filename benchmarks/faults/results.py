"""What a run found, as `--json` writes it."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from benchmarks.faults.verdict import Verdict


class CallSeen(Struct):
    """One call."""

    verdict: Verdict
    status: int
    """Of an error; 0 for none and for one within a stream."""
    code: str
    message: str
    text: str
    """The answer's last 200 characters."""
    finish: str | None
    elapsed_s: float


class CaseResult(Struct):
    """The calls of one case at one gateway."""

    gateway: str
    case: str
    """The case's model."""
    calls: list[CallSeen]
    attempts_a: int
    """HTTP requests that reached backend A, over all calls."""
    attempts_b: int
    most_attempts: int
    """That one call led to."""
    early: int
    """Requests to a backend within the time for which it had asked to be left alone."""

    def verdicts(self) -> Counter[Verdict]:
        """How often each word was given, in the order of the calls."""
        return Counter(call.verdict for call in self.calls)

    def slowest_s(self) -> float:
        """Of the calls."""
        return max(call.elapsed_s for call in self.calls)


class Run(Struct):
    """All that a run saw."""

    date: str
    sdk: str
    calls: int
    patience_s: float
    versions: dict[str, str]
    """By name of gateway, in the order of the tables."""
    skipped: dict[str, str] = {}
    problems: list[str] = []
    results: list[CaseResult] = []

    def gateways(self) -> list[str]:
        """Names of the gateways that were run."""
        return [name for name in self.versions if any(r.gateway == name for r in self.results)]
