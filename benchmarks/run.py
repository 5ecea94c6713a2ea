"""The comparison: every gateway in every round, in turn, against the same upstreams."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.measure import FULL, QUICK, Measurement, Plan, Readings, running
from benchmarks.peers import PEERS, Peer
from benchmarks.processes import load_cores, raise_file_limit
from benchmarks.report import show, write_docs
from benchmarks.results import DIRECT, Run, bars
from benchmarks.upstreams import Upstream, stream_upstream, whole_upstream

app = App(name="python -m benchmarks", help_format="markdown")


@app.default
def compare(
    *,
    quick: bool = False,
    only: str = "",
    rounds: Annotated[int | None, Parameter(help="Rounds; 3, or 1 with --quick.")] = None,
    json: Path | None = None,
    docs: bool = False,
    check: bool = False,
) -> int:
    """Compare Headrace with nginx, Portkey and LiteLLM on this machine.

    Each gateway runs one worker, alone on the first core; the load and the upstreams run on the
    others, and all traffic stays on loopback. A round takes about 5 minutes, a quick one about
    2.5, most of it LiteLLM's. Gateways that are not installed are skipped with a line that says how
    to install them.

    - `python -m benchmarks --quick --only headrace,nginx`: a first look, in a minute
    - `python -m benchmarks --rounds 5 --docs`: renew docs/benchmarks.md
    - `python -m benchmarks --check`: exit 1 if a bar is missed

    Args:
        quick: Fewer cases and shorter runs. The figures are rougher.
        only: Gateways to run, with commas between: headrace,nginx,portkey,litellm.
        json: Write all readings to this file.
        docs: Put the tables and the chart into docs/benchmarks.md.
        check: Exit 1 if a bar is missed or a call failed.
    """
    console = Console()
    peers, skipped = _installed(only)
    run = Run(
        machine=_machine(),
        quick=quick,
        versions={peer.name: peer.version() for peer in peers},
        skipped=skipped,
    )
    raise_file_limit()
    os.sched_setaffinity(0, load_cores())
    plan = QUICK if quick else FULL
    try:
        _rounds(run, peers, plan, rounds or (1 if quick else 3), console)
    finally:
        if json is not None:
            json.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    show(run, console)
    if docs:
        write_docs(run)
    missed = any(bar.passed is False for bar in bars(run)) or bool(run.problems)
    return 1 if check and missed else 0


def _installed(only: str) -> tuple[list[Peer], dict[str, str]]:
    asked = [name.strip() for name in only.split(",") if name.strip()] or list(PEERS)
    unknown = [name for name in asked if name not in PEERS]
    if unknown:
        known = ", ".join(name for name in PEERS if name != DIRECT)
        raise SystemExit(f"no gateway is named {', '.join(unknown)}; there are: {known}")
    chosen = [peer for name, peer in PEERS.items() if name in asked or name == DIRECT]
    skipped = {peer.name: how for peer in chosen if (how := peer.missing()) is not None}
    return [peer for peer in chosen if peer.name not in skipped], skipped


def _machine() -> str:
    family = ".".join(platform.release().split(".")[:2])
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {platform.system()} {family}, {python}"


def _rounds(run: Run, peers: list[Peer], plan: Plan, rounds: int, console: Console) -> None:
    steps = len(plan.cases) + 6
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        whole = stack.enter_context(whole_upstream(folders[0]))
        stream = stack.enter_context(stream_upstream(folders[1]))
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console,
                # Drawing costs the load generator's core little, but often is not needed.
                refresh_per_second=2,
            )
        )
        task = progress.add_task("", total=rounds * len(peers) * steps)
        for number in range(1, rounds + 1):
            run.rounds.append({})
            for peer in peers:
                progress.update(task, description=f"round {number}: {peer.title}")
                readings = run.rounds[-1].setdefault(peer.name, {})
                try:
                    for found in _measure(peer, plan, whole, stream, run.problems):
                        readings.update(found)
                        progress.advance(task)
                except RuntimeError as error:
                    run.problems.append(f"{peer.title}: {error}")
            progress.update(task, completed=number * len(peers) * steps)


def _measure(
    peer: Peer, plan: Plan, whole: Upstream, stream: Upstream, problems: list[str]
) -> Iterator[Readings]:
    with running(peer, whole) as gateway:
        yield from Measurement(gateway, plan, peer.title, problems).whole()
    with running(peer, stream) as gateway:
        yield from Measurement(gateway, plan, peer.title, problems).streams()


def main() -> None:
    """`python -m benchmarks`."""
    sys.exit(app())


if __name__ == "__main__":
    main()
