"""What evaluations think of answers: taken from whoever judges them, counted by the workers."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from headrace.config.terms import Name
from headrace.edge.admin.route import Ask
from headrace.edge.worker_sockets import ask_one
from headrace.gateway.administration.faults import Denied, Why

Measure = Literal["groundedness", "relevance", "coherence", "fluency"]


class NewScore(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mark for one answer, from 1 (worst) to 5 (best)."""

    model: Name
    """The model's name as clients write it."""
    measure: Measure
    points: Annotated[float, Meta(ge=1, le=5)]


class NewScores(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Marks, up to 500 at once."""

    scores: Annotated[list[NewScore], Meta(min_length=1, max_length=500)]


class ScoresTaken(Struct, frozen=True, kw_only=True):
    """They are counted."""

    taken: int


def take_scores(ask: Ask) -> ScoresTaken:
    """Raises Denied."""
    wish: NewScores = ask.body
    try:
        answer = ask_one(ask.parts.folder, "POST", "/scores", msgspec.json.encode(wish.scores))
    except (OSError, ValueError) as error:
        raise Denied(Why.UNAVAILABLE, "The workers do not answer just now.") from error
    if answer is None or answer[0] != 200:
        raise Denied(Why.NOT_FOUND, "No worker counts just now: telemetry.metrics may be off.")
    return ScoresTaken(taken=len(wish.scores))
