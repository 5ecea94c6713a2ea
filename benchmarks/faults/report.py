"""The tables: on the terminal and between the markers of docs/faults.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from statistics import mean

from rich.console import Console
from rich.table import Table

from benchmarks.faults.cases import FAULTS, Case, Scope, cases
from benchmarks.faults.gateways import SETUPS
from benchmarks.faults.results import CaseResult, Run
from benchmarks.faults.verdict import DECEPTIVE, UNTOLD, WORDS, Verdict, right
from benchmarks.report_text import put_between
from benchmarks.upstreams import REPO

DOC = REPO / "docs" / "faults.md"
_BEGIN, _END = "<!-- faults:begin -->", "<!-- faults:end -->"

SOONER_S = 5.0
"""By how much a gateway has to be sooner to be told as better."""

Row = tuple[str, list[str]]
Column = list[tuple[Case, CaseResult]]
"""All that one gateway did."""


def show(run: Run, console: Console) -> None:
    """Print the tables, the sums and what went wrong."""
    names = [SETUPS[name].peer.title for name in run.gateways()]
    for caption, rows in (
        ("A is at fault, B is healthy", list(case_rows(run, "one"))),
        ("Both are at fault", list(case_rows(run, "both"))),
        ("In sum", list(sum_rows(run))),
    ):
        table = Table("", *names, title=caption, title_justify="left")
        for title, cells in rows:
            table.add_row(title, *cells)
        console.print(table)
    for name, how in run.skipped.items():
        console.print(f"Skipped {SETUPS[name].peer.title}: not installed. To install it: {how}")
    for problem in run.problems:
        console.print(f"[red]Problem:[/] {problem}", highlight=False)


def case_rows(run: Run, scope: Scope) -> Iterator[Row]:
    """A row for each case: what the calls saw, attempts on A and B, the slowest call."""
    for case in cases(FAULTS):
        if case.scope != scope:
            continue
        cells = [_cell(case, _find(run, name, case)) for name in run.gateways()]
        if any(cells):
            yield _title(case), cells


def better_rows(run: Run) -> Iterator[Row]:
    """The cases in which another gateway did better than the first of them: more right answers,
    more that is as it should be, or as good and sooner by seconds."""
    own, *others = run.gateways()
    for case in cases(FAULTS):
        first = _find(run, own, case)
        found = [_find(run, name, case) for name in others]
        if first and any(result and _better(case, result, first) for result in found):
            cells = [_cell(case, result) for result in (first, *found)]
            yield f"{_title(case)}, {case.scope} at fault", cells


def _better(case: Case, result: CaseResult, than: CaseResult) -> bool:
    mine, theirs = _score(case, result), _score(case, than)
    told = not any(verdict in UNTOLD for verdict in result.verdicts())
    return mine > theirs or (told and result.slowest_s() < than.slowest_s() - SOONER_S)


def _score(case: Case, result: CaseResult) -> tuple[int, int]:
    found = result.verdicts()
    return found["answered"], sum(n for verdict, n in found.items() if verdict in right(case))


def _title(case: Case) -> str:
    mode = "stream" if case.stream else "whole"
    late = ", after content" if case.committed else ""
    return f"{case.fault.number} {case.fault.title}, {mode}{late}"


def _find(run: Run, gateway: str, case: Case) -> CaseResult | None:
    return next((r for r in run.results if (r.gateway, r.case) == (gateway, case.model)), None)


def _cell(case: Case, result: CaseResult | None) -> str:
    if result is None:
        return ""
    words = []
    for verdict, count in result.verdicts().items():
        statuses = {call.status for call in result.calls if call.verdict == verdict} - {0}
        said = " ".join([verdict, *(str(status) for status in sorted(statuses))])
        mark = "" if verdict in right(case) else "!"
        words.append(f"{mark}{said}" + (f" x{count}" if len(result.verdicts()) > 1 else ""))
    faulty_a = "?" if case.fault.nothing_listens else str(result.attempts_a)
    unheard = case.fault.nothing_listens and case.scope == "both"
    faulty_b = "?" if unheard else str(result.attempts_b)
    return f"{', '.join(words)}; {faulty_a}+{faulty_b}; {_seconds(result.slowest_s())}"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def sum_rows(run: Run) -> Iterator[Row]:
    """Sums over all calls."""
    by_model = {case.model: case for case in cases(FAULTS)}
    columns = {
        name: [(by_model[r.case], r) for r in run.results if r.gateway == name]
        for name in run.gateways()
    }

    def row(title: str, cell: Callable[[Column], str]) -> Row:
        return title, [cell(found) for found in columns.values()]

    yield row("Calls", lambda found: str(sum(len(r.calls) for _, r in found)))
    yield row("As it should be", _as_it_should_be)
    yield row("Answered, where B could", _hidden)
    yield row("Cut, empty or wrong, and the SDK raises nothing", _deceived)
    for verdict in WORDS:
        yield row(verdict, partial(_count, verdict))
    yield row("HTTP attempts for a call when both are at fault, mean (most)", _amplification)
    yield row("Attempts while a 429 asked to be left alone", _early)


def _as_it_should_be(found: Column) -> str:
    calls = [call.verdict in right(case) for case, result in found for call in result.calls]
    return f"{sum(calls)} of {len(calls)}"


def _hidden(found: Column) -> str:
    calls = [
        call.verdict == "answered"
        for case, result in found
        if case.scope == "one" and case.fault.phase != "own" and not case.committed
        for call in result.calls
    ]
    return f"{sum(calls)} of {len(calls)}"


def _count(verdict: Verdict, found: Column) -> str:
    return str(sum(result.verdicts()[verdict] for _, result in found))


def _deceived(found: Column) -> str:
    return str(sum(call.verdict in DECEPTIVE for _, result in found for call in result.calls))


def _amplification(found: Column) -> str:
    both = [(c, r) for c, r in found if c.scope == "both" and not c.fault.nothing_listens]
    if not both:
        return "-"
    each = mean((r.attempts_a + r.attempts_b) / len(r.calls) for _, r in both)
    return f"{each:.1f} ({max(r.most_attempts for _, r in both)})"


def _early(found: Column) -> str:
    return str(sum(result.early for _, result in found))


def write_docs(run: Run) -> None:
    """Put the tables between the markers of docs/faults.md.

    Raises `ValueError` if the page has lost its markers.
    """
    put_between(DOC, _BEGIN, _END, _tables(run))


def _tables(run: Run) -> str:
    names = [SETUPS[name].peer.title for name in run.gateways()]
    versions = ", ".join(
        f"{SETUPS[name].peer.title} {run.versions[name]}" for name in run.gateways()
    )
    lines = [
        f"Run on {run.date}: {versions}; OpenAI SDK {run.sdk}. {run.calls} calls for each case, "
        f"one for those of F20; a call that took {run.patience_s:.0f} s was given up as hung.",
        *(f"{SETUPS[name].peer.title} was not installed in this run." for name in run.skipped),
        *(f"{problem.splitlines()[0]}." for problem in run.problems),
        "",
        "## In sum",
        "",
        *_markdown(names, sum_rows(run), "---:"),
        "",
        f"## Where another did better than {names[0]}",
        "",
        "More answers, more that is as it should be, or an answer or error "
        f"{SOONER_S:.0f} s sooner:",
        "",
        *_markdown(names, better_rows(run), "---"),
        "",
        "## A is at fault, B is healthy",
        "",
        *_markdown(names, case_rows(run, "one"), "---"),
        "",
        "## Both are at fault",
        "",
        *_markdown(names, case_rows(run, "both"), "---"),
        "",
        "## How each was set up",
        "",
        *(f"- {SETUPS[name].peer.title}: {SETUPS[name].how}" for name in run.gateways()),
        "",
        "## The words",
        "",
        "| | what the client saw |",
        "|---|---|",
        *(f"| {word} | {meaning} |" for word, meaning in WORDS.items()),
    ]
    return "\n".join(lines)


def _markdown(head: list[str], rows: Iterator[Row], align: str) -> Iterator[str]:
    yield "| | " + " | ".join(head) + " |"
    yield "|---|" + f"{align}|" * len(head)
    for title, cells in rows:
        yield f"| {title} | " + " | ".join(_marked(text) for text in cells) + " |"


def _marked(text: str) -> str:
    """What is not as it should be in bold type; on a terminal it has an exclamation mark."""
    words, separator, rest = text.partition(";")
    parts = [f"**{w.removeprefix('!')}**" if w[:1] == "!" else w for w in words.split(", ")]
    return ", ".join(parts) + separator + rest
