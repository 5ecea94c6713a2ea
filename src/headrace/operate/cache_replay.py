"""`headrace cache replay`: what the cache would have done with a workload. No model is asked, and
time is the workload's own."""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.table import Table

from headrace.config.caching import CachePolicy
from headrace.config.loading import Loaded
from headrace.config.sharing import AnswerCachePolicy
from headrace.errors import Misused, Setup
from headrace.gateway.cache.asking import Asked, asked
from headrace.gateway.cache.decisions import Decision
from headrace.gateway.cache.given_again import GivenAgain
from headrace.gateway.cache.intervals import clopper_pearson
from headrace.gateway.recorded import Recorded
from headrace.nouns import Call, Caller, Dialect, Operation
from headrace.operate.tables import wide_console

EVERY_S = 1.0
"""From one call to the next, where the workload does not say when they came."""
SEED = 1


class Row(Struct, frozen=True):
    """A call of the workload: one line of JSON."""

    text: str
    """The user's question."""
    label: str | None = None
    """Questions with one label have one answer. Without it nobody knows whether a hit is right."""
    at_s: float | None = None
    """Seconds from the workload's begin."""
    tenant: str = "default"
    cost_usd: float | None = None
    latency_ms: float | None = None
    """Of the call, if the model answers."""


class Replayed(Struct, kw_only=True):
    """What came of it."""

    calls: int = 0
    exact: int = 0
    semantic: int = 0
    judged: int = 0
    """Semantic hits between calls with labels."""
    wrong: int = 0
    """Of these."""
    repeats: int = 0
    """Calls whose label was asked for before: what a perfect cache would answer."""
    spent_microusd: int = 0
    """Without the cache."""
    saved_microusd: int = 0
    before_ms: list[float] = []
    after_ms: list[float] = []

    def told(self) -> dict[str, Any]:
        """For machines."""
        low, high = clopper_pearson(self.wrong, self.judged)
        hits = self.exact + self.semantic
        return {
            "calls": self.calls,
            "exact": self.exact,
            "semantic": self.semantic,
            "hit_rate": round(hits / self.calls, 4) if self.calls else None,
            "repeats": self.repeats,
            "judged": self.judged,
            "wrong": self.wrong,
            "wrong_rate": [round(low, 5), round(high, 5)] if self.judged else None,
            "spent_usd": self.spent_microusd / 1e6,
            "saved_usd": self.saved_microusd / 1e6,
            "p50_ms_without": _median(self.before_ms),
            "p50_ms_with": _median(self.after_ms),
        }


def replay(file: Path, policy: CachePolicy, *, as_json: bool) -> int:
    """Prints what the cache would have done; returns the exit code. Raises Setup."""
    done = asyncio.run(replayed(list(rows_of(file)), policy)).told()
    if as_json:
        print(json.dumps(done))
        return 0
    table = Table(show_header=False)
    rate = "-" if done["hit_rate"] is None else f"{done['hit_rate']:.1%}"
    table.add_row("Calls", f"{done['calls']:,}")
    table.add_row("Asked before (by label)", f"{done['repeats']:,}")
    table.add_row("Hit rate", f"{rate} ({done['exact']:,} exact, {done['semantic']:,} semantic)")
    table.add_row("Saved", f"${done['saved_usd']:,.4f} of ${done['spent_usd']:,.4f}")
    if done["wrong_rate"] is None:
        table.add_row("Wrong hits", "not known: no semantic hit between calls with labels")
    else:
        low, high = done["wrong_rate"]
        table.add_row("Wrong hits", f"{done['wrong']:,} of {done['judged']:,} judged semantic hits "
                                    f"({low:.2%} to {high:.2%}, 95 %)")  # fmt: skip
    if done["p50_ms_with"] is not None:
        both = f"{done['p50_ms_without']:,.1f} ms, {done['p50_ms_with']:,.1f} ms"
        table.add_row("Median latency without, with", both)
    wide_console().print(table)
    return 0


def policy_for(loaded: Loaded, model: str | None, max_wrong_rate: float | None) -> CachePolicy:
    """A model's of the configuration, else what `answers: semantic` alone does. Raises Setup."""
    policy = CachePolicy(answers="semantic")
    if model is not None:
        found = loaded.config.models.get(model)
        if found is None or found.cache.answers == "off":
            raise Setup(
                f"The configuration has no model {model!r} whose answers are given again.",
                "Name one with `cache: {answers: semantic}`, or leave out --model.",
            )
        policy = found.cache
    if max_wrong_rate is None:
        return policy
    settings = {**msgspec.to_builtins(policy), "max_wrong_rate": max_wrong_rate}
    try:
        return msgspec.convert(settings, CachePolicy)
    except msgspec.ValidationError as error:
        raise Misused(
            f"--max-wrong-rate cannot be {max_wrong_rate:g}.", "Write 0.0001 to 0.5, as 0.01."
        ) from error


def rows_of(file: Path) -> Iterator[Row]:
    """Raises Setup, with the line at fault."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise Setup(
            f"{file} cannot be read: {error.strerror}.", "Name a file of JSON lines."
        ) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=Row)
            except msgspec.DecodeError as error:
                raise Setup(
                    f"{file}:{number}: {error}.",
                    'Write one call a line: {"text": "How do I reset my password?", "label": '
                    '"reset"}; see docs/cache.md.',
                ) from error


async def replayed(rows: list[Row], policy: CachePolicy) -> Replayed:
    """Of all rows, in order. Raises Setup without the embeddings."""
    rng = random.Random(SEED)
    cache = GivenAgain(AnswerCachePolicy(), rng=random.Random(SEED))
    if policy.answers == "semantic":
        cache.take_embeddings()
        if policy.max_wrong_rate is not None:
            cache.take_bound(None)
            cache.comparing = None  # labels say what answers would
    done = Replayed()
    labels: dict[str, str | None] = {}
    asked_before: set[tuple[str, str]] = set()
    for number, row in enumerate(rows):
        now = number * EVERY_S if row.at_s is None else row.at_s
        call = _call(number, row)
        labels[call.id] = row.label
        before_ms, cost = row.latency_ms, round((row.cost_usd or 0.0) * 1e6)
        began = time.perf_counter()
        wanted = asked(call, policy)
        hit = None if wanted is None else await cache.find(wanted, call, policy, now)
        took_ms = (time.perf_counter() - began) * 1000
        done.calls += 1
        done.spent_microusd += cost
        if row.label is not None:
            done.repeats += (row.tenant, row.label) in asked_before
            asked_before.add((row.tenant, row.label))
        if before_ms is not None:
            done.before_ms.append(before_ms)
            done.after_ms.append(took_ms if hit is not None else took_ms + before_ms)
        if hit is not None:
            done.saved_microusd += hit.cost_microusd or 0
        elif wanted is not None:
            await _keep(cache, wanted, call, policy, cost, now)
        decision = cache.decisions.of(call.id)
        if decision is not None:
            await _learn(cache, decision, labels, done, policy, rng)
    await cache.close()
    return done


async def _learn(
    cache: GivenAgain,
    decision: Decision,
    labels: dict[str, str | None],
    done: Replayed,
    policy: CachePolicy,
    rng: random.Random,
) -> None:
    """Counts what became of a call, and learns of it as a gateway would: what is in doubt by the
    model's answer, of hits those that are checked."""
    mine, tier = labels[decision.call], decision.tier
    done.exact += tier == "exact"
    done.semantic += tier == "semantic"
    other = decision.paid_by
    if decision.doubtful is not None:
        other = next((e.call for e in cache.entries() if e.key == decision.doubtful), None)
    theirs = None if other is None else labels[other]
    if mine is None or theirs is None or tier == "exact":
        return
    right = mine == theirs
    if tier == "semantic":
        done.judged += 1
        done.wrong += not right
        if rng.random() >= policy.check_share:
            return
    if cache.learning is not None and decision.pair is not None:
        await cache.learning.find_out(decision.pair, decision.vector, right, "compared")


async def _keep(
    cache: GivenAgain, wanted: Asked, call: Call, policy: CachePolicy, cost: int, now: float
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "-"}, "finish_reason": "stop"}
    body = {"id": call.id, "object": "chat.completion", "created": 0, "choices": [choice]}
    recorded = Recorded(b"", msgspec.json.encode(body), cost_microusd=cost)
    await cache.keep(wanted, recorded, call, policy, now)


def _call(number: int, row: Row) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": row.text}]}
    return Call(
        id=f"replay-{number:08d}",
        dialect=Dialect.OPENAI,
        operation=Operation.CHAT,
        model="m",
        body_model="m",
        body=msgspec.json.encode(body),
        stream=False,
        wants_usage=False,
        caller=Caller(key_id="replay", tenant=row.tenant),
        received_at=time.monotonic() - (row.latency_ms or 0.0) / 1000,
    )


def _median(values: list[float]) -> float | None:
    return round(statistics.median(values), 2) if values else None
