"""How fast the console's overview answers over a large ledger: `python -m benchmarks.console`.

The ledger's sums are made as 10 million calls over 90 days would leave them: 200 users in 20 teams,
50 keys, 4 models of 2 backends each, so that nearly all 1,600 groups are in each hour, and in each
a call that a cache answered. The overview and the page of savings read nothing else. They are asked
over HTTP: at first, and when today's sums are to be read anew.
"""

from __future__ import annotations

import asyncio
import re
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
from cyclopts import App, Parameter, validators

from headrace.console.app import Console
from headrace.console.spending import TODAY_KEPT_S
from headrace.data.draining import chain_name
from headrace.data.ledger import Ledger
from headrace.data.ledger_tables import SUMS
from headrace.data.registry.opening import open_registry
from headrace.data.sqlite import Sqlite
from headrace.edge.admin.server import AdminSettings, serve_admin
from headrace.platform.secrets import Secret

app = App(name="python -m benchmarks.console", help_format="markdown")

HOURS = 90 * 24
KEY = "Zq8rT2vL5xW9cN4bK7mJ1hG6fD3sA0pY"
GROUPS = "hour, tenant, team, user_id, key_id, model, backend"
PAGES = ("/", "/savings", "/savings?by=user")


def make_sums(folder: Path) -> int:
    """Returns the number of calls that they stand for."""
    kept = Sqlite(folder / "ledger.sqlite")
    Ledger(kept, chain_name(folder)).open()
    last = int(time.time()) // 3600
    sums = ", ".join("3" if name == "calls" else "1000" for name in SUMS)
    added = ", ".join(f"SUM({name})" for name in SUMS)
    names, today = ", ".join(SUMS), last // 24
    with kept.transaction() as transaction:
        transaction.run(f"""INSERT INTO ledger_hours ({GROUPS}, {names})
            WITH RECURSIVE h(h) AS (SELECT {last - HOURS} UNION ALL SELECT h + 1 FROM h
                                    WHERE h < {last - 1}),
                u(u) AS (SELECT 0 UNION ALL SELECT u + 1 FROM u WHERE u < 199),
                b(b) AS (SELECT 0 UNION ALL SELECT b + 1 FROM b WHERE b < 7)
            SELECT h, 'default', 'team-' || (u % 20), 'user-' || u, 'key-' || (u % 50),
                'model-' || (b / 2), 'backend-' || b, {sums} FROM h, u, b""")
        transaction.run(f"""INSERT INTO ledger_days ({GROUPS.replace("hour", "day")}, {names})
            SELECT {GROUPS.replace("hour", "hour / 24")}, {added} FROM ledger_hours
            WHERE hour / 24 < {today} GROUP BY 1, 2, 3, 4, 5, 6, 7""")
        transaction.run(f"UPDATE ledger_marks SET value = {today} WHERE name = 'days'")
        for unit in ("hour", "day"):
            transaction.run(f"""INSERT INTO ledger_model_{unit}s ({unit}, tenant, model, {names})
                SELECT {unit}, tenant, model, {added} FROM ledger_{unit}s GROUP BY 1, 2, 3""")
            groups = GROUPS.replace("hour", unit)
            transaction.run(f"""INSERT INTO ledger_saved_{unit}s
                ({groups}, pattern, calls, microusd, unknown)
                SELECT {groups}, 'exact', calls / 3, 500, 0 FROM ledger_{unit}s""")
    ((calls,),) = kept.read("SELECT SUM(calls) FROM ledger_hours")
    kept.close()
    assert isinstance(calls, int)
    return calls


@contextmanager
def console(folder: Path) -> Iterator[str]:
    """The admin port with the console, in a thread. Gives its URL."""
    # Of this protocol by name, as the admin process has it: else asyncio lets small writes wait.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    stops: list[Callable[[], None]] = []
    serving = threading.Event()

    def on_ready(stop: Callable[[], None]) -> None:
        stops.append(stop)
        serving.set()

    def run() -> None:
        rows, settings = open_registry(folder, None), AdminSettings([], folder)
        asyncio.run(serve_admin(listener, rows, Secret(KEY), settings, on_ready, Console()))

    thread = threading.Thread(target=run)
    thread.start()
    serving.wait(30)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for stop in stops:
            stop()
        thread.join(30)
        listener.close()


def looks_ms(url: str, looks: int) -> dict[str, list[float]]:
    """By page: the first look, and those that read today's sums anew."""
    with httpx.Client(base_url=url, timeout=60) as http:
        found = re.search(r'name="csrf" value="([^"]+)"', http.get("/console/sign-in").text)
        assert found is not None
        form = {"csrf": found[1], "credential": KEY}
        assert http.post("/console/sign-in", data=form).status_code == 303
        times: dict[str, list[float]] = {}
        for _ in range(looks):
            for path in PAGES:
                began = time.perf_counter()
                assert http.get(f"/console{path}").status_code == 200
                times.setdefault(path, []).append(1000 * (time.perf_counter() - began))
            time.sleep(TODAY_KEPT_S + 0.1)
    return times


@app.default
def measured(*, looks: Annotated[int, Parameter(validator=validators.Number(gte=2))] = 7) -> None:
    """Milliseconds for each page: at first, and once its sums of today are read anew.

    Args:
        looks: How often each page is asked for.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calls = make_sums(folder)
        with console(folder) as url:
            found = looks_ms(url, looks)
        for path, (first, *later) in found.items():
            print(
                f"{path} over {calls:,} calls: {first:.0f} ms at first, then "
                f"{statistics.median(later):.0f} ms in the median, {max(later):.0f} ms at most"
            )


if __name__ == "__main__":
    app()
