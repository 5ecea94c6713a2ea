"""Who is let in, and what they may ask for: the same checks for the API and for the console."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool

from headrace.edge.admin.asked import Refusal, body_of, query_of
from headrace.edge.admin.openapi import PATH_PATTERN
from headrace.edge.admin.route import Ask, Parts, Route
from headrace.gateway.administration.admin_tokens import BEGINS, AdminTokens
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.gate import Gate
from headrace.gateway.administration.grants import Grant

_IN_PATH = re.compile(PATH_PATTERN.removesuffix("$") + r"\Z")


class Entrance:
    """One for all who serve the admin port."""

    def __init__(
        self,
        gate: Gate,
        parts: Parts,
        routes: Sequence[Route],
        hosts: Sequence[str],
        tokens: AdminTokens | None = None,
    ) -> None:
        """`hosts` are the names that the port answers to, besides addresses and `localhost`."""
        self.parts = parts
        self.routes = {route.name: route for route in routes}
        self._gate = gate
        self._tokens = tokens
        self._hosts = frozenset({"localhost", *(host.lower() for host in hosts)})

    def check_host(self, hosts: Sequence[str]) -> None:
        """No page of another name reaches this through a browser (DNS rebinding). `hosts` are the
        request's Host headers. Raises Refusal."""
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not (name in self._hosts or _is_address(name)):
            raise Refusal(
                400,
                "bad_host",
                "This port does not answer to that name. Call it by its address, or list the "
                "name in `admin.hosts`.",
            )

    async def prove(self, credential: str | None, ip: str) -> Grant:
        """What an admin key or an access token gives. Raises Denied. A refusal is told to the
        audit log."""
        if self._tokens is None or credential is None or not credential.startswith(BEGINS):
            return await run_in_threadpool(self._gate.identify, credential, ip)
        try:
            return await self._tokens.prove(credential, ip)
        except Denied as denied:
            if denied.why is not Why.UNAVAILABLE:
                why = denied.detail if denied.__cause__ is None else f"token: {denied.__cause__}"
                await self.tell_refused(ip, why)
            raise

    async def tell_refused(self, ip: str, why: str) -> None:
        """To the audit log. `why` holds no word of what was refused."""
        await run_in_threadpool(self._gate.tell_refused, ip, why)

    @staticmethod
    def admit(route: Route, by: Grant, path: Mapping[str, str]) -> None:
        """Raises Denied. Comes before what is asked for is read: nobody learns of what they may
        not see by how a request is wrong."""
        if route.role is not None:
            by.need(route.role)
        if route.whole:
            by.need_all_tenants()
        for name, value in path.items():
            if not _IN_PATH.match(value):
                raise Denied(Why.NOT_FOUND, f"There is no {name} {value[:64]!r}.")

    async def ask(
        self,
        name: str,
        by: Grant,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        """What the route of this name answers, as over the API; `body` is what JSON would say.
        Raises Denied, Refusal."""
        route, path = self.routes[name], path or {}
        self.admit(route, by, path)
        wish = None if route.body is None else body_of(msgspec.json.encode(body), route)
        return await self.act(route, Ask(self.parts, by, path, query_of(query or {}, route), wish))

    @staticmethod
    async def act(route: Route, ask: Ask) -> Any:
        """Raises Denied."""
        return await run_in_threadpool(route.act, ask)


def _host_name(host: str) -> str | None:
    """Without its port; None for what is no host."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?", host)
    return None if match is None else match[1].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
