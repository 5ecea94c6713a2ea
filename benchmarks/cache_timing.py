"""Whether a tenant can tell by the clock what others have asked.

A victim asks many questions, whose answers are kept. Then another tenant asks the same ones and as
many that nobody asked, in random order, once each. Told is how well an answer's time says which is
which: the area under the ROC curve (Fawcett 2006, An introduction to ROC analysis), 0.5 if not at
all, with its standard error if there is nothing to tell (Hanley and McNeil 1982). Exits 1 if it is
0.02 or more from that, or if an answer of the victim was given.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import running
from benchmarks.peers.base import REPO, Command, Endpoint
from benchmarks.processes import raise_file_limit
from benchmarks.source_tree import SourceTree
from benchmarks.upstreams import whole_upstream

OTHER_KEY = "sk-benchmark-other-key-000000000000"
MOST_APART = 0.02


class Tenants(SourceTree):
    """This tree with the cache on, and two tenants."""

    def __init__(self, answers: str) -> None:
        super().__init__("tenants", REPO / "src")
        self._answers = answers

    def command(self, upstream_url: str, port: int, folder: Path) -> Command:
        command = super().command(upstream_url, port, folder)
        config = folder / "headrace.yaml"
        cached = f"gpt-4o-mini: {{cache: {{answers: {self._answers}}}, "
        text = config.read_text().replace("gpt-4o-mini: {", cached)
        other = "  other: {secret: env:OTHER_KEY, tenant: other}\n"
        config.write_text(text.replace("backends:", f"{other}backends:"))
        command.env["OTHER_KEY"] = OTHER_KEY
        return command


class Client:
    """One connection of one key."""

    def __init__(self, endpoint: Endpoint, headers: dict[str, str]) -> None:
        host, _, path = endpoint.base_url.removeprefix("http://").partition("/")
        self._line = http.client.HTTPConnection(host, timeout=30)
        self._path = f"/{path}/chat/completions"
        self._headers = {**headers, "Content-Type": "application/json"}

    def ask(self, question: str) -> tuple[float, bool]:
        """Seconds, and whether a kept answer was given."""
        messages = [{"role": "user", "content": question}]
        body = json.dumps({"model": "gpt-4o-mini", "messages": messages}).encode()
        began = time.perf_counter()
        self._line.request("POST", self._path, body, self._headers)
        answer = self._line.getresponse()
        answer.read()
        took_s = time.perf_counter() - began
        assert answer.status == 200, answer.status
        return took_s, answer.getheader("x-headrace-cache") is not None


def area(asked: list[float], new: list[float]) -> float:
    """The share of pairs in which what was asked before took less time."""
    order = np.argsort(np.array(asked + new), kind="stable")
    ranks = np.empty(len(order))
    ranks[order] = np.arange(1, len(order) + 1)
    least = len(asked) * (len(asked) + 1) / 2
    return float(1 - (ranks[: len(asked)].sum() - least) / (len(asked) * len(new)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=3_000, help="of each kind")
    parser.add_argument("--answers", choices=["exact", "semantic"], default="exact")
    wanted = parser.parse_args()
    raise_file_limit()
    chance, count = random.Random(24), wanted.questions
    numbers = chance.sample(range(10**8), 2 * count)
    questions = [f"What is the name of part {number}?" for number in numbers]
    with (
        tempfile.TemporaryDirectory() as folder,
        whole_upstream(Path(folder)) as upstream,
        running(Tenants(wanted.answers), upstream) as gateway,
    ):
        victim = Client(gateway.endpoint, gateway.endpoint.headers)
        for question in questions[:count]:
            victim.ask(question)
        attacker = Client(gateway.endpoint, {"Authorization": f"Bearer {OTHER_KEY}"})
        took: dict[bool, list[float]] = {True: [], False: []}
        given = 0
        for place in chance.sample(range(2 * count), 2 * count):
            took_s, kept = attacker.ask(questions[place])
            took[place < count].append(took_s)
            given += kept
        _, again = victim.ask(questions[0])
    assert again, "the victim's own answers were not kept"
    found = area(took[True], took[False])
    error = ((2 * count + 1) / (12 * count * count)) ** 0.5
    print(
        f"{2 * count:,} questions of another tenant, {wanted.answers}: {given} were given an "
        f"answer of the victim; area under the curve {found:.3f} (0.5 ± {error:.3f} is nothing)"
    )
    return 1 if given or abs(found - 0.5) >= MOST_APART else 0


if __name__ == "__main__":
    sys.exit(main())
