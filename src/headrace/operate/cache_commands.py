"""`headrace cache`: asks the workers of a running gateway by their sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from rich.table import Table

from headrace.config.loading import Loaded
from headrace.errors import Misused, Setup
from headrace.gateway.cache import explaining
from headrace.gateway.cache.operating import CacheStats, Point, added, merged
from headrace.operate.control_client import ask_workers
from headrace.operate.tables import tally, wide_console

BAR = 30
SHOWN = 60
_PARTITION = re.compile(r"shared\Z|tenant/.|(team|key)/[^/]+/.")


def show_stats(loaded: Loaded, *, as_json: bool) -> int:
    """Prints the sums of all workers and the nearest misses; returns the exit code."""
    sums = added(msgspec.convert(_asked(loaded, "GET", "/cache"), list[CacheStats]))
    misses = [row for told in _asked(loaded, "GET", "/cache/misses") for row in told]
    if as_json:
        rates = {"hit_rate": sums.hit_rate, "wrong_rate": sums.wrong_rate}
        print(json.dumps({**rates, **msgspec.to_builtins(sums), "nearest_misses": misses}))
        return 0
    table = Table(show_header=False)
    rate = "no call asked yet" if sums.hit_rate is None else f"{sums.hit_rate:.1%}"
    table.add_row("Hit rate", rate)
    table.add_row("Saved", f"${sums.saved_microusd / 1e6:,.6f}")
    for label, value in (
        ("Exact hits", sums.exact),
        ("Semantic hits", sums.semantic),
        ("Misses", sums.missed),
        ("Told apart by the guard", sums.guarded),
        ("Not embedded, too many waited", sums.skipped),
        ("Answers kept", sums.answers),
        ("Bytes kept", sums.kept_bytes),
        ("Flagged wrong by somebody", sums.flagged_wrong),
        ("Hits checked by a second call", sums.checked_right + sums.checked_wrong),
        ("Of these wrong", sums.checked_wrong),
        ("In doubt, compared: right", sums.compared_right),
        ("In doubt, compared: wrong", sums.compared_wrong),
    ):
        table.add_row(label, f"{value:,}")
    if sums.wrong_rate is not None:
        low, high = sums.wrong_rate
        table.add_row("Wrong of hits, 95 % interval", f"{low:.2%} to {high:.2%}")
    console = wide_console()
    console.print(table)
    if misses:
        nearest = Table("Nearest misses: asked", "Kept", "Similarity", "Why not", "Call")
        for row in misses:
            first = row["candidates"][0]
            nearest.add_row(
                row["asked"][:SHOWN],
                first["kept"][:SHOWN],
                f"{first['similarity']:.3f}",
                first["because"],
                row["call"],
            )
        console.print(nearest)
    return 0


def explain_call(loaded: Loaded, call: str, *, as_json: bool) -> int:
    """Prints what the cache decided for a call; returns the exit code."""
    for told in _asked(loaded, "GET", f"/cache/calls/{quote(call, safe='')}"):
        if as_json:
            print(json.dumps(told))
            return 0
        print(f"{told['call']}: {told['tier']}: {told['because']}")
        if told["paid_by"]:
            print(f"answer of: {told['paid_by']}")
        print(f"partition: {told['partition']}")
        if told["asked"]:
            print(f"asked:     {told['asked']}")
        for candidate in told["candidates"]:
            _print_judged(candidate)
        return 0
    raise Setup(
        f"No worker remembers a decision of the cache for {call}.",
        "The last 2,000 calls of models whose answers are given again are remembered, by each "
        "worker, until it ends. For two texts: `headrace cache why TEXT TEXT`.",
    )


def explain_texts(asked: str, kept: str, *, as_json: bool) -> int:
    """Judges two questions without a gateway; returns the exit code. Raises Setup."""
    from headrace.gateway.cache.embeddings import Questions

    cosine = Questions.load().similarity(asked, kept)
    judged = msgspec.to_builtins(explaining.of_texts(asked, kept, cosine))
    if as_json:
        print(json.dumps(judged))
    else:
        _print_judged(judged)
    return 0


def _print_judged(judged: Mapping[str, Any]) -> None:
    print(f"candidate: {judged['kept']}")
    if judged["call"]:
        print(f"    answer of   {judged['call']}")
    print(f"    similarity  {judged['similarity']:.4f}")
    if judged["features"]:
        features = ", ".join(f"{n} {v:g}" for n, v in judged["features"].items() if v)
        print(f"    features    {features}")
    print(f"    score       {judged['score']:.4f} of {judged['least_score']:g} that it takes")
    print(f"    verdict     {judged['verdict']}: {judged['because']}")


def drop_answers(loaded: Loaded, wish: Mapping[str, str | None], *, as_json: bool) -> int:
    """Drops answers in all workers; returns the exit code. Raises Setup."""
    partition = wish.get("partition")
    if partition and not _PARTITION.match(partition):
        raise Misused(
            f"{partition[:60]!r} is no partition.",
            "Write shared, tenant/NAME, team/TENANT/NAME or key/TENANT/ID.",
        )
    from headrace.operate.audited import tell  # the registry, which other commands do without

    said = {name: value for name, value in wish.items() if value}
    _asked(loaded, "GET", "/cache")  # so that no event tells of what no gateway did
    tell(loaded, "cache.purge", "answers", said)
    body = json.dumps(said).encode()
    answers = sum(told["purged"] for told in _asked(loaded, "POST", "/cache/purge", body))
    print(json.dumps({"purged": answers}) if as_json else f"{tally(answers, 'answer')} dropped")
    return 0


_NOTED_RIGHT = "Noted: the kept answer was right."
_NOTED_WRONG = "Noted: the kept answer was wrong. It is not given to that question again."


def flag_answer(loaded: Loaded, call: str, *, right: bool, as_json: bool) -> int:
    """Tells the worker that remembers the call; returns the exit code. Raises Setup."""
    from headrace.operate.audited import tell

    _asked(loaded, "GET", "/cache")
    tell(loaded, "cache.feedback", call, {"verdict": "right" if right else "wrong"})
    body = json.dumps({"call": call, "right": right}).encode()
    for told in _asked(loaded, "POST", "/cache/feedback", body):
        if told["noted"] == "no hit":
            raise Setup(f"The call {call} was given no kept answer.", "Flag one that was.")
        print(json.dumps(told) if as_json else _NOTED_RIGHT if right else _NOTED_WRONG)
        return 0
    raise Setup(
        f"No worker remembers a decision of the cache for {call}.",
        "The last 2,000 calls are remembered, by each worker, until it ends.",
    )


def plot_thresholds(loaded: Loaded, *, as_json: bool) -> int:
    """Prints a bar for each threshold; returns the exit code."""
    told = _asked(loaded, "GET", "/cache/tuning")
    ordered = merged(msgspec.convert(told, list[list[Point]]))
    if as_json:
        print(msgspec.json.encode(ordered).decode())
        return 0
    table = Table("Least score", "Hits", "", "Wrong of hits, expected", "")
    for point in ordered:
        hits = point.hits / point.lookups if point.lookups else 0.0
        wrong = point.wrong_expected / point.hits if point.hits else 0.0
        table.add_row(
            f"{point.least_score:g}",
            f"{hits:.1%}",
            _bar(hits, 1.0),
            f"{wrong:.2%}",
            _bar(wrong, 0.1),
        )
    console = wide_console()
    console.print(table)
    lookups = ordered[0].lookups if ordered else 0
    console.print(
        f"Of {tally(lookups, 'question')} that were looked for. "
        "A full bar is 100 % of hits, and 10 % wrong."
    )
    return 0


def _bar(share: float, full: float) -> str:
    return "█" * round(BAR * min(1.0, share / full))


def _asked(loaded: Loaded, method: str, target: str, body: bytes | None = None) -> list[Any]:
    """What workers say that know. Raises Setup if none keeps answers."""
    said = ask_workers(loaded.store_folder, method, target, body)
    found = [told for status, told in said if status == 200]
    if not found and target in ("/cache", "/cache/tuning", "/cache/purge"):
        raise Setup(
            "This gateway gives no answers again.",
            "Add `cache: {answers: semantic}` to a model in headrace.yaml.",
        )
    return found
