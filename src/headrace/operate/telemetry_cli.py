"""The commands `alerts` and `top`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from headrace.errors import Misused

ConfigOption = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The file; else HEADRACE_CONFIG, ./headrace.yaml."),
]

SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.2, 3600.0

alerts_app = App(
    name="alerts", help="What is an alert, who is told of it, and the same for Prometheus."
)


@alerts_app.command(name="test")
def send_test(
    *,
    config: ConfigOption = None,
    json: Annotated[bool, Parameter(name="--json", help="Print JSON for machines.")] = False,
) -> None:
    """Tell everybody in `alerts.notify` of an alert that is none, and of its end.

    Exit code 1 if somebody could not be told.
    """
    from headrace.operate.alerting.commands import send_test as sent
    from headrace.operate.finding import find_config

    sys.exit(sent(find_config(config), as_json=json))


@alerts_app.command(name="list")
def list_alerts(
    *,
    config: ConfigOption = None,
    json: Annotated[bool, Parameter(name="--json", help="Print JSON for machines.")] = False,
) -> None:
    """Show what is an alert just now, since when, and what to do. With --json all that is watched.

    Exit code 1 if anything is an alert.
    """
    from headrace.operate.alerting.commands import list_alerts as listed
    from headrace.operate.finding import find_config

    sys.exit(listed(find_config(config), as_json=json))


@alerts_app.command
def rules(*, config: ConfigOption = None) -> None:
    """Print the rules as a rule file of Prometheus, with the thresholds of the configuration.

    Example: `headrace alerts rules > /etc/prometheus/rules/headrace.yml`
    """
    from headrace.operate.alerting.commands import print_rules
    from headrace.operate.finding import find_config

    print_rules(find_config(config))


@alerts_app.command
def azure(
    *,
    source: Annotated[
        Literal["prometheus", "application-insights"],
        Parameter(help="What the rules read: Azure's managed Prometheus, or traces."),
    ] = "prometheus",
    config: ConfigOption = None,
) -> None:
    """Print the rules for Azure Monitor, as a template of Azure Resource Manager.

    Example: `headrace alerts azure > alerts.json`, then `az deployment group create
    --template-file alerts.json --parameters workspaceId=... actionGroupId=...`
    """
    from headrace.operate.alerting.commands import print_azure
    from headrace.operate.finding import find_config

    print_azure(find_config(config), source)


@alerts_app.command
def dashboard() -> None:
    """Print a dashboard for Grafana's import, as JSON."""
    from headrace.operate.alerting.commands import print_dashboard

    print_dashboard()


def top(
    *,
    config: ConfigOption = None,
    every: Annotated[float, Parameter(help="Seconds from one look to the next.")] = 2.0,
    once: Annotated[bool, Parameter(help="Print one look and end.")] = False,
    json: Annotated[bool, Parameter(help="Print a line of JSON for each look.")] = False,
) -> None:
    """Watch a running gateway: calls a second, times, errors, cost by model and backend."""
    from headrace.operate.finding import find_config
    from headrace.operate.top import print_looks, watch_gateway

    if not SHORTEST_LOOK_S <= every <= LONGEST_LOOK_S:
        raise Misused(
            f"--every cannot be {every:g}.",
            f"Write seconds from {SHORTEST_LOOK_S:g} to {LONGEST_LOOK_S:g}.",
        )
    shown = print_looks if json else watch_gateway
    shown(find_config(config), every, looks=2 if once else None)
