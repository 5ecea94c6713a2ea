"""What `headrace top` shows on terminals of several sizes."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console

from headrace.edge.client_address import untrusted
from headrace.edge.gathering import Gathered
from headrace.gateway.telemetry.snapshot import (
    DURATIONS_S,
    BackendNow,
    Counted,
    Moment,
    new_flow,
)
from headrace.operate.top import view

MODELS = ("gpt-4o", "claude-sonnet-4-5-20250929", "[bold]text-embedding-3-large\x1b[2J")
BACKENDS = ("azure-east", "azure-west-europe-2", *(f"spare-{n}" for n in range(10)))
ALWAYS = ("Model", "Backend", "Failed", "P95", "P99", "token", "State", "Running", "Failing")
SPARED = ("P50", "Tokens", "in all")


def seen() -> Gathered:
    """Thirty seconds of a busy gateway, one of whose backends is out."""
    flows = []
    for number, model in enumerate(MODELS * 4):
        flow = new_flow(model, BACKENDS[number])
        flow.statuses = {200: 54_321 + number, 503: 1_234}
        flow.durations.counts[DURATIONS_S.index(10.0)] = 9
        flow.first_tokens.counts[DURATIONS_S.index(0.25)] = 9
        flow.tokens = {"input": 30_000_000, "output": 5_000_000}
        flow.cost_microusd = 98_765_432
        flows.append(flow)
    backends = [BackendNow(name, "closed", 12, 40, 0.02) for name in BACKENDS]
    backends[-1].state = "half-open"
    moment = Moment(running=12, backends=backends, budgets=[])
    return Gathered(Counted(flows=flows), {"1": moment, "2": replace(moment)}, 0, None)


def lines(width: int, rows: int | None, *notices: str) -> list[str]:
    """What is printed where nothing is cut."""
    gathered = seen()
    for moment, notice in zip(gathered.moments.values(), notices, strict=False):
        moment.untrusted_proxy = notice
    console = Console(width=10 * width, file=io.StringIO(), highlight=False)
    options = console.options.update(max_width=width, no_wrap=True)
    shown = view(gathered, Counted(), 30, width, rows)
    printed = console.render_lines(shown, options, pad=False)
    return ["".join(segment.text for segment in line) for line in printed]


@pytest.mark.parametrize(("width", "rows"), [(80, 24), (60, 24), (120, 40), (200, None)])
def test_headings_and_figures_are_whole_at_any_size(width: int, rows: int | None) -> None:
    told = lines(width, rows)
    assert rows is None or len(told) <= rows
    assert max(map(len, told)) <= width
    text = "\n".join(told)
    assert all(heading in text for heading in ALWAYS)
    assert all((heading in text) == (width >= 120) for heading in SPARED[1:])
    assert "1,852.2" in text  # calls a second, of the first
    assert "9.9 s" in text  # its P95
    assert "\x1b" not in text
    assert ("more" in text) == (rows == 24)


def test_names_are_whole_where_there_is_room_and_trouble_comes_first() -> None:
    told = lines(120, 40)
    assert any("claude-sonnet-4-5-20250929" in line for line in told)
    state = next(n for n, line in enumerate(told) if "State" in line)
    assert told[state + 1].split()[:2] == [BACKENDS[-1], "half-open"]
    assert told[state + 2].split()[:2] == [BACKENDS[0], "closed"]


@pytest.mark.parametrize(
    ("width", "rows", "whole"), [(80, 24, True), (60, 11, False), (80, 8, False), (120, None, True)]
)
def test_proxies_that_are_not_trusted_are_told_within_the_size(
    width: int, rows: int | None, whole: bool
) -> None:
    notices = [untrusted(peer, "forwarded") for peer in ("10.0.0.1", "2001:db8::9")]
    told = lines(width, rows, *notices)
    assert rows is None or len(told) <= rows
    assert max(map(len, told)) <= width
    text = " ".join(line.strip() for line in told)
    assert all((f"{notice}." in text) == whole for notice in notices)
    assert ("10.0.0.1 sends forwarded" in text) == (rows != 8)
    assert all(heading in text for heading in ALWAYS)
    assert "10.0.0.1" not in "".join(lines(width, rows))
