"""`headrace top`: what a running gateway does, in the terminal."""

from __future__ import annotations

import itertools
import time

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.config.loading import Loaded
from headrace.edge.gathering import Gathered, Gatherer
from headrace.errors import Setup
from headrace.gateway.telemetry.history import flows_since, quantile
from headrace.gateway.telemetry.snapshot import DURATIONS_S, Counted, Flow
from headrace.operate.tables import tally


def watch_gateway(loaded: Loaded, every_s: float, *, looks: int | None) -> None:
    """Until it is interrupted, or for so many looks. Raises Setup if nothing can be seen."""
    gatherer, console = Gatherer(loaded.store_folder), Console()
    before, at = _look(gatherer, loaded), time.monotonic()
    with Live(console=console, auto_refresh=False, screen=looks is None) as live:
        for _ in itertools.count() if looks is None else range(looks - 1):
            time.sleep(every_s)
            gathered, now = _look(gatherer, loaded), time.monotonic()
            live.update(view(gathered, before.counted, now - at), refresh=True)
            before, at = gathered, now
    if looks is not None and not console.is_terminal:
        console.print()  # the last look stands there without an end of its line


def _look(gatherer: Gatherer, loaded: Loaded) -> Gathered:
    try:
        gathered = gatherer.gather()
    except PermissionError as error:
        raise Setup(
            f"This user may not open the sockets in {loaded.store_folder}.",
            "Run it as the user that runs the gateway.",
        ) from error
    except (OSError, ValueError) as error:
        raise Setup("The gateway's workers do not answer.", "Try again shortly.") from error
    if not gathered.moments:
        raise Setup(
            f"No gateway that counts its calls runs with the store {loaded.store_folder}.",
            "Run this where `headrace serve` was started, or name its file with --config; and "
            "see that the file has `admin`, or `telemetry: {metrics: true}`.",
        )
    return gathered


def view(gathered: Gathered, before: Counted, seconds: float) -> Group:
    """One look: what came within these seconds, and what is so now."""
    moments = gathered.moments.values()
    running = sum(moment.running for moment in moments)
    flows = flows_since(gathered.counted, before)
    spent = sum(flow.cost_microusd for flow in flows) / 1e6
    calls = sum(sum(flow.statuses.values()) for flow in flows)
    head = Text(
        f"{calls / seconds:,.1f} calls/s   {running} running   "
        f"${spent / seconds * 3600:,.2f} an hour   {tally(len(gathered.moments), 'worker')}"
    )
    return Group(head, _flow_table(flows, gathered.counted, seconds), _backend_table(gathered))


def _flow_table(flows: list[Flow], counted: Counted, seconds: float) -> Table:
    table = Table("Model", "Backend", "Calls/s", "Failed", "P50", "P95", "P99", "First token",
                  "Tokens/s", "Calls in all")  # fmt: skip
    in_all = {(f.model, f.backend): sum(f.statuses.values()) for f in counted.flows}
    for flow in sorted(flows, key=lambda f: (-sum(f.statuses.values()), f.model, f.backend)):
        calls = sum(flow.statuses.values())
        failed = sum(n for status, n in flow.statuses.items() if status == 429 or status >= 500)
        tokens = flow.tokens.get("input", 0) + flow.tokens.get("output", 0)
        table.add_row(
            flow.model,
            flow.backend or "-",
            f"{calls / seconds:,.1f}",
            f"{100 * failed / calls:.0f} %" if calls else "",
            *(_ms(quantile(flow.durations, DURATIONS_S, share)) for share in (0.5, 0.95, 0.99)),
            _ms(quantile(flow.first_tokens, DURATIONS_S, 0.5)),
            f"{tokens / seconds:,.0f}",
            f"{in_all[flow.model, flow.backend]:,}",
        )
    return table


def _backend_table(gathered: Gathered) -> Table:
    table = Table("Backend", "State", "Running", "Failing")
    names = dict.fromkeys(b.name for m in gathered.moments.values() for b in m.backends)
    for name in names:
        seen = [b for m in gathered.moments.values() for b in m.backends if b.name == name]
        states = dict.fromkeys(one.state for one in seen)
        table.add_row(
            name,
            ", ".join(states),
            f"{sum(one.running for one in seen)} of {sum(one.limit for one in seen):g}",
            f"{100 * max(one.failure_share for one in seen):.0f} %",
        )
    return table


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:,.0f} ms"
