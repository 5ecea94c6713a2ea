"""The port of tools: real clients of the Model Context Protocol before real servers of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, TextContent

from headrace.data.databases import database
from headrace.data.ledger_usage import Usage
from support import tool_servers
from support.accounts import Account, accounts
from support.gateway_process import Gateway, children_that_run, running_gateway
from support.tool_servers import HttpTools, http_tools

ALL, SOME, NONE, FEW = (f"{name}-key-0123456789abcdef01" for name in ("all", "some", "none", "few"))
ADMIN = "q7Rk2ZtV9xWm4LpB8sNd3HfJ6yGc1TeQ"
SEARCH_TOKEN = "search-token-0123456789abcdef"
MILL_TOKEN = "mill-token-0123456789abcdef"
CONFIG = """
keys:
  all: {{secret: env:ALL_KEY}}
  some: {{secret: env:SOME_KEY, team: red}}
  none: {{secret: env:NONE_KEY}}
  few: {{secret: env:FEW_KEY}}
backends: {{up: {{provider: openai, url: "http://127.0.0.1:9/v1", model: m}}}}
admin: {{port: 0, key: env:ADMIN_KEY}}
mcp:
  port: 0
  argument_limit_bytes: 4096
  answer_limit_bytes: 10000
  servers:
    mill:
      by: command
      command: ["{python}", "{script}"]
      env: {{MILL_TOKEN: env:MILL_TOKEN}}
      timeout_s: 2
      connect_s: 60
    search: {{by: http, url: "{url}", credential: env:SEARCH_TOKEN, connect_s: 60}}
    plain: {{by: http, url: "{plain}", connect_s: 60}}
    gone: {{by: http, url: "http://127.0.0.1:9/mcp", connect_s: 2}}
  access:
    - {{keys: [all], tools: ["*"]}}
    - {{teams: [red], tools: [mill__add, "search__s*"]}}
    - {{keys: [few], tools: ["search__*"]}}
  limits:
    - {{keys: [few], tools: [search__add], calls: 2, every_s: 3600}}
    - {{keys: [few], tools: [search__slow], concurrent: 1}}
"""
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def search() -> Iterator[HttpTools]:
    with http_tools() as running:
        yield running


@pytest.fixture(scope="module")
def plain() -> Iterator[HttpTools]:
    """Answers with JSON, where `search` does with a stream of events."""
    with http_tools(json_response=True) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    search: HttpTools, plain: HttpTools, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    env = {
        "ALL_KEY": ALL,
        "SOME_KEY": SOME,
        "NONE_KEY": NONE,
        "FEW_KEY": FEW,
        "ADMIN_KEY": ADMIN,
        "SEARCH_TOKEN": SEARCH_TOKEN,
        "MILL_TOKEN": MILL_TOKEN,
    }
    script = Path(tool_servers.__file__)
    config = CONFIG.format(python=sys.executable, script=script, url=search.url, plain=plain.url)
    with running_gateway(config, tmp_path_factory.mktemp("tools"), env=env) as running:
        yield running


@asynccontextmanager
async def connected(gateway: Gateway, key: str = ALL, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    url = gateway.serving["tools_url"]
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode, cache=None) as client,
    ):
        yield client


async def names(client: Client) -> set[str]:
    return {tool.name for tool in (await client.list_tools()).tools}


async def all_there(client: Client) -> set[str]:
    """The tools once all servers have theirs."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = await names(client)
        if {name.partition("__")[0] for name in found} == {"mill", "search", "plain"}:
            return found
        assert time.monotonic() < until, found
        await asyncio.sleep(0.1)


def text_of(result: CallToolResult) -> str:
    [said] = result.content
    assert isinstance(said, TextContent)
    return said.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_tools_of_all_servers_are_one_servers(gateway: Gateway, mode: str) -> None:
    async with connected(gateway, mode=mode) as client:
        found = await all_there(client)
        assert found >= {"mill__add", "mill__slow", "search__add", "search__long"}
        for name in ("mill__add", "search__add"):
            result = await client.call_tool(name, {"a": 2, "b": 3})
            assert (text_of(result), result.is_error) == ("5", False)
        by_name = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert by_name["mill__add"].description == "Adds two numbers."
        assert by_name["mill__add"].input_schema["required"] == ["a", "b"]


async def test_a_key_sees_and_calls_its_own_tools_alone(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
    async with connected(gateway, SOME) as client:
        assert await names(client) == {"mill__add", "search__slow"}
        assert text_of(await client.call_tool("mill__add", {"a": 1, "b": 1})) == "2"
        with pytest.raises(MCPError, match="no tool 'mill__long' here for your key") as hidden:
            await client.call_tool("mill__long", {"text": "a"})
        with pytest.raises(MCPError, match="here for your key") as unknown:
            await client.call_tool("mill__none", {})
        assert hidden.value.code == unknown.value.code
    async with connected(gateway, NONE) as client:
        assert await names(client) == set()
        with pytest.raises(MCPError, match="here for your key"):
            await client.call_tool("search__add", {"a": 1, "b": 1})


def test_without_a_good_key_nothing_is_told(gateway: Gateway) -> None:
    url = gateway.serving["tools_url"]
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    for headers in ({}, {"authorization": "Bearer wrong-key-0123456789"}):
        answer = httpx.post(url, json=asked, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        error = answer.json()["error"]
        assert error["code"] == "invalid_api_key"
        assert error["request_id"] == answer.headers["x-request-id"]
    assert httpx.get(url.replace("/mcp", "/")).status_code == 404
    assert httpx.get(url.replace("/mcp", "/healthz")).status_code == 200


def test_after_a_kill_it_is_where_it_was(gateway: Gateway) -> None:
    """Also where the port was a free one: clients were told of it when the gateway began."""
    url = gateway.serving["tools_url"].replace("/mcp", "/healthz")
    assert httpx.get(url).status_code == 200
    [pid] = children_that_run(gateway.pid, "headrace.operate.mcp_process")
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + PATIENCE_S
    while children_that_run(gateway.pid, "headrace.operate.mcp_process") in ([], [pid]):
        assert time.monotonic() < until
        time.sleep(0.1)
    while True:
        with contextlib.suppress(httpx.TransportError):
            assert httpx.get(url).status_code == 200
            break
        assert time.monotonic() < until
        time.sleep(0.1)


async def test_arguments_are_bounded(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
        result = await client.call_tool("search__long", {"text": "a" * 4000})
        assert text_of(result) == "4000"
        with pytest.raises(MCPError, match=r"at most 4,096 are"):
            await client.call_tool("search__long", {"text": "a" * 5000})
        with pytest.raises(Exception, match=r"."):  # more than a request may hold at all
            await client.call_tool("search__long", {"text": "a" * 200_000})
    async with connected(gateway) as client:
        assert await names(client)


async def test_answers_are_bounded(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
        over_http = (20_000, 6_000_000)
        for server, sizes in (("mill", (20_000,)), ("search", over_http), ("plain", over_http)):
            fits = await client.call_tool(f"{server}__much", {"size": 4000})
            assert text_of(fits) == "x" * 4000
            for size in sizes:
                large = await client.call_tool(f"{server}__much", {"size": size})
                assert large.is_error
                assert f"The answer of {server}__much is over 10,000 bytes" in text_of(large)
        assert text_of(await client.call_tool("mill__add", {"a": 1, "b": 2})) == "3"


async def test_a_key_is_held_to_its_rate(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
    async with connected(gateway, FEW) as client:
        for _ in range(2):
            assert text_of(await client.call_tool("search__add", {"a": 1, "b": 1})) == "2"
        refused = await client.call_tool("search__add", {"a": 1, "b": 1})
        assert refused.is_error
        said = text_of(refused)
        assert "a limit is reached (calls in 3600 s for each key: 2)" in said
        assert re.search(r"Please try again in 1,[5-8]\d\d s", said)  # less than half an hour
        assert text_of(await client.call_tool("search__long", {"text": "ab"})) == "2"
    async with connected(gateway) as client:
        for _ in range(3):
            assert text_of(await client.call_tool("search__add", {"a": 1, "b": 1})) == "2"


async def test_a_key_is_held_to_calls_at_once(gateway: Gateway, search: HttpTools) -> None:
    async with connected(gateway) as client:
        await all_there(client)
    async with connected(gateway, FEW) as first, connected(gateway, FEW) as second:
        begun = search.begun
        running = asyncio.create_task(first.call_tool("search__slow", {"seconds": 600}))
        until = time.monotonic() + PATIENCE_S
        while search.begun == begun:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        refused = await second.call_tool("search__slow", {"seconds": 0})
        assert refused.is_error
        assert "a limit is reached (calls at once for each key: 1)" in text_of(refused)
        search.let_go()
        assert text_of(await running) == "done"
        assert text_of(await second.call_tool("search__slow", {"seconds": 0})) == "done"


async def test_calls_are_in_the_ledger(gateway: Gateway) -> None:
    """As calls of models are: an intent before, one settlement after."""
    async with connected(gateway) as client:
        await all_there(client)
        await client.call_tool("search__much", {"size": 1})
        await client.call_tool("search__broken", {})
        with pytest.raises(MCPError):
            await client.call_tool("search__much", {"size": 1, "more": "a" * 5000})
    store = gateway.folder / ".headrace"
    usage = Usage(database(store, None, read_only=True))
    until = time.monotonic() + PATIENCE_S
    of_all = {"operation": "tool", "key": "all"}
    while True:
        lines = usage.lines(("model", "finish", "reason"), of_all, 0, None)
        found = {line.group: line.sums for line in lines}
        if ("search__much", "refused", "tool_arguments_too_large") in found:
            break
        assert time.monotonic() < until, found
        await asyncio.sleep(0.1)
    assert found["search__much", "complete", ""]["calls"] >= 1
    assert found["search__broken", "complete", "tool_error"]["calls"] >= 1
    assert {sums["cost_microusd"] for sums in found.values()} == {0}
    assert {sums["unpriced"] for sums in found.values()} == {0}
    rows = [account for account in accounts(store).values() if _is_of_tools(account)]
    assert all(len(account.settlements) == 1 for account in rows)
    assert {intent.backend for account in rows for intent in account.intents} >= {"search"}


def _is_of_tools(account: Account) -> bool:
    return any(ended.operation == "tool" for ended in account.settlements)


async def test_a_tool_that_takes_too_long_or_fails_says_so_to_the_model(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
        late = await client.call_tool("mill__slow", {"seconds": 60})
        assert late.is_error
        assert "mill__slow did not answer within 2 s" in text_of(late)
        stuck = await client.call_tool("search__broken", {})
        assert stuck.is_error
        assert text_of(await client.call_tool("mill__add", {"a": 1, "b": 2})) == "3"


async def test_secrets_go_to_their_servers_and_nowhere_else(
    gateway: Gateway, search: HttpTools
) -> None:
    async with connected(gateway) as client:
        await all_there(client)
        result = await client.call_tool("mill__variables", {})
        said = [part.text for part in result.content if isinstance(part, TextContent)]
    text = "\n".join(said)
    assert MILL_TOKEN in text
    assert not {"ALL_KEY", "ADMIN_KEY", "SEARCH_TOKEN"} & set(text.split())
    assert search.seen == {f"Bearer {SEARCH_TOKEN}"}
    log = (gateway.folder / "log.jsonl").read_text()
    assert MILL_TOKEN not in log
    assert SEARCH_TOKEN not in log


async def test_a_server_that_dies_comes_back_and_takes_no_other_down(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
        gone = await client.call_tool("mill__leave", {})
        assert gone.is_error
        assert text_of(await client.call_tool("search__add", {"a": 4, "b": 4})) == "8"
        await all_there(client)
        assert text_of(await client.call_tool("mill__add", {"a": 5, "b": 4})) == "9"


async def test_calls_are_audited_and_counted(gateway: Gateway) -> None:
    async with connected(gateway) as client:
        await all_there(client)
        await client.call_tool("search__long", {"text": "a word of mine"})
    async with connected(gateway, SOME) as client:
        with pytest.raises(MCPError):
            await client.call_tool("mill__long", {"text": "a"})
    text = (gateway.folder / ".headrace" / "audit.jsonl").read_text()
    events: list[dict[str, Any]] = []
    for line in text.splitlines():
        event = json.loads(line).get("event") or json.loads(line)
        if event.get("action") == "tools.call":
            events.append(event)
    assert any(
        event["actor"] == "key:all" and event["target"] == "search__long" for event in events
    )
    assert any(
        event["actor"] == "key:some"
        and event["target"] == "mill__long"
        and event["outcome"] == "refused"
        for event in events
    )
    assert "a word of mine" not in text
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {ADMIN}"}) as admin:
        page = (await admin.get(f"{gateway.serving['admin_url']}/metrics")).text
    [line] = [
        line
        for line in page.splitlines()
        if line.startswith("headrace_tool_calls_total")
        and 'key="all",tool="search__long",outcome="ok"' in line
    ]
    assert float(line.rpartition(" ")[2]) >= 1


async def test_a_changed_file_changes_who_may(gateway: Gateway) -> None:
    path = gateway.folder / "headrace.yaml"
    before = path.read_text()
    try:
        path.write_text(before.replace("keys: [all]", "keys: [none]"))
        until = time.monotonic() + PATIENCE_S
        async with connected(gateway, NONE) as client:
            while not await names(client):
                assert time.monotonic() < until
                await asyncio.sleep(0.1)
        async with connected(gateway, ALL) as client:
            assert await names(client) == set()
    finally:
        path.write_text(before)
