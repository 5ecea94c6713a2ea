"""`headrace cache replay`: what the cache would have done with a workload."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.workload import wordings, workload

from operate.test_keys import headrace, told

CALLS = (
    ("How do I reset my password?", "reset"),
    ("I forgot my password, how can I reset it?", "reset"),
    ("How do I reset my password?", "reset"),
    ("How do I boil an egg?", "hard"),
    ("How can I boil an egg?", "soft"),
    ("Show flights from Rome to Paris", "rp"),
    ("Show flights from Paris to Rome", "pr"),
)


def test_it_tells_hits_savings_and_wrong_hits(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    rows = [
        {"text": text, "label": label, "cost_usd": 0.01, "latency_ms": 900} for text, label in CALLS
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = told("cache", "replay", str(file), folder=tmp_path)
    assert (done["calls"], done["exact"], done["semantic"]) == (7, 1, 2)
    assert (done["judged"], done["wrong"], done["repeats"]) == (2, 1, 2)
    assert done["spent_usd"] == 0.07
    assert done["saved_usd"] == 0.03
    assert done["wrong_rate"][0] < 0.5 < done["wrong_rate"][1]
    assert done["p50_ms_without"] == 900
    strict = told("cache", "replay", str(file), "--max-wrong-rate", "0.001", folder=tmp_path)
    assert (strict["exact"], strict["semantic"]) == (1, 0)


def test_a_line_that_is_none_is_told_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text('{"text": "Hello"}\n{"question": "Hello"}\n')
    done = headrace("cache", "replay", str(file), folder=tmp_path)
    assert done.returncode == 3
    assert "calls.jsonl:2" in done.stderr


def test_the_workload_is_the_same_for_a_seed_and_has_repeats() -> None:
    asked = wordings(None, 3)
    first = list(workload(asked, 500, 3, 1.0))
    assert first == list(workload(asked, 500, 3, 1.0))
    assert first != list(workload(asked, 500, 4, 1.0))
    counts = [sum(call["label"] == label for call in first) for label, _ in asked]
    assert max(counts) > 20 > len(first) / len(asked)
    assert len({call["text"] for call in first}) > len({call["label"] for call in first})
