"""The gateway's journal against the upstream's, after a random mix of everything."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from chaos.conftest import AZURE_KEY, SOAK, STEADY
from chaos.pairs import AZURE, DIALECTS, DONE, Dialect
from chaos.wire import Answer, request_bytes
from support.accounts import Account, settled
from support.gateway_process import Gateway, running_gateway
from support.upstream_process import UpstreamProcess, Visit, upstream_process

CALLS = 10_000 if SOAK else 1_000
AT_ONCE = 16
SEED = 11

CONFIG = (
    STEADY
    + """
backends:
  east: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
  west: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o}}
  dated: {{provider: azure_openai, url: "{url}", deployment: a, credential: env:AZURE_KEY}}
  dated-too: {{provider: azure_openai, url: "{url}", deployment: b, credential: env:AZURE_KEY}}
models:
  plain: {{pools: [[east, west]], retry: {{backoff_s: 0.01}}}}
  dated: {{pools: [[dated], [dated-too]], retry: {{backoff_s: 0.01}}}}
"""
)
FAULTS: list[dict[str, Any]] = [
    {"kind": "cut", "how": "eof"},
    {"kind": "cut", "how": "rst", "after": 0},
    {"kind": "cut", "how": "broken_chunk"},
    {"kind": "missing_done"},
    {"kind": "error_event", "after": 5},
    {"kind": "bad_sse", "form": "bad_json"},
    {"kind": "wrong_body", "form": "html"},
    {"kind": "reset"},
    {"kind": "context_too_long"},
    {"kind": "hostile", "form": "keys", "status": 500},
]


class Plan(NamedTuple):
    """One call, thrown by dice. `leaves_after_s` is None for a client that stays."""

    call: str
    dialect: Dialect
    stream: bool
    script: dict[str, Any]
    asks_usage: bool
    leaves_after_s: float | None


def _plans() -> list[Plan]:
    dice = random.Random(SEED)
    plans = []
    for number in range(CALLS):
        script: dict[str, Any] = {"tokens": dice.randrange(1, 40)}
        kind = dice.random()
        if kind < 0.2:
            script["fault"] = dice.choice(FAULTS)
        elif kind < 0.6:
            script["gap_ms"] = dice.choice([0, 1, 5])
            script["ttft_ms"] = dice.choice([0, 2, 30])
        if dice.random() < 0.2:
            script["usage"] = {"input": dice.randrange(1, 9_000), "cached": 1, "reasoning": 1}
        plans.append(
            Plan(
                call=f"ledger-{number:06}",
                dialect=dice.choice(DIALECTS),
                stream=dice.random() < 0.6,
                script=script,
                asks_usage=dice.random() < 0.3,
                leaves_after_s=dice.uniform(0, 0.06) if dice.random() < 0.2 else None,
            )
        )
    return plans


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpstreamProcess]:
    with upstream_process(tmp_path_factory.mktemp("provider")) as running:
        yield running


@pytest.fixture(scope="module")
def house(provider: UpstreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(url=provider.url)
    folder = tmp_path_factory.mktemp("ledger")
    with running_gateway(config, folder, env={"AZURE_KEY": AZURE_KEY}) as running:
        yield running


async def _carry_out(house: Gateway, plan: Plan) -> Answer | None:
    """The answer, or None where the client left before its end."""
    asks = plan.stream and plan.asks_usage
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asks else {}
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        writer.write(
            request_bytes(
                house,
                plan.dialect,
                stream=plan.stream,
                call=plan.call,
                script=plan.script,
                **options,
            )
        )
        async with asyncio.timeout(plan.leaves_after_s or 60):
            return Answer(await reader.read(-1))
    except TimeoutError:
        assert plan.leaves_after_s is not None, plan
        return None
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _check_intents(plan: Plan, account: Account, visits: list[Visit]) -> None:
    """Each attempt has an intent, and what the upstream saw was intended."""
    numbers = [intent.attempt for intent in account.intents]
    assert numbers == list(range(1, len(numbers) + 1)), plan
    assert len(account.settlements) == 1, plan
    assert len(numbers) >= len(visits), plan
    if account.settlements[0].finish != "client_gone":
        assert len(visits) >= len(numbers), plan


def _check_settlement(plan: Plan, answer: Answer, account: Account, visits: list[Visit]) -> str:
    """What the client saw is what the journal says; a complete call has the upstream's tokens."""
    settlement = account.settlements[0]
    assert settlement.status == answer.status, plan
    last = visits[-1].seen
    if answer.status != 200:
        assert settlement.finish == "refused", plan
        assert answer.error is not None
        assert settlement.reason == answer.error["code"], plan
    elif answer.error is not None:
        assert (settlement.finish, settlement.reason) == ("incomplete", "stream_incomplete"), plan
    else:
        assert answer.body.endswith(DONE) or not plan.stream, plan
        assert settlement.finish == "complete", plan
        assert settlement.usage_source == "upstream", plan
        assert settlement.input_tokens == last.tokens_in, plan
        assert settlement.output_tokens == last.tokens_out, plan
        assert settlement.reason is None, plan
    return settlement.finish


async def test_every_call_is_in_both_books(house: Gateway, provider: UpstreamProcess) -> None:
    plans = _plans()
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(plan: Plan) -> Answer | None:
        async with slots:
            return await _carry_out(house, plan)

    answers = await asyncio.gather(*map(one, plans))
    calls = {plan.call for plan in plans}
    seen = {visit.seen.request_id for visit in provider.visits()}
    # A client may have left before its request was read: then neither book has it.
    gone_early = {p.call for p, a in zip(plans, answers, strict=True) if a is None} - seen
    accounts = await asyncio.to_thread(settled, house.folder / ".headrace", calls - gone_early)
    assert set(accounts) <= calls
    await asyncio.to_thread(provider.wait_for, lambda v: all(visit.ended for visit in v))
    visits = provider.visits_of(calls)
    assert sum(map(len, visits.values())) == len(provider.visits()), "seen by the upstream alone"

    finishes: Counter[str] = Counter()
    for plan, answer in zip(plans, answers, strict=True):
        account = accounts.get(plan.call)
        if account is None:
            assert plan.call in gone_early
            assert visits[plan.call] == []
            continue
        _check_intents(plan, account, visits[plan.call])
        if answer is not None:
            finishes[_check_settlement(plan, answer, account, visits[plan.call])] += 1
        else:
            # It left while its answer was on the way: the gateway may have been done with it.
            finish = account.settlements[0].finish
            assert finish in ("client_gone", "complete", "refused", "incomplete"), plan
            finishes[finish] += 1
    print(f"\n{CALLS} calls: {dict(finishes)}, {len(gone_early)} left before they were read")
    assert {"complete", "incomplete", "refused", "client_gone"} <= set(finishes)
    assert finishes["complete"] > CALLS / 3


async def test_no_call_is_left_in_work(house: Gateway) -> None:
    """After all of it the gateway still answers, in both dialects."""
    for dialect in (AZURE, DIALECTS[0]):
        plan = Plan("ledger-after-" + dialect.name, dialect, True, {}, False, None)
        answer = await _carry_out(house, plan)
        assert answer is not None
        assert answer.body.endswith(DONE)
