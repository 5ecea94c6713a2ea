"""From an HTTP request to a route of the table: host, key, role, then what it asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as StarletteRoute

from headrace.edge.admin.answers import STATUS, answered, refused
from headrace.edge.admin.asked import Refusal, body_of, query_of
from headrace.edge.admin.entrance import Entrance
from headrace.edge.admin.openapi import document
from headrace.edge.admin.route import Ask, Parts, Route
from headrace.edge.correlation import correlation_id
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.grants import Grant, Role

log = logging.getLogger("headrace.admin")

BODY_LIMIT_BYTES = 256 * 1024


class AdminApp:
    """The ASGI application: `app.asgi`."""

    def __init__(self, entrance: Entrance, others: Sequence[BaseRoute] = ()) -> None:
        """`others` are served beside the API; they see to their own checks."""
        self._entrance = entrance
        routes = list(entrance.routes.values())
        self._document = document(routes)
        by_path: dict[str, dict[str, Route]] = {}
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
        made: list[BaseRoute] = [
            StarletteRoute(path, self._endpoint(by_method), methods=sorted(by_method))
            for path, by_method in by_path.items()
        ]
        made.append(StarletteRoute("/openapi.json", self._serve_document, methods=["GET"]))
        self.asgi = Starlette(
            routes=[*made, *others],
            exception_handlers={HTTPException: self._http_fault, Exception: self._own_fault},
        )
        self.asgi.router.redirect_slashes = False

    def _endpoint(self, by_method: Mapping[str, Route]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            method = "GET" if request.method == "HEAD" else request.method
            return await self._served(request, by_method[method])

        return endpoint

    async def _serve_document(self, request: Request) -> Response:
        request_id = request_id_of(request)
        try:
            self._entrance.check_host(request.headers.getlist("host"))
            by = await self._identified(request)
            by.need(Role.VIEWER)
        except (Denied, Refusal) as fault:
            return _told(fault, request_id)
        return answered(self._document, 200, request_id)

    async def _served(self, request: Request, route: Route) -> Response:
        request_id = request_id_of(request)
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
        self._entrance.check_host(request.headers.getlist("host"))
        if route.role is None:
            _query(request, route)
            return route.act(_nobody(self._entrance.parts))
        by = await self._identified(request)
        self._entrance.admit(route, by, request.path_params)
        ask = Ask(
            self._entrance.parts, by, request.path_params, _query(request, route),
            await _body(request, route),
        )  # fmt: skip
        return await self._entrance.act(route, ask)

    async def _identified(self, request: Request) -> Grant:
        """Raises Denied."""
        headers = request.headers.getlist("authorization")
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        credential = token.strip() if scheme.lower() == "bearer" and token.strip() else None
        return await self._entrance.prove(credential, address_of(request))

    async def _http_fault(self, request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        request_id = request_id_of(request)
        headers = dict(fault.headers or {})
        if fault.status_code == 405:
            message = f"Use {headers.get('Allow', 'another method')} here."
            return refused(405, "method_not_allowed", message, request_id, headers=headers)
        if fault.status_code == 404:
            message = "There is nothing here. See /openapi.json for what there is."
            return refused(404, "unknown_url", message, request_id)
        return refused(fault.status_code, "bad_request", str(fault.detail), request_id)

    async def _own_fault(self, request: Request, fault: Exception) -> Response:
        request_id = request_id_of(request)
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
    return Ask(parts, Grant(actor="", role=Role.VIEWER, tenants=frozenset()), {}, None, None)


def _request_id(request: Request) -> str:
    known = getattr(request.state, "request_id", None)
    if known is None:
        known = correlation_id(request.headers.get("x-request-id", "").encode("latin-1"))
        request.state.request_id = known
    return str(known)


def request_id_of(request: Request) -> str:
    known = getattr(request.state, "request_id", None)
    if known is None:
        known = correlation_id(request.headers.get("x-request-id", "").encode("latin-1"))
        request.state.request_id = known
    return str(known)


def address_of(request: Request) -> str:
    """The socket's: no proxy is trusted."""
    return "" if request.client is None else request.client.host


def _query(request: Request, route: Route) -> Any:
    pairs = request.query_params.multi_items()
    values = dict(pairs)
    if len(values) != len(pairs) and route.query is not None:
        raise Refusal(400, "invalid_request", "A parameter stands twice in the query.")
    return query_of(values, route)


async def _body(request: Request, route: Route) -> Any:
    data = await body_bytes(request, BODY_LIMIT_BYTES)
    if route.body is None:
        if data.strip():
            raise Refusal(400, "invalid_request", "Send no body here.")
        return None
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "unsupported_media_type", "Send JSON: `content-type: application/json`.")
    return body_of(data, route)


async def body_bytes(request: Request, limit: int) -> bytes:
    """Raises Refusal."""
    parts, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise Refusal(413, "request_too_large", f"The body is over {limit} bytes.")
        parts.append(chunk)
    return b"".join(parts)
