"""What happened to a call so far: the plan's memory, and the explanation a user may ask for."""

from __future__ import annotations

from msgspec.structs import replace

from headrace.gateway.fleet import BackendState
from headrace.gateway.steps import Decision, Go


class Story:
    """Attempts that did not answer, and notes of what was passed over, waited for and given up."""

    __slots__ = ("_notes", "began", "past")

    def __init__(self, began: float) -> None:
        self.began = began
        self.past: list[Go] = []
        """Attempts that are over and did not answer, in order."""
        self._notes: list[Decision] | None = None

    def results(self, backend: BackendState) -> list[str]:
        """How those on that backend ended."""
        return [go.result for go in self.past if go.backend is backend]

    def skip(self, backend: BackendState, why: str, now: float) -> None:
        """The backend was not asked."""
        self.note("skipped", backend.name, why, now)

    def note(self, did: str, backend: str | None, why: str, now: float) -> None:
        if self._notes is None:
            self._notes = []
        self._notes.append(Decision(now - self.began, did, backend, why))

    def told(self, running: Go | None) -> list[Decision]:
        """All of it in order of time, with the attempt that runs or succeeded; times to the
        microsecond."""
        decisions = list(self._notes or ())
        for go in (*self.past, running):
            if go is not None:
                took_s = None if go.ended is None else go.ended - go.began
                at_s = go.began - self.began
                decisions.append(Decision(at_s, go.move.value, go.backend.name, go.result, took_s))
        decisions.sort(key=lambda decision: decision.at_s)
        return [_rounded(decision) for decision in decisions]


def _rounded(decision: Decision) -> Decision:
    took_s = None if decision.took_s is None else round(decision.took_s, 6)
    return replace(decision, at_s=round(decision.at_s, 6), took_s=took_s)
