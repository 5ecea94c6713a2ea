"""The tables: on the terminal and between the markers of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.peers import PEERS
from benchmarks.report_text import number, put_between, spread
from benchmarks.results import BASELINE, METRICS, Bar, Metric, Run, bars, figure, load_bound, ratio
from benchmarks.svg import chart
from benchmarks.upstreams import REPO

DOC = REPO / "docs" / "benchmarks.md"
CHART = REPO / "docs" / "assets" / "benchmarks.svg"
_BEGIN, _END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"

Rows = list[tuple[str, list[str]]]


def titles(run: Run) -> dict[str, str]:
    """Names of the measured gateways as tables spell them."""
    return {name: PEERS[name].title for name in run.gateways()}


def ratio_rows(run: Run) -> Rows:
    """Ratios to nginx of the same round."""

    def cell(metric: Metric, name: str) -> str:
        found = ratio(run, name, BASELINE, metric.key)
        mark = "*" if _bound(run, metric, name) or _bound(run, metric, BASELINE) else ""
        return spread(found, "x") + mark if found else "-"

    return list(_rows(run, [metric for metric in METRICS if metric.ratio], cell))


def absolute_rows(run: Run) -> Rows:
    """The figures themselves."""

    def cell(metric: Metric, name: str) -> str:
        found = figure(run, name, metric.key)
        mark = "*" if _bound(run, metric, name) else ""
        return spread(found) + mark if found else "-"

    return list(_rows(run, METRICS, cell, with_unit=True))


def _bound(run: Run, metric: Metric, name: str) -> bool:
    return load_bound(run, name, metric.key)


def _rows(
    run: Run, metrics: list[Metric], cell: Callable[[Metric, str], str], *, with_unit: bool = False
) -> Iterator[tuple[str, list[str]]]:
    for metric in metrics:
        cells = [cell(metric, name) for name in run.gateways()]
        if any(text != "-" for text in cells):
            yield f"{metric.title} ({metric.unit})" if with_unit else metric.title, cells


def show(run: Run, console: Console) -> None:
    """Print the tables, what went wrong, and the bars."""
    for caption, rows in (
        ("Times nginx in the same round", ratio_rows(run)),
        ("Median (least..most of the rounds)", absolute_rows(run)),
    ):
        table = Table("", *titles(run).values(), title=caption, title_justify="left")
        for title, cells in rows:
            table.add_row(title, *cells)
        console.print(table)
    console.print("* the gateway's core was not full: load, upstream or neighbours were the limit")
    for name, how in run.skipped.items():
        console.print(f"Skipped {PEERS[name].title}: not installed. To install it: {how}")
    for problem in run.problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)
    for bar in bars(run):
        console.print(_verdict(bar), highlight=False)


def _verdict(bar: Bar) -> str:
    word = {True: "[green]pass[/]", False: "[red]FAIL[/]", None: "[yellow]not measured[/]"}
    found = "" if bar.value is None else f": {number(bar.value)} {bar.unit}"
    sign = "at least" if bar.at_least else "at most"
    return f"{word[bar.passed]}  {bar.title}{found} ({sign} {number(bar.limit)} {bar.unit})"


def write_docs(run: Run) -> None:
    """Put the tables between the markers of docs/benchmarks.md and draw the chart.

    Raises `ValueError` if the page has lost its markers.
    """
    put_between(DOC, _BEGIN, _END, _tables(run))
    _write(CHART, chart(run, titles(run)))


def _tables(run: Run) -> str:
    names = titles(run)
    versions = ", ".join(f"{names[name]} {run.versions[name]}" for name in names)
    lines = [
        f"Measured on {run.machine}; {_rounds(len(run.rounds))}"
        + (", a quick run" if run.quick else "")
        + f". {versions}.",
        "",
        "![CPU per call, CPU per chunk and added latency](assets/benchmarks.svg)",
        "",
        "Times nginx in the same round, median (least..most):",
        "",
        *_markdown(list(names.values()), ratio_rows(run)),
        "",
        "Absolute, median (least..most):",
        "",
        *_markdown(list(names.values()), absolute_rows(run)),
        "",
        "\\* The gateway's core was not full: load, upstream or neighbours were the limit.",
    ]
    if run.problems:
        lines += ["", "Calls that went wrong in this run:", ""]
        lines += [f"- {problem}" for problem in run.problems]
    return "\n".join(lines)


def _rounds(count: int) -> str:
    return "one round" if count == 1 else f"the median of {count} rounds"


def _markdown(head: list[str], rows: Rows) -> Iterator[str]:
    yield "| | " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * len(head)
    for title, cells in rows:
        yield f"| {title} | " + " | ".join(text.replace("*", "\\*") for text in cells) + " |"


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
