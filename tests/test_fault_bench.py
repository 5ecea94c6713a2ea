"""The fault bench: its judgement, and a run of it with Headrace alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.faults.cases import A_TEXT, B_TEXT, CANARY, FAULTS, UTF8_TEXT, Case, cases, chosen
from benchmarks.faults.verdict import FLOOD_BYTES, Sight, Verdict, judge, right

REPO = Path(__file__).resolve().parent.parent
PLAIN, UTF8 = chosen(["f9"])
(FILTERED,) = (fault for fault in FAULTS if fault.finish == "content_filter")


def _error(message: str, shaped: bool = True) -> Sight:
    return Sight(error="api", status=500, message=message, shaped=shaped, everything=message)


SIGHTS: list[tuple[Verdict, Sight]] = [
    ("answered", Sight(text=A_TEXT, finish="stop")),
    ("answered", Sight(text=B_TEXT, finish="stop")),
    ("looks complete", Sight(text=A_TEXT[:40], finish="stop")),
    ("looks complete", Sight(text="", finish="stop")),
    ("looks complete", Sight(text=A_TEXT, finish="length")),
    ("silent end", Sight(text=A_TEXT[:40])),
    ("silent end", Sight()),
    ("spliced", Sight(text=A_TEXT[:40] + B_TEXT, finish="stop")),
    ("hung", Sight(text=A_TEXT, hung=True)),
    ("flooded", Sight(text_bytes=FLOOD_BYTES + 1, hung=True)),
    ("leaked", Sight(text=A_TEXT, finish="stop", everything=f"{A_TEXT} {CANARY}")),
    ("leaked", _error(f"no route to gpu.{CANARY}.internal")),
    ("broken connection", Sight(error="connection")),
    ("unreadable", Sight(error="unreadable")),
    ("friendly error", _error("The model's provider had a fault of its own. Please try again.")),
    ("provider's words", _error("openai error: The server had an error while processing it.")),
    ("raw error", _error("litellm.APIError: OpenAIException - Overloaded")),
    ("raw error", _error("fetch failed Cause: Error: connect ECONNREFUSED")),
    ("raw error", _error("'>=' not supported between instances of 'str' and 'int'")),
    ("raw error", _error("<html><body>502</body></html>")),
    ("raw error", _error("Something went wrong", shaped=False)),
]


@pytest.mark.parametrize(("verdict", "sight"), SIGHTS)
def test_judge(verdict: Verdict, sight: Sight) -> None:
    assert judge(Case(PLAIN, "one", stream=True), sight) == verdict


def test_judge_takes_the_case_s_own_answer() -> None:
    assert judge(Case(UTF8, "one", True), Sight(text=UTF8_TEXT, finish="stop")) == "answered"
    assert judge(Case(UTF8, "one", True), Sight(text=A_TEXT, finish="stop")) == "looks complete"
    filtered = Sight(text=A_TEXT[:20], finish="content_filter")
    assert judge(Case(FILTERED, "one", True), filtered) == "answered"
    assert judge(Case(FILTERED, "one", True), Sight(text=A_TEXT[:20], finish="stop")) != "answered"


def test_every_case_has_backends_of_its_own() -> None:
    script = list(cases(FAULTS))
    assert len({case.model for case in script}) == len(script)
    assert all(right(case) for case in script)


@pytest.mark.soak
def test_a_run_with_headrace_alone(tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.faults", "--only", "headrace", "--calls", "1"),
            *("--faults", "F4,F7,F10,F13", "--json", str(out)),
        ],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = json.loads(out.read_text())
    assert run["problems"] == []
    by_model = {case.model: case for case in cases(chosen(["F4", "F7", "F10", "F13"]))}
    found = {result["case"]: result for result in run["results"]}
    assert found.keys() == by_model.keys()
    for model, case in by_model.items():
        assert {call["verdict"] for call in found[model]["calls"]} <= right(case), found[model]
    # The counts of attempts are of these backends: A was asked, failed, and B answered.
    reset = found["f4-reset-before-a-byte-one-whole"]
    assert (reset["attempts_a"] >= 1, reset["attempts_b"]) == (True, 1)


@pytest.mark.parametrize("arguments", [["--only", "nobody"], ["--faults", "F99"]])
def test_an_unknown_name_is_told(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert arguments[1].lower() in done.stderr.lower()
