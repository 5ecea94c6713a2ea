"""From an HTTP request to a route of the table: host, key, role, then what it asks for."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from headrace.edge.admin.answers import STATUS, answered, refused
from headrace.edge.admin.openapi import PATH_PATTERN, document
from headrace.edge.admin.route import Ask, Parts, Route
from headrace.edge.app import correlation_id
from headrace.gateway.administration.admin_tokens import BEGINS, AdminTokens
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.gate import Gate
from headrace.gateway.administration.grants import Grant, Role

log = logging.getLogger("headrace.admin")

BODY_LIMIT_BYTES = 256 * 1024
_IN_PATH = re.compile(PATH_PATTERN.removesuffix("$") + r"\Z")
_WHERE = re.compile(r" - at `\$\.?([^`]*)`$")
_REGEX = re.compile(r" matching regex '.*'(?= - at|$)", re.DOTALL)


class Refusal(Exception):  # noqa: N818
    """Refused before anything is asked of the registry."""

    def __init__(self, status: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.param = status, code, message, param


class AdminApp:
    """The ASGI application: `app.asgi`."""

    def __init__(
        self,
        gate: Gate,
        parts: Parts,
        routes: Sequence[Route],
        hosts: Sequence[str],
        tokens: AdminTokens | None = None,
    ) -> None:
        self._gate = gate
        self._tokens = tokens
        self._parts = parts
        self._hosts = frozenset({"localhost", *(host.lower() for host in hosts)})
        self._document = document(routes)
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        made = [
            StarletteRoute(path, self._endpoint(by_method), methods=sorted(by_method))
            for path, by_method in by_path.items()
        ]
        made.append(StarletteRoute("/openapi.json", self._serve_document, methods=["GET"]))
        self.asgi = Starlette(
            routes=made,
            exception_handlers={HTTPException: self._http_fault, Exception: self._own_fault},
        )
        self.asgi.router.redirect_slashes = False

    def _endpoint(self, by_method: Mapping[str, Route]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await self._served(request, by_method[method])

        return endpoint

    async def _serve_document(self, request: Request) -> Response:
        request_id = _request_id(request)
        try:
            self._check_host(request)
            by = await self._identified(request)
            by.need(Role.VIEWER)
        except (Denied, Refusal) as fault:
            return _told(fault, request_id)
        return answered(self._document, 200, request_id)

    async def _served(self, request: Request, route: Route) -> Response:
        request_id = _request_id(request)
        try:
            value = await self._answer(request, route)
        except (Denied, Refusal) as fault:
            # Why a credential is refused is told to the audit log, which nobody can flood.
            why = fault.why if isinstance(fault, Denied) else None
            if why not in (None, Why.UNAUTHENTICATED) and fault.__cause__ is not None:
                log.warning("admin: %s", why.value,
                            extra={"call": request_id, "cause": str(fault.__cause__)})  # fmt: skip
            return _told(fault, request_id)
        except ClientDisconnect:
            return Response(status_code=499)
        return answered(value, route.status, request_id, route.media)

    async def _answer(self, request: Request, route: Route) -> Any:
        """In this order: nobody learns of what they may not see by how a request is wrong."""
        self._check_host(request)
        if route.role is None:
            _query(request, route)
            return route.act(_nobody(self._parts))
        by = await self._identified(request)
        by.need(route.role)
        if route.whole:
            by.need_all_tenants()
        for name, value in request.path_params.items():
            if not _IN_PATH.match(value):
                raise Denied(Why.NOT_FOUND, f"There is no {name} {value[:64]!r}.")
        ask = Ask(
            self._parts, by, request.path_params, _query(request, route),
            await _body(request, route),
        )  # fmt: skip
        return await run_in_threadpool(route.act, ask)

    async def _identified(self, request: Request) -> Grant:
        """Raises Denied. A refusal is told to the audit log."""
        ip = "" if request.client is None else request.client.host
        headers = request.headers.getlist("authorization")
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        credential = token.strip() if scheme.lower() == "bearer" and token.strip() else None
        if self._tokens is None or credential is None or not credential.startswith(BEGINS):
            return await run_in_threadpool(self._gate.identify, credential, ip)
        try:
            return await self._tokens.prove(credential, ip)
        except Denied as denied:
            if denied.why is not Why.UNAVAILABLE:
                why = denied.detail if denied.__cause__ is None else f"token: {denied.__cause__}"
                await run_in_threadpool(self._gate.tell_refused, ip, why)
            raise

    def _check_host(self, request: Request) -> None:
        """No page of another name reaches this through a browser (DNS rebinding)."""
        hosts = request.headers.getlist("host")
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        if name is None or not (name in self._hosts or _is_address(name)):
            raise Refusal(
                400,
                "bad_host",
                "This port does not answer to that name. Call it by its address, or list the "
                "name in `admin.hosts`.",
            )

    async def _http_fault(self, request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        request_id = _request_id(request)
        headers = dict(fault.headers or {})
        if fault.status_code == 405:
            message = f"Use {headers.get('Allow', 'another method')} here."
            return refused(405, "method_not_allowed", message, request_id, headers=headers)
        if fault.status_code == 404:
            message = "There is nothing here. See /openapi.json for what there is."
            return refused(404, "unknown_url", message, request_id)
        return refused(fault.status_code, "bad_request", str(fault.detail), request_id)

    async def _own_fault(self, request: Request, fault: Exception) -> Response:
        request_id = _request_id(request)
        log.error("a fault of our own", exc_info=fault, extra={"call": request_id})
        message = "Something went wrong here. It is logged under this request's id."
        return refused(500, "internal_error", message, request_id)


def _told(fault: Denied | Refusal, request_id: str) -> Response:
    if isinstance(fault, Refusal):
        return refused(fault.status, fault.code, fault.message, request_id, param=fault.param)
    status = STATUS[fault.why]
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if status == 503:
        headers["retry-after"] = "1"
    return refused(
        status, fault.why.value, fault.detail, request_id, param=fault.param, headers=headers
    )


def _nobody(parts: Parts) -> Ask:
    from headrace.gateway.administration.grants import Grant

    return Ask(parts, Grant(actor="", role=Role.VIEWER, tenants=frozenset()), {}, None, None)


def _request_id(request: Request) -> str:
    known = getattr(request.state, "request_id", None)
    if known is None:
        known = correlation_id(request.headers.get("x-request-id", "").encode("latin-1"))
        request.state.request_id = known
    return str(known)


def _query(request: Request, route: Route) -> Any:
    pairs = request.query_params.multi_items()
    if route.query is None:
        if pairs:
            raise Refusal(400, "invalid_request", "There is nothing to ask for behind a `?` here.")
        return None
    values = dict(pairs)
    if len(values) != len(pairs):
        raise Refusal(400, "invalid_request", "A parameter stands twice in the query.")
    _check_texts(values)
    try:
        query = msgspec.convert(values, route.query, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, "query") from error
    for name in values:
        if getattr(query, name) is None:  # texts are read as what they may stand for: `null` too
            raise Refusal(400, "invalid_request", f"`{name}` cannot be null: leave it out.")
    return query


async def _body(request: Request, route: Route) -> Any:
    data = await _read(request)
    if route.body is None:
        if data.strip():
            raise Refusal(400, "invalid_request", "Send no body here.")
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send JSON: `content-type: application/json`.")
    try:
        wish = msgspec.json.decode(data, type=route.body)
        _check_texts(msgspec.json.decode(data))
        _check_names(data)
    except msgspec.ValidationError as error:
        raise _invalid(error, "body") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "invalid_json", "The body is not JSON.") from error
    return wish


async def _read(request: Request) -> bytes:
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise Refusal(413, "request_too_large", f"The body is over {BODY_LIMIT_BYTES} bytes.")
        parts.append(chunk)
    return b"".join(parts)


def _check_texts(value: object) -> None:
    """No control character, which a pattern's `$` would let pass at the end of a text."""
    if isinstance(value, str):
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            raise Refusal(400, "invalid_request", "A text has a control character in it.")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_texts(name)
            _check_texts(member)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def _check_names(data: bytes) -> None:
    """A name that stands twice is read in two ways by two readers."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Refusal(400, "invalid_request", "A name stands twice in the body.")
        return dict(pairs)

    try:
        json.loads(data, object_pairs_hook=once)
    except ValueError as error:
        raise Refusal(400, "invalid_json", "The body is not JSON.") from error


def _invalid(error: msgspec.ValidationError, where: str) -> Refusal:
    text = _REGEX.sub(" of another form", str(error))
    found = _WHERE.search(text)
    param = found[1] if found is not None and found[1] else None
    message = _WHERE.sub("", text).replace("`", "")
    at = f"`{param}`" if param else f"the {where}"
    return Refusal(400, "invalid_request", f"{at} does not fit: {message}.", param)


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
