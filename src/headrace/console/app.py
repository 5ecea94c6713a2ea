"""The console as an ASGI application: from a request to a page, or to what a form asks for."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route

from headrace.console.client_port import ClientPort
from headrace.console.door import Door
from headrace.console.forms import check_origin, form_token, read_form
from headrace.console.guarding import Guarded
from headrace.console.live import WATCHED_EVERY_S, Live
from headrace.console.page import BASE, Action, Done, Page, Visit
from headrace.console.pages.overview import LIVE_NEEDS
from headrace.console.providers import Providers
from headrace.console.readings import Now
from headrace.console.streaming import while_signed_in
from headrace.console.table import live_parts, pages
from headrace.console.templating import Assets, Templates
from headrace.edge.admin.answers import STATUS
from headrace.edge.admin.app import request_id_of
from headrace.edge.admin.asked import Refusal
from headrace.edge.admin.entrance import Entrance
from headrace.gateway.administration.faults import Denied, Why
from headrace.gateway.administration.sign_in import SignIn

log = logging.getLogger("headrace.console")

Handler = Callable[[Request], Awaitable[Response]]


class Console:
    """`routes` are what the admin port serves of it."""

    def __init__(
        self, every_s: float = WATCHED_EVERY_S, sign_ins: Mapping[str, SignIn] | None = None
    ) -> None:
        """`every_s` is how often live figures are taken; `sign_ins` are the identity providers that
        people sign in with, by their names."""
        self._every_s = every_s
        self._sign_ins = sign_ins or {}
        self._assets = Assets()
        self._templates = Templates(self._assets)
        self._live: Live | None = None

    def routes(self, entrance: Entrance) -> Sequence[BaseRoute]:
        live = self._live = Live(entrance.parts.folder, self._live_parts, self._every_s)
        table = pages(live, ClientPort(entrance.parts.folder))
        door = Door(entrance, self._templates, tuple(self._sign_ins))
        providers = Providers(entrance, door, self._templates, self._sign_ins)
        served = _Served(entrance, door, self._templates, table, live)
        asgi = Starlette(
            routes=[
                Route("/static/{name}", self._assets.serve, methods=["GET"]),
                Route("/sign-in", door.show, methods=["GET"]),
                Route("/sign-in", door.sign_in, methods=["POST"]),
                *(providers.routes() if self._sign_ins else ()),
                *served.routes(),
            ],
            exception_handlers={HTTPException: served.http_fault, Exception: served.own_fault},
        )
        asgi.router.redirect_slashes = False
        return [
            Route("/", _to_console, methods=["GET"]),
            Route(BASE, _to_console, methods=["GET"]),
            Mount(BASE, Guarded(asgi, entrance)),
        ]

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _live_parts(self, now: Now | None) -> dict[str, str]:
        return live_parts(self._templates, now)


async def _to_console(request: Request) -> Response:
    return RedirectResponse(f"{BASE}/", 303)


class _Served:
    """Endpoints for the pages of the table."""

    def __init__(
        self,
        entrance: Entrance,
        door: Door,
        templates: Templates,
        table: Sequence[Page],
        live: Live,
    ) -> None:
        self._entrance = entrance
        self._door = door
        self._templates = templates
        self._table = table
        self._live = live

    def routes(self) -> list[BaseRoute]:
        made: list[BaseRoute] = [
            Route("/sign-out", self._guarded(self._sign_out), methods=["POST"]),
            Route("/live", self._guarded(self._stream), methods=["GET"]),
        ]
        for page in self._table:
            made.append(Route(page.path, self._guarded(self._shown(page)), methods=["GET"]))
            for action in page.actions:
                handler = self._guarded(self._acted(page, action))
                made.append(Route(action.path, handler, methods=["POST"]))
        return made

    def _guarded(self, handler: Callable[[Visit], Awaitable[Response]]) -> Handler:
        """For who is signed in; a POST must come from a form of ours."""

        async def endpoint(request: Request) -> Response:
            request_id = request_id_of(request)
            try:
                form: Mapping[str, str] = {}
                if request.method == "POST":
                    check_origin(request)
                    form = await read_form(request)
                visit = await self._door.visit(request, form)
                if visit is None:
                    return self._to_sign_in(request)
                if request.method == "POST" and not visit.session.is_of_form(
                    form_token(request, form)
                ):
                    raise Refusal(403, "stale_form", "This form is of an earlier session, so "
                                  "nothing was done. Reload the page and try again.")  # fmt: skip
                response = await handler(visit)
            except ClientDisconnect:
                return Response(status_code=499)
            except (Denied, Refusal) as fault:
                response = self._fault_page(status_of(fault), told(fault), request_id)
            response.headers["x-request-id"] = request_id
            return response

        return endpoint

    def _shown(self, page: Page) -> Callable[[Visit], Awaitable[Response]]:
        async def handler(visit: Visit) -> Response:
            self._need(visit, page.needs)
            shown = await page.show(visit)
            wrong = isinstance(shown, Mapping) and shown.get("fault") is not None
            return self._page(page, visit, shown, 400 if wrong else 200)

        return handler

    def _acted(self, page: Page, action: Action) -> Callable[[Visit], Awaitable[Response]]:
        async def handler(visit: Visit) -> Response:
            self._need(visit, action.needs)
            try:
                outcome = await action.act(visit)
            except (Denied, Refusal) as fault:
                if isinstance(fault, Denied) and fault.why is Why.UNAUTHENTICATED:
                    raise
                shown = await page.show(visit)
                return self._page(page, visit, shown, status_of(fault), told(fault))
            if isinstance(outcome, Done):
                if outcome.notice is not None:
                    visit.session.notices.append(outcome.notice)
                return RedirectResponse(BASE + outcome.path, 303)
            return self._page(page, visit, outcome)

        return handler

    def _need(self, visit: Visit, names: Sequence[str]) -> None:
        for name in names:
            self._entrance.admit(self._entrance.routes[name], visit.by, {})

    def _page(
        self,
        page: Page,
        visit: Visit,
        shown: Mapping[str, Any] | Response,
        status: int = 200,
        fault: str | None = None,
    ) -> Response:
        if isinstance(shown, Response):
            return shown
        notices, visit.session.notices = visit.session.notices, []
        text = self._templates.render(
            page.template,
            **{
                "page": page,
                "visit": visit,
                "navigation": self._navigation(visit),
                "notices": notices,
                "fault": fault,
                "form": visit.form,
                "rendered_at": f"{time.monotonic():.3f}",
                **shown,
            },
        )
        return HTMLResponse(text, status)

    def _navigation(self, visit: Visit) -> dict[str, list[Page]]:
        """Pages that this person may see, by their headings."""
        groups: dict[str, list[Page]] = {}
        for page in self._table:
            if page.group is not None and visit.may(*page.needs):
                groups.setdefault(page.group, []).append(page)
        return groups

    async def _sign_out(self, visit: Visit) -> Response:
        return self._door.sign_out(visit)

    async def _stream(self, visit: Visit) -> Response:
        self._need(visit, LIVE_NEEDS)
        events = while_signed_in(self._live.events(), lambda: self._door.visit(visit.request, {}))
        return StreamingResponse(events, 200, {"x-accel-buffering": "no"}, "text/event-stream")

    @staticmethod
    def _to_sign_in(request: Request) -> Response:
        """With the way back, but not for what a script fetches."""
        if request.headers.get("sec-fetch-dest", "document") not in ("document", ""):
            return Response("Sign in again.", 401, media_type="text/plain")
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        wanted = "" if request.method != "GET" else f"?next={quote(back, safe='')}"
        return RedirectResponse(f"{BASE}/sign-in{wanted}", 303)

    async def http_fault(self, request: Request, fault: Exception) -> Response:
        assert isinstance(fault, HTTPException)
        words = {404: "There is no such page.", 405: "This page cannot be asked for that way."}
        message = words.get(fault.status_code, str(fault.detail))
        return self._fault_page(fault.status_code, message, request_id_of(request))

    async def own_fault(self, request: Request, fault: Exception) -> Response:
        request_id = request_id_of(request)
        log.error("a fault of our own", exc_info=fault, extra={"call": request_id})
        message = "Something went wrong here. The log tells of it under this request's id."
        return self._fault_page(500, message, request_id)

    def _fault_page(self, status: int, message: str, request_id: str) -> Response:
        text = self._templates.render(
            "fault.html", status=status, message=message, request_id=request_id
        )
        return HTMLResponse(text, status, {"x-request-id": request_id})


def status_of(fault: Denied | Refusal) -> int:
    return fault.status if isinstance(fault, Refusal) else STATUS[fault.why]


def told(fault: Denied | Refusal) -> str:
    return fault.message if isinstance(fault, Refusal) else fault.detail
