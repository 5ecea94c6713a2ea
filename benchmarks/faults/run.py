"""The runs: each gateway alone, all cases, several at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import openai
from cyclopts import App, Parameter
from openai import AsyncOpenAI
from rich.console import Console

from benchmarks.faults.backends import Attempts, Backends, backends
from benchmarks.faults.cases import FAULTS, Case, cases, chosen
from benchmarks.faults.client import Caller, ask
from benchmarks.faults.gateways import CLIENT_KEY, SETUPS, Setup, Site
from benchmarks.faults.report import show, write_docs
from benchmarks.faults.results import CallSeen, CaseResult, Run
from benchmarks.faults.verdict import judge
from benchmarks.processes import Session, free_port, raise_file_limit, start

START_LIMIT_S = 120.0
GATEWAY_LIMIT_S = 1200.0
"""No gateway's process is called for longer; what is left over is told as a problem."""
WAITING_AT_A_TIME, WORKING_AT_A_TIME = 24, 3
"""Cases at once: those that wait for timeouts, and those that have the gateway work, whose times
would be of the queue before it."""

app = App(name="python -m benchmarks.faults", help_format="markdown")


@app.default
def compare(
    *,
    only: str = "",
    faults: Annotated[str, Parameter(help="Numbers of faults, such as F3,F7; all.")] = "",
    calls: int = 3,
    patience_s: float = 75.0,
    json: Path | None = None,
    docs: bool = False,
) -> int:
    """Run the fault script against Headrace, LiteLLM and Portkey, and tell what a client sees.

    Each gateway has two backends, A and its reserve B. For each fault, in A or in both, whole and
    streamed, the OpenAI SDK makes a few calls without retries of its own. All of it takes about
    half an hour, a single fault a minute. Gateways that are not installed are skipped with a line
    that says how to install them.

    - `python -m benchmarks.faults --only headrace --faults F3,F7`: a first look
    - `python -m benchmarks.faults --docs`: renew docs/faults.md

    Args:
        only: Gateways to run, with commas between: headrace,litellm,portkey.
        calls: Calls for each case, one after the other.
        patience_s: A call that takes longer is given up as hung.
        json: Write all that was seen to this file.
        docs: Put the tables into docs/faults.md.
    """
    console = Console()
    try:
        script = list(cases(chosen(faults.split(","))))
    except ValueError as error:
        raise SystemExit(str(error)) from None
    setups, skipped = _installed(only)
    run = Run(
        date=datetime.now(UTC).date().isoformat(),
        sdk=openai.__version__,
        calls=calls,
        patience_s=patience_s,
        versions={setup.peer.name: setup.peer.version() for setup in setups},
        skipped=skipped,
    )
    raise_file_limit()
    with tempfile.TemporaryDirectory() as name, backends(Path(name), _cores()) as two:
        two.script(script)
        for setup in setups:
            console.print(f"{setup.peer.title}: {len(script)} cases of {calls} calls ...")
            began = time.monotonic()
            run.results += _gateway(setup, two, script, run)
            console.print(f"{setup.peer.title}: done in {time.monotonic() - began:.0f} s")
            if json is not None:
                json.write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    show(run, console)
    if docs:
        if len(chosen(faults.split(","))) < len(FAULTS):
            raise SystemExit("--docs needs the whole script: leave out --faults")
        write_docs(run)
    return 0


def _installed(only: str) -> tuple[list[Setup], dict[str, str]]:
    asked = [name.strip() for name in only.split(",") if name.strip()] or list(SETUPS)
    if unknown := [name for name in asked if name not in SETUPS]:
        raise SystemExit(
            f"no gateway is named {', '.join(unknown)}; there are: {', '.join(SETUPS)}"
        )
    setups = [setup for name, setup in SETUPS.items() if name in asked]
    skipped = {s.peer.name: how for s in setups if (how := s.peer.missing()) is not None}
    return [setup for setup in setups if setup.peer.name not in skipped], skipped


def _cores() -> set[int]:
    return os.sched_getaffinity(0)


def _gateway(setup: Setup, two: Backends, script: Sequence[Case], run: Run) -> Iterator[CaseResult]:
    """All cases of one gateway: the heavy ones each in a process of its own, which starts fresh."""
    groups = [[case for case in script if not case.fault.heavy]]
    groups += [[script[0], case] for case in script if case.fault.heavy]
    for group in groups:
        asked = group if group is groups[0] else group[1:]
        with tempfile.TemporaryDirectory(prefix=f"faults-{setup.peer.name}-") as name:
            site = Site(two, group, free_port(), Path(name))
            try:
                sights = asyncio.run(_group(setup, site, asked, run))
            except RuntimeError as error:
                run.problems.append(f"{setup.peer.title}: {error}")
                return
            attempts = two.attempts(group)
        for case in asked:
            if case.model in sights:
                yield _result(setup, case, sights[case.model], attempts[case.model])


def _result(setup: Setup, case: Case, seen: list[CallSeen], attempts: Attempts) -> CaseResult:
    return CaseResult(
        gateway=setup.peer.name,
        case=case.model,
        calls=seen,
        attempts_a=attempts.by_backend["a"],
        attempts_b=attempts.by_backend["b"],
        most_attempts=max(attempts.by_call.values(), default=0),
        early=attempts.early,
    )


async def _group(
    setup: Setup, site: Site, asked: Sequence[Case], run: Run
) -> dict[str, list[CallSeen]]:
    """What each case's calls saw, by its model. Raises `RuntimeError` if it does not start."""
    command = setup.command(site)
    session = start(command.argv, cores=_cores(), folder=site.folder, env=command.env)
    client = AsyncOpenAI(
        base_url=f"http://127.0.0.1:{site.port}/v1",
        api_key=CLIENT_KEY,
        max_retries=0,
        timeout=run.patience_s * 2,  # out of the way: patience is the caller's
    )
    sights: dict[str, list[CallSeen]] = {}
    waiting, working = asyncio.Semaphore(WAITING_AT_A_TIME), asyncio.Semaphore(WORKING_AT_A_TIME)

    async def one(case: Case) -> None:
        async with waiting if case.fault.waits else working:
            caller = Caller(client, setup.headers(site, case), run.patience_s)
            sights[case.model] = await _calls(caller, case, 1 if case.fault.heavy else run.calls)

    try:
        await _await_answer(Caller(client, setup.headers(site, site.cases[0]), 10.0), site, session)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GATEWAY_LIMIT_S):
                await asyncio.gather(*(one(case) for case in asked))
        if not session.alive():
            run.problems.append(f"{setup.peer.title}: its process ended, after {asked[-1].model}")
    finally:
        await client.close()
        await asyncio.to_thread(session.stop)
    if left := len(asked) - len(sights):
        run.problems.append(f"{setup.peer.title}: {left} cases were not done in time")
    return sights


async def _calls(caller: Caller, case: Case, count: int) -> list[CallSeen]:
    seen = []
    for number in range(1, count + 1):
        sight = await ask(caller, case, number)
        seen.append(
            CallSeen(
                verdict=judge(case, sight),
                status=sight.status,
                code=sight.code,
                message=sight.message[:500],
                text=sight.text[-200:],
                finish=sight.finish,
                elapsed_s=sight.elapsed_s,
            )
        )
    return seen


async def _await_answer(caller: Caller, site: Site, session: Session) -> None:
    end = time.monotonic() + START_LIMIT_S
    case, message = site.cases[0], ""
    while time.monotonic() < end and session.alive():
        sight = await ask(caller, case, 0)
        if judge(case, sight) == "answered":
            site.backends.forget()
            return
        message = sight.message
        await asyncio.sleep(0.2)
    raise RuntimeError(f"no call was answered ({message}); its last lines:\n{session.tail()}")


def main() -> None:
    """`python -m benchmarks.faults`."""
    sys.exit(app())
