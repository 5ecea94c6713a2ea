"""What is watched, and what is an alert just now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from headrace.console.figures import count, duration, share
from headrace.console.page import Page, Visit
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.telemetry.alert_board import AlertBoard, AlertLine

STALE_S = 60.0
"""Looks are nearer to each other than this."""


DURATIONS = ("latency-p95", "ledger-behind")


def figure(line: AlertLine, value: float) -> str:
    """A value or threshold in its rule's unit."""
    if line.rule in DURATIONS:
        return duration(value)
    if line.rule in ("error-share", "cost-over-budget", "tokens-over-budget", "cache-wrong-hits"):
        return share(value)
    return count(value) if value == int(value) else f"{value:.2f}"


async def _show(visit: Visit) -> Mapping[str, Any]:
    board: AlertBoard | None = None
    off = None
    try:
        board = await visit.ask("list_alerts")
    except Denied as denied:
        if denied.why is not Why.NOT_FOUND:
            raise
        off = denied.detail
    lines = [] if board is None else board.lines
    now = time.time()
    return {
        "board": board,
        "off": off,
        "firing": [line for line in lines if line.since_unix_s is not None],
        "quiet": [line for line in lines if line.since_unix_s is None],
        "age_s": 0.0 if board is None else max(0.0, now - board.at_unix_s),
        "stale": board is not None and now - board.at_unix_s > STALE_S,
        "now": now,
        "figure": figure,
    }


def page() -> Page:
    return Page(
        path="/alerts",
        title="Alerts",
        template="alerts.html",
        needs=("list_alerts",),
        show=_show,
        group="Watch",
        icon="bell",
    )
