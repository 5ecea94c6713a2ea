"""What the running workers say: asked by their control sockets."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from msgspec import Struct

from headrace.data.registry.rows import Wanted
from headrace.edge.admin.route import Ask
from headrace.edge.worker_sockets import ask_each
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.telemetry.alert_board import AlertBoard, read_board


class BackendView(Struct, frozen=True, kw_only=True):
    """A backend as one worker sees it."""

    name: str
    state: str
    may_be_asked: bool
    why: str
    in_s: float | None
    running: int
    limit: float
    failure_share: float | None
    pid: int


class BackendChange(Struct, frozen=True, kw_only=True):
    """A backend was taken out or brought back, in so many workers."""

    name: str
    state: str
    workers: int


class CallStory(Struct, frozen=True, kw_only=True):
    """What was decided, in order."""

    id: str
    decisions: list[dict[str, Any]]


class HealthView(Struct, frozen=True, kw_only=True):
    """`workers` are those on this machine."""

    workers: int
    registry_revision: int


def metrics(ask: Ask) -> str:
    try:
        return ask.parts.metrics.text()
    except (OSError, ValueError) as error:
        raise Denied(Why.UNAVAILABLE, "The workers do not answer just now.") from error


def health(ask: Ask) -> HealthView:
    ask.parts.desk.page(Wanted("tenant"), None, 1)
    return HealthView(workers=len(workers_say(ask, "GET", "/workers")),
                      registry_revision=ask.parts.desk.revision())  # fmt: skip


def backends(ask: Ask) -> list[dict[str, Any]]:
    return [told for _, answer in workers_say(ask, "GET", "/backends") for told in answer]


def alerts(ask: Ask) -> AlertBoard:
    try:
        board = read_board(ask.parts.folder)
    except (OSError, ValueError) as error:
        raise Denied(Why.UNAVAILABLE, "What is watched cannot be read just now.") from error
    if board is None:
        raise Denied(
            Why.NOT_FOUND, "Nothing is watched: `alerts: {enabled: false}` is in the configuration."
        )
    return board


def isolate(ask: Ask) -> BackendChange:
    return _change(ask, "isolate")


def restore(ask: Ask) -> BackendChange:
    return _change(ask, "restore")


def story(ask: Ask) -> CallStory:
    call = ask.path["call"]
    for status, told in workers_say(ask, "GET", f"/calls/{quote(call, safe='')}"):
        if status == 200:
            return CallStory(id=call, decisions=told)
    raise Denied(
        Why.NOT_FOUND,
        f"No worker remembers the call {call[:64]!r}. Only calls that were refused or met with "
        "trouble are remembered, and only the last thousand of each. What the ledger has: "
        "`/v1/calls?call=`. Why a key or an access token was refused is in the audit log.",
    )


def _change(ask: Ask, verb: str) -> BackendChange:
    name = ask.path["backend"]
    known = {told["name"] for told in backends(ask)}
    if name not in known:
        raise Denied(Why.NOT_FOUND, f"There is no backend {name[:64]!r}.")
    ask.parts.desk.tell(ask.by, f"backends.{verb}", name, None, {})
    answers = workers_say(ask, "POST", f"/backends/{quote(name, safe='')}/{verb}")
    done = [told for status, told in answers if status == 200]
    if not done:
        raise Denied(Why.UNAVAILABLE, "No worker answered.")
    return BackendChange(name=name, state=done[0]["state"], workers=len(done))


def workers_say(
    ask: Ask, method: str, target: str, body: bytes | None = None
) -> list[tuple[int, Any]]:
    """Status and answer of each worker that runs. Raises Denied."""
    try:
        return ask_each(ask.parts.folder, method, target, body)
    except (OSError, ValueError) as error:
        raise Denied(Why.UNAVAILABLE, "The workers do not answer just now.") from error
