"""The pages of the console: all there are, in the order of the navigation, and their live parts."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.console.client_port import ClientPort
from headrace.console.live import Live
from headrace.console.page import Page
from headrace.console.pages import (
    alerts,
    backends,
    cache,
    calls,
    config,
    keys,
    overview,
    playground,
    savings,
    teams,
    usage,
)
from headrace.console.readings import Now
from headrace.console.templating import Templates


def pages(live: Live, port: ClientPort) -> Sequence[Page]:
    """`live` knows what is so just now, `port` is that for calls."""
    return (
        overview.page(live),
        *calls.pages(),
        *usage.pages(),
        savings.page(),
        alerts.page(),
        backends.page(),
        cache.page(),
        *keys.pages(),
        *teams.pages(),
        *playground.pages(port),
        config.page(),
    )


def live_parts(templates: Templates, now: Now | None) -> dict[str, str]:
    """HTML by the name of its place (`data-part`), for whichever page has such a place."""
    parts = {"overview": templates.render("overview_live.html", **overview.live_context(now))}
    for backend in () if now is None else now.backends:
        parts[f"backend {backend.name}"] = templates.render("backend_live.html", one=backend)
        if backend.state == "closed":  # what was the matter is no more
            parts[f"why {backend.name}"] = ""
    return parts
