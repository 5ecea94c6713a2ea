"""A gateway that runs with its console, calls that were made, and people who look at it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.gateway_process import Gateway, running_gateway
from support.scripted import ScriptedThread, scripted_thread

PATIENCE_S = 60.0
HOSTILE = "<script>alert(1)</script>"
CONFIG = """
server: {{workers: 1, drain_s: 2}}
admin: {{port: 0}}
keys:
  own: {{secret: env:OWN_KEY, team: search}}
  shop: {{secret: env:SHOP_KEY, tenant: acme, team: web}}
backends:
  east: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o, region: eastus}}
  west: {{provider: openai, url: "{url}/v1", priced_as: openai/gpt-4o-mini, region: westus}}
  down: {{provider: openai, url: "http://127.0.0.1:9/v1", priced_as: openai/gpt-4o-mini}}
models:
  large: {{pools: [[east]]}}
  small: {{pools: [[down], [west]]}}
  kept: {{pools: [[west]], cache: {{answers: exact}}}}
budgets:
  - {{per: team, usd: "5", every: day}}
  - {{per: tenant, tokens: 2000000, every: day}}
"""
ENV = {"OWN_KEY": "o" * 40, "SHOP_KEY": "s" * 40}
CSRF = re.compile(r'name="csrf" (?:value|content)="([^"]+)"')


class Person:
    """Somebody with a browser, as far as HTTP goes: no script runs."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=30)
        self.csrf = ""

    def signed_in(self, key: str) -> Person:
        self.look("/console/sign-in")
        answer = self.post("/console/sign-in", credential=key)
        assert answer.status_code == 303, answer.text
        self.look("/console/")
        return self

    def look(self, path: str, **headers: str) -> httpx.Response:
        answer = self.http.get(path, headers=headers)
        found = CSRF.search(answer.text)
        if found is not None:
            self.csrf = found[1]
        return answer

    def post(self, path: str, /, **fields: str) -> httpx.Response:
        return self.http.post(path, data={"csrf": self.csrf, **fields})


class World:
    """`keys` are admin keys by role, and `acme`, that of an operator of that tenant alone."""

    def __init__(self, gateway: Gateway, upstream: ScriptedThread) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.people: list[Person] = []
        self.url = str(gateway.serving["admin_url"])
        admin = str(gateway.serving["admin_key"])
        self.keys = {"admin": admin}
        for role, tenants in (("viewer", None), ("operator", None), ("acme", ["acme"])):
            new = {"name": role, "role": "operator" if tenants else role, "tenants": tenants}
            self.keys[role] = self.api("POST", "/v1/admin-keys", new)["secret"]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.keys['admin']}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, timeout=30)
        assert answer.is_success, answer.text
        return answer.json()

    def stranger(self) -> Person:
        self.people.append(Person(self.url))
        return self.people[-1]

    def person(self, role: str) -> Person:
        return self.stranger().signed_in(self.keys[role])

    def close(self) -> None:
        for person in self.people:
            person.http.close()

    def call(self, model: str, key: str = "OWN_KEY", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {ENV[key]}", **more.pop("headers", {})}
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        url = f"{self.gateway.url}/chat/completions"
        return httpx.post(url, json=body, headers=headers, timeout=30)

    def make_calls(self) -> None:
        """Good ones, of two tenants; one that was refused by its upstream; all in the ledger."""
        for number in range(6):
            self.call("large", content=str(number))
            self.call("small", "SHOP_KEY", stream=True)
        self.upstream.script({"status": 400})
        self.call("large")
        until(lambda: self.calls_in_ledger() >= 13)

    def calls_in_ledger(self) -> int:
        lines = self.api("GET", "/v1/usage")["lines"]
        return sum(line["sums"]["calls"] for line in lines)


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


@contextmanager
def console_world(folder: Path, config: str = CONFIG) -> Iterator[World]:
    with (
        scripted_thread() as upstream,
        running_gateway(config.format(url=upstream.url), folder, ENV) as gateway,
    ):
        world = World(gateway, upstream)
        world.make_calls()
        yield world
        world.close()


def log_lines(world: World, logger: str) -> list[dict[str, Any]]:
    text = (world.gateway.folder / "log.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in text if line.startswith("{")]
    return [line for line in lines if line.get("logger") == logger]
