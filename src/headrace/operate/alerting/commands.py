"""`headrace alerts`: the commands."""

from __future__ import annotations

import json
import os
import socket
import time

from headrace.config.alerting import AnyNotice
from headrace.config.loading import Loaded
from headrace.errors import Setup
from headrace.operate.alerting.azure import log_template, prometheus_template
from headrace.operate.alerting.delivery import Courier, NotDelivered
from headrace.operate.alerting.prometheus import dashboard, rules_yaml
from headrace.operate.alerting.rules import ERRORS, Reading
from headrace.operate.alerting.states import Change, Notice
from headrace.platform.secrets import Secrets


def send_test(loaded: Loaded, *, as_json: bool) -> int:
    """Tells everybody of an alert that is none, and its end; returns the exit code. Raises
    Setup."""
    alerts = loaded.config.alerts
    if not alerts.notify:
        raise Setup(
            "Nobody is told of alerts: the configuration has no `alerts.notify`.",
            "Add one, such as `alerts: {notify: {team: {to: slack, url: env:SLACK_URL}}}`.",
        )
    secrets = Secrets(os.environ, loaded.folder)
    courier = Courier(socket.gethostname(), alerts.runbook_url, secrets)
    reading = Reading(ERRORS, "a test, nothing is wrong", 0.06, 0.06, alerts.error_share)
    faults = {}
    for name, to in alerts.notify.items():
        faults[name] = fault = _fault_of(courier, to, reading)
        if not as_json:
            print(f"{name}: told" if fault is None else f"{name}: not told: {fault}")
    if as_json:
        told = [{"name": n, "told": f is None, "fault": f} for n, f in faults.items()]
        print(json.dumps({"notify": told}))
    return 0 if all(fault is None for fault in faults.values()) else 1


def _fault_of(courier: Courier, to: AnyNotice, reading: Reading) -> str | None:
    """Why somebody was not told; None if they were."""
    try:
        for change in (Change.BEGINS, Change.ENDS):
            courier.deliver(to, Notice(change, reading, time.monotonic()))
    except (NotDelivered, Setup) as fault:
        return str(fault)
    return None


def print_rules(loaded: Loaded) -> None:
    print(rules_yaml(loaded.config.alerts), end="")


def print_azure(loaded: Loaded, source: str) -> None:
    """Raises Setup."""
    alerts, traces = loaded.config.alerts, loaded.config.telemetry.traces
    over_logs = source == "application-insights"
    made = log_template(alerts, traces) if over_logs else prometheus_template(alerts)
    print(json.dumps(made, indent=2))


def print_dashboard() -> None:
    print(json.dumps(dashboard(), indent=2))
