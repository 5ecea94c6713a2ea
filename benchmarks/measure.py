"""What is measured of one gateway in one round."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bodies import stream_request, whole_request
from benchmarks.load import Outcome
from benchmarks.peers import Endpoint, Peer
from benchmarks.processes import GATEWAY_CORE, Session, free_port, start
from benchmarks.upstreams import REPO, Upstream

Readings = dict[str, float]
"""One round of one gateway: values by key, see `benchmarks.results.METRICS`."""

START_LIMIT_S = 90.0
RATE_PER_S = 100
"""Of the open loop: the same for every gateway, whether it can keep up or not."""
TTFT_CHUNKS = 20
STREAM_CHUNKS = 200
STREAM_CONNECTIONS = 16

_WRK_FROM_PER_S = 1500
"""wrk stops by the clock and leaves up to one call on each connection half done; where those
would weigh, an exact count is made by `benchmarks.load` instead."""


@dataclass(frozen=True)
class WholeCase:
    """Whole answers as fast as they come."""

    body_kb: int
    connections: int

    @property
    def key(self) -> str:
        return f"{self.body_kb}kb/{self.connections}c"


@dataclass(frozen=True)
class Plan:
    """How much of everything; all of it bounded."""

    cases: tuple[WholeCase, ...]
    case_s: int
    """Length of each saturating run."""
    open_loop_s: float
    """Length of each run at 100 calls a second."""
    streams: int
    """200-chunk streams in all."""


FULL = Plan(
    cases=(
        *(WholeCase(1, 64), WholeCase(1, 1), WholeCase(1, 512)),
        *(WholeCase(10, 64), WholeCase(100, 64)),
    ),
    case_s=5,
    open_loop_s=8.0,
    streams=128,
)
QUICK = Plan(
    cases=(WholeCase(1, 64), WholeCase(1, 1), WholeCase(100, 64)),
    case_s=2,
    open_loop_s=3.0,
    streams=64,
)


@dataclass(frozen=True)
class Running:
    """A gateway that answers."""

    endpoint: Endpoint
    session: Session | None
    """None: there is no gateway."""
    startup_s: float
    """From the start of the process to the first call answered with 200."""
    folder: Path

    def cpu_s(self) -> float:
        return self.session.cpu_s() if self.session else 0.0

    def cpu_s_by_pid(self) -> dict[int, float]:
        return self.session.cpu_s_by_pid() if self.session else {}

    def busiest_cpu_s(self, before: dict[int, float]) -> float:
        """Of the process that used the most since `cpu_s_by_pid` said `before`: the worker."""
        used = self.cpu_s_by_pid().items()
        return max((cpu_s - before.get(pid, 0.0) for pid, cpu_s in used), default=0.0)

    def posted(self, how: Sequence[str], *files: Path) -> tuple[dict[str, Any], str | None]:
        """What `post.lua` says of calls by wrk, with such options and files; and the fault, if some
        calls failed."""
        argv = [
            *("wrk", "-t1", "--timeout", "30s", *how),
            *("-s", str(REPO / "benchmarks" / "post.lua")),
            *(f"{self.endpoint.base_url}/chat/completions", "--", *map(str, files)),
        ]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=180, check=True)
        summary: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        bad = summary["status_errors"] + summary["socket_errors"]
        if not bad:
            return summary, None
        last = self.session.tail().rpartition("\n")[2] if self.session else "there is none"
        return summary, f"{bad} calls failed; the gateway's last line: {last}"


@contextlib.contextmanager
def running(peer: Peer, upstream: Upstream) -> Iterator[Running]:
    """Start `peer` on the gateway's core in front of `upstream`; end it afterwards.

    Raises `RuntimeError` if no call is answered within 90 s.
    """
    with tempfile.TemporaryDirectory(prefix=f"bench-{peer.name}-") as name:
        folder = Path(name)
        port = free_port()
        endpoint = peer.endpoint(upstream.url, port)
        command = peer.command(upstream.url, port, folder)
        if command is None:
            yield Running(endpoint, None, 0.0, folder)
            return
        began = time.monotonic()
        session = start(command.argv, cores={GATEWAY_CORE}, folder=folder, env=command.env)
        try:
            _await_answer(endpoint, session)
            yield Running(endpoint, session, time.monotonic() - began, folder)
        finally:
            session.stop()


def _await_answer(endpoint: Endpoint, session: Session) -> None:
    host, _, path = endpoint.base_url.removeprefix("http://").partition("/")
    body = whole_request(1000)
    headers = {**endpoint.headers, "Content-Type": "application/json"}
    end = time.monotonic() + START_LIMIT_S
    seen = "no connection"
    while time.monotonic() < end and session.alive():
        connection = http.client.HTTPConnection(host, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", f"/{path}/chat/completions", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200 and b"choices" in text:
                connection.close()
                return
            seen = f"status {answer.status}: {text[:200]!r}"
        connection.close()
        time.sleep(0.01)
    raise RuntimeError(f"no call was answered ({seen}); its last lines:\n{session.tail()}")


class Measurement:
    """Measures one running gateway. `problems` collects what went wrong, for people."""

    def __init__(self, gateway: Running, plan: Plan, who: str, problems: list[str]) -> None:
        self._gateway = gateway
        self._plan = plan
        self._who = who
        self._problems = problems
        self._url = gateway.endpoint.base_url + "/chat/completions"
        self._rate_per_s = 0.0

    def whole(self) -> Iterator[Readings]:
        """Readings of whole answers, a few at a time, so that progress can be shown."""
        gateway = self._gateway
        yield {"startup_s": gateway.startup_s}
        time.sleep(1.0)
        yield self._memory("rest")
        self._warm_up()
        for case in self._plan.cases:
            yield self._saturate(case)
        yield self._latency()
        yield self._memory("after")

    def streams(self) -> Iterator[Readings]:
        """Readings of streams."""
        self._load(stream_request(TTFT_CHUNKS), "warm-up", calls=32, stream=True, connections=16)
        yield self._first_token()
        yield self._chunks()

    def _memory(self, when: str) -> Readings:
        if self._gateway.session is None:
            return {}
        memory = self._gateway.session.memory()
        return {
            f"rss_{when}_mb/worker": memory.largest / 1e6,
            f"rss_{when}_mb/all": memory.total / 1e6,
        }

    def _warm_up(self) -> None:
        body = whole_request(1000)
        first = self._load(body, "warm-up", calls=200, connections=16)
        calls = max(200, int(200 / first.wall_s))
        second = self._load(body, "warm-up", calls=calls, connections=16)
        self._rate_per_s = calls / second.wall_s

    def _saturate(self, case: WholeCase) -> Readings:
        body = whole_request(case.body_kb * 1000)
        before, each_before = self._gateway.cpu_s(), self._gateway.cpu_s_by_pid()
        if self._rate_per_s > _WRK_FROM_PER_S:
            calls, wall_s = self.wrk(body, case)
        else:
            count = max(2 * case.connections, int(self._rate_per_s * self._plan.case_s))
            outcome = self._load(body, case.key, calls=count, connections=case.connections)
            calls, wall_s = len(outcome.latency_s), outcome.wall_s
        used = self._gateway.cpu_s() - before
        busiest = self._gateway.busiest_cpu_s(each_before)
        readings = {f"rate_per_s/{case.key}": calls / wall_s}
        if self._gateway.session is not None:
            readings[f"cpu_us/{case.key}"] = used / max(calls, 1) * 1e6
            readings[f"worker_cpu_us/{case.key}"] = busiest / max(calls, 1) * 1e6
            readings[f"busy/{case.key}"] = used / wall_s
        return readings

    def wrk(self, body: bytes, case: WholeCase) -> tuple[int, float]:
        file = self._body_file(body)
        headers = [
            part
            for name, value in self._gateway.endpoint.headers.items()
            for part in ("-H", f"{name}: {value}")
        ]
        how = (f"-c{case.connections}", f"-d{self._plan.case_s}s", *headers)
        summary, fault = self._gateway.posted(how, file)
        if fault is not None:
            self._problems.append(f"{self._who}, {case.key}: {fault}")
        return summary["calls"], summary["wall_s"]

    def _latency(self) -> Readings:
        calls = int(RATE_PER_S * self._plan.open_loop_s)
        outcome = self._load(
            whole_request(1000), "100 calls/s", calls=calls, connections=512, rate=RATE_PER_S
        )
        return {
            "latency_p50_ms": percentile(outcome.latency_s, 50) * 1e3,
            "latency_p99_ms": percentile(outcome.latency_s, 99) * 1e3,
        }

    def _first_token(self) -> Readings:
        calls = int(RATE_PER_S * self._plan.open_loop_s)
        outcome = self._load(
            stream_request(TTFT_CHUNKS),
            "100 streams/s",
            calls=calls,
            connections=512,
            rate=RATE_PER_S,
            stream=True,
        )
        return {
            "ttft_p50_ms": percentile(outcome.first_content_s, 50) * 1e3,
            "ttft_p99_ms": percentile(outcome.first_content_s, 99) * 1e3,
        }

    def _chunks(self) -> Readings:
        before = self._gateway.cpu_s()
        outcome = self._load(
            stream_request(STREAM_CHUNKS),
            "200-chunk streams",
            calls=self._plan.streams,
            connections=STREAM_CONNECTIONS,
            stream=True,
        )
        used = self._gateway.cpu_s() - before
        chunks = len(outcome.latency_s) * STREAM_CHUNKS
        if outcome.events < chunks:
            self._problems.append(f"{self._who}: {outcome.events} events of {chunks} arrived")
        if self._gateway.session is None:
            return {}
        return {"chunk_cpu_us": used / max(chunks, 1) * 1e6, "chunk_busy": used / outcome.wall_s}

    def _load(
        self,
        body: bytes,
        what: str,
        *,
        calls: int,
        connections: int,
        rate: int | None = None,
        stream: bool = False,
    ) -> Outcome:
        """Make calls by `python -m benchmarks.load`, in a process of its own."""
        argv = [
            *(sys.executable, "-m", "benchmarks.load", self._url),
            *("--body", str(self._body_file(body)), "--calls", str(calls)),
            *("--connections", str(connections), "--limit-s", "120"),
        ]
        for name, value in self._gateway.endpoint.headers.items():
            argv += ["--header", f"{name}: {value}"]
        if rate is not None:
            argv += ["--rate", str(rate)]
        if stream:
            argv.append("--stream")
        # Through a file: hundreds of kilobytes of latencies don't have to fit a pipe.
        result = self._gateway.folder / "outcome.json"
        with result.open("wb") as output:
            done = subprocess.run(
                argv, stdout=output, stderr=subprocess.PIPE, timeout=180, cwd=REPO, check=False
            )
        if done.returncode:
            raise RuntimeError(f"the load generator failed:\n{done.stderr.decode()[-2000:]}")
        try:
            outcome = msgspec.json.decode(result.read_bytes(), type=Outcome)
        except msgspec.DecodeError as error:
            raise RuntimeError(f"the load generator's result is broken: {error}") from error
        if outcome.failed or outcome.unfinished:
            self._problems.append(
                f"{self._who}: of {calls} calls ({what}) {outcome.failed} failed and "
                f"{outcome.unfinished} were not answered in time; {outcome.first_failure}"
            )
        return outcome

    def _body_file(self, body: bytes) -> Path:
        file = self._gateway.folder / "request.json"
        file.write_bytes(body)
        return file


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile; nan of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    rank = max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered) + 0.5) - 1))
    return ordered[rank]
