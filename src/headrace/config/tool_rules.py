"""What must hold for servers of tools."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.config.located import Located
from headrace.config.masking import quoted
from headrace.config.problems import KeyPath
from headrace.config.schema import Config, Mcp
from headrace.config.tool_servers import CommandToolServer
from headrace.config.urls import is_loopback, is_plain_to_another_machine, url_fault
from headrace.config.words import suggestion


def check_tools(config: Config, located: Located) -> None:
    mcp = config.mcp
    if mcp is None:
        return
    path: KeyPath = ("mcp",)
    others = {config.server.port, None if config.admin is None else config.admin.port}
    if mcp.port and mcp.port in others:
        located.problem(
            (*path, "port"),
            f"{mcp.port} is the port of calls or of administration",
            "Write another, such as 8082.",
        )
    if not is_loopback(mcp.host) and mcp.tls is None:
        located.warning(
            (*path, "host"),
            "other machines can reach this address, and keys travel unencrypted",
            "Add `tls`, or let a proxy in front have it.",
        )
    if not mcp.servers:
        located.problem((*path, "servers"), "there is no server", "Write one, or remove `mcp`.")
    _check_servers(mcp, path, located)
    _check_access(mcp, path, located)
    _check_limits(mcp, path, located)


def _check_servers(mcp: Mcp, path: KeyPath, located: Located) -> None:
    for name, server in mcp.servers.items():
        where: KeyPath = (*path, "servers", name)
        if isinstance(server, CommandToolServer):
            if not server.command:
                located.problem((*where, "command"), "the list is empty", "Name a program.")
            continue
        fault = url_fault(server.url)
        if fault is not None:
            instead = "Write it as in `https://tools.example.net/mcp`."
            located.problem((*where, "url"), fault[0], instead)
        elif is_plain_to_another_machine(server.url):
            located.warning(
                (*where, "url"),
                "arguments and the credential travel unencrypted to another machine",
                "Use `https://` unless you trust the network between.",
            )


def _check_access(mcp: Mcp, path: KeyPath, located: Located) -> None:
    if not mcp.access:
        located.problem(
            (*path, "access"),
            "nobody may call any tool",
            'Write who may, such as `access: [{tools: ["*"]}]` for every key and tool.',
        )
    for i, access in enumerate(mcp.access):
        _check_patterns(access.tools, mcp, (*path, "access", i, "tools"), located)


def _check_limits(mcp: Mcp, path: KeyPath, located: Located) -> None:
    for i, limit in enumerate(mcp.limits):
        where: KeyPath = (*path, "limits", i)
        _check_patterns(limit.tools or (), mcp, (*where, "tools"), located)
        if limit.calls is None and limit.concurrent is None:
            located.problem(
                where,
                "the limit limits nothing",
                "Add `calls: NUMBER` or `concurrent: NUMBER`.",
            )
        elif limit.calls is None and located.is_written((*where, "every_s")):
            located.warning(
                (*where, "every_s"),
                "it has no effect on calls at once",
                "Remove the line, or add `calls: NUMBER`.",
            )


def _check_patterns(patterns: Sequence[str], mcp: Mcp, path: KeyPath, located: Located) -> None:
    for i, pattern in enumerate(patterns):
        server, found, _ = pattern.rstrip("*").partition("__")
        if found and server not in mcp.servers:
            located.problem(
                (*path, i),
                f"there is no server {quoted(server)}",
                suggestion(server, mcp.servers, "Write one under `mcp.servers`."),
            )
