"""The commands `usage`, `savings` and `ledger`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from headrace.errors import Misused

ConfigOption = Annotated[
    Path | None,
    Parameter(name=["--config", "-c"], help="The file; else HEADRACE_CONFIG, ./headrace.yaml."),
]

ledger_app = App(name="ledger", help="The record of all calls.")


ByOption = Annotated[
    list[str] | None,
    Parameter(
        help="tenant, team, user, key, model, backend, region, used_model, operation, "
        "dialect, status, finish, answered_by, reason or tag:NAME; several with commas."
    ),
]
PeriodOption = Annotated[str | None, Parameter(help="Also by hour, day, week or month, UTC.")]
SinceOption = Annotated[
    str | None, Parameter(help="2026-11-24, 2026-11-24T12:00, or 7d ago (m, h, d, w).")
]
UntilOption = Annotated[str | None, Parameter(help="As --since; else now.")]
WhereOption = Annotated[
    list[str] | None, Parameter(help="Only calls with NAME=VALUE; may be given again.")
]
JsonOption = Annotated[bool, Parameter(help="Print JSON for machines.")]


def usage(
    *,
    by: ByOption = None,
    period: PeriodOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    where: WhereOption = None,
    csv: Annotated[bool, Parameter(help="Print CSV.")] = False,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what was used: calls, tokens, cost. The last 30 days, if nothing else is said.

    Example: `headrace usage --by team,model --period day --since 7d --where tenant=acme`
    """
    from headrace.operate.finding import find_config
    from headrace.operate.usage_commands import Asked, show_usage

    if csv and json:
        raise Misused("--csv and --json are two forms.", "Ask for one of them.")
    asked = Asked(by or (), period, since, until, where or (), datetime.now(UTC))
    form = "json" if json else "csv" if csv else "table"
    sys.exit(show_usage(find_config(config), asked, form))


def savings(
    *,
    by: ByOption = None,
    period: PeriodOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    where: WhereOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Show what each pattern saved against the same calls without it. The last 30 days.

    Example: `headrace savings --by team --period week --since 28d`
    """
    from headrace.operate.finding import find_config
    from headrace.operate.savings_commands import show_savings
    from headrace.operate.usage_commands import Asked

    asked = Asked(by or (), period, since, until, where or (), datetime.now(UTC))
    sys.exit(show_savings(find_config(config), asked, "json" if json else "table"))


@ledger_app.command
def verify(
    *,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Compare the ledger's hash chains, its sums and what is left of the journal.

    Exit code 1 if anything is wrong, with what it is. Keep the ends of the chains that `--json`
    tells elsewhere: they show if the last rows are cut off.
    """
    from headrace.operate.finding import find_config
    from headrace.operate.ledger_commands import verify_ledger

    sys.exit(verify_ledger(find_config(config), as_json=json))
