"""The configuration in force, beside what the file says now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.console.page import Page, Visit

_CLASSES = {"+": "add", "-": "gone", "@": "place"}


async def show(visit: Visit) -> Mapping[str, Any]:
    told = await visit.ask("config")
    lines = [(_CLASSES.get(line[:1], "same"), line) for line in told.diff[2:]]
    return {"told": told, "diff": lines}


def page() -> Page:
    return Page(
        path="/config",
        title="Configuration",
        template="config.html",
        needs=("config",),
        show=show,
        group="Steer",
        icon="page",
    )
