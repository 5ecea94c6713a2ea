"""The two providers, A and B: one scripted upstream with two ports, and what it saw."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.faults.cases import A_TEXT, B_TEXT, Case
from benchmarks.processes import free_port, start, wait_for_port

_CALL = re.compile(r"Please answer (\S+) \(call (\d+)\)")


@dataclass
class Attempts:
    """HTTP requests that reached the backends in one case."""

    by_backend: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    by_call: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    early: int = 0
    """Sent to a backend within the time for which its 429 asked to be left alone."""


class Backends:
    """The running upstream."""

    def __init__(self, ports: dict[str, int], silent_port: int) -> None:
        self._ports = ports
        self._silent_port = silent_port

    def url(self, case: Case, backend: str) -> str:
        """Base URL of backend `a` or `b` for this case, with its `/v1`."""
        faulty = backend == "a" or case.scope == "both"
        dead = case.fault.nothing_listens and faulty
        return f"http://127.0.0.1:{self._silent_port if dead else self._ports[backend]}/v1"

    def script(self, cases: Iterable[Case]) -> None:
        """Tell the upstream what it does for which model."""
        rules = [_rule(case, "a", A_TEXT) for case in cases if case.fault.script]
        rules += [_rule(case, "b", B_TEXT) for case in cases if case.scope == "both"]
        rules += [_rule(case, "b", B_TEXT) for case in cases if case.text]
        rules.append({"behaviour": {"text": B_TEXT}, "match": {"tag": "b"}})
        self._call("POST", "_script", {"default": {"text": A_TEXT}, "rules": rules})

    def forget(self) -> None:
        """Forget the calls so far."""
        self._call("DELETE", "_seen")

    def attempts(self, cases: Iterable[Case]) -> dict[str, Attempts]:
        """What has arrived since `forget`, by the case's model."""
        found: dict[str, Attempts] = {case.model: Attempts() for case in cases}
        hold_ns = {case.model: case.fault.hold_s * 1e9 for case in cases}
        last: dict[tuple[str, str], int] = {}
        for seen in self._call("GET", "_seen"):
            call = _CALL.search(seen["body"])
            if call is None or call[1] not in found:
                continue
            attempts, backend = found[call[1]], seen["tag"]
            attempts.by_backend[backend] += 1
            attempts.by_call[int(call[2])] += 1
            before = last.get((call[1], backend))
            if before is not None and seen["fault"] == "rate_limited":
                attempts.early += seen["begun_ns"] - before < hold_ns[call[1]]
            last[call[1], backend] = seen["begun_ns"]
        return found

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._ports['a']}/{path}",
            None if body is None else json.dumps(body).encode(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


def _rule(case: Case, backend: str, text: str) -> dict[str, Any]:
    behaviour = {"text": text, **case.fault.script}
    return {"behaviour": behaviour, "match": {"model": case.model, "tag": backend}}


@contextlib.contextmanager
def backends(folder: Path, cores: set[int]) -> Iterator[Backends]:
    """Start the upstream; end it afterwards."""
    ports = {"a": free_port(), "b": free_port()}
    argv = [sys.executable, "-m", "headrace_upstream"]
    for tag, port in ports.items():
        argv += ["--port", f"{tag}={port}"]
    session = start(argv, cores=cores, folder=folder)
    try:
        for port in ports.values():
            wait_for_port(session, port)
        yield Backends(ports, silent_port=free_port())
    finally:
        session.stop()
