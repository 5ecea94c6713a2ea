"""`headrace alerts`: the commands."""

from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from headrace.config.alerting import AnyNotice
from headrace.config.loading import Loaded
from headrace.errors import Setup
from headrace.gateway.telemetry.alert_board import FILE_NAME, AlertBoard, read_board
from headrace.operate.alerting.azure import log_template, prometheus_template
from headrace.operate.alerting.delivery import Courier, NotDelivered
from headrace.operate.alerting.prometheus import dashboard, rules_yaml
from headrace.operate.alerting.rules import ERRORS, RULES, Reading, Unit
from headrace.operate.alerting.states import Change, Notice
from headrace.operate.tables import tally, wide_console
from headrace.platform.secrets import Secrets

STALE_S = 60.0
"""Looks are nearer to each other than this."""


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


def list_alerts(loaded: Loaded, *, as_json: bool) -> int:
    """Prints what the gateway's last look found; returns the exit code. Raises Setup."""
    board = _board(loaded.store_folder)
    firing = [line for line in board.lines if line.since_unix_s is not None]
    if as_json:
        print(msgspec.json.encode(board).decode())
    elif firing:
        units = {rule.name: rule.unit for rule in RULES}
        table = Table("Since", "Alert", "Of", "Value", "Threshold", "What to do", box=None)
        for line in firing:
            since = datetime.fromtimestamp(line.since_unix_s or 0.0, UTC)
            written = units.get(line.rule, Unit.NUMBER).written
            cells = (since.isoformat(" ", "seconds")[:19], line.rule, line.subject,
                     written(line.value), written(line.threshold), line.do)  # fmt: skip
            table.add_row(*map(Text, cells))
        wide_console().print(table)
    else:
        print(f"Nothing is an alert: {tally(len(board.lines), 'value')} watched.")
    return 1 if firing else 0


def _board(folder: Path) -> AlertBoard:
    """Raises Setup if no gateway watches."""
    try:
        board = read_board(folder)
    except OSError as error:
        raise Setup(
            f"{folder / FILE_NAME} cannot be read: {error.strerror}.",
            "Run this as the user that runs the gateway.",
        ) from error
    except ValueError as error:
        raise Setup(
            f"{folder / FILE_NAME} is not what a gateway wrote.",
            "A gateway that watches writes it anew every 15 seconds or sooner.",
        ) from error
    age_s = None if board is None else time.time() - board.at_unix_s
    if board is None or age_s is None or age_s > STALE_S:
        raise Setup(
            f"No gateway with the store {folder} watches for alerts.",
            "Run this where `headrace serve` was started, or name its file with --config. A "
            "gateway watches where `admin: {port: ...}` or `alerts.notify` is configured.",
        )
    return board


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
