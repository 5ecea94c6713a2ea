"""The gateway's side of a local model, which speaks OpenAI's API on loopback."""

from __future__ import annotations

from headrace.nouns import Operation
from headrace.services.local.admission import Admission
from headrace.services.local.catalogue import Kind
from headrace.services.local.process import Endpoint
from headrace.services.openai import OpenAIService

_OPERATIONS: dict[Kind, frozenset[Operation]] = {
    "chat": frozenset({Operation.CHAT, Operation.COMPLETIONS}),
    "embeddings": frozenset({Operation.EMBEDDINGS}),
}


class LocalService(OpenAIService):
    """One local model. A call takes a place in its bounded queue."""

    def __init__(self, endpoint: Endpoint, kind: Kind, admission: Admission) -> None:
        super().__init__(
            origin=endpoint.origin,
            path="/v1",
            headers=[(b"Authorization", b"Bearer " + endpoint.key.encode())],
            model=endpoint.model,
            provider="local",
            operations=_OPERATIONS[kind],
        )
        self._admission = admission

    def enter(self, now: float) -> int:
        return self._admission.enter(now)

    def leave(self, place: int, now: float) -> None:
        self._admission.leave(place, now)
